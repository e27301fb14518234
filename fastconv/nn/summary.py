"""What a model is made of: sizes of outputs and parameters, work and memory, layer by layer."""

import math
from dataclasses import dataclass

import numpy as np

from fastconv.nn.probe import example
from fastconv.nn.watch import keeping_random, watched


@dataclass(frozen=True)
class Row:
    """One call of one layer, for the whole batch."""

    name: str  # its path in the model
    layer: str  # its class
    output_shape: tuple
    parameters: int  # learned numbers of its own, those of a row above left out
    multiply_adds: int  # of the forward
    activation_bytes: int  # of the output


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summary` found.  Its text is a table."""

    rows: tuple
    batch_size: int
    trainable: int  # learned numbers of the whole model,
    frozen: int  # and those with requires_grad=False
    parameter_bytes: int

    @property
    def parameters(self):
        return self.trainable + self.frozen

    @property
    def multiply_adds(self):
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self):
        return sum(row.activation_bytes for row in self.rows)

    def __str__(self):
        head = ("layer", "output shape", "parameters", "multiply-adds", "activations")
        table = [head]
        for row in self.rows:
            name = f"{row.name}: {row.layer}" if row.name else row.layer
            numbers = f"{row.parameters:,}", f"{row.multiply_adds:,}"
            table.append((name, str(row.output_shape), *numbers, _bytes(row.activation_bytes)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if index < 2 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in table
        ]
        lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
        lines.append(lines[1])
        lines.append(
            f"parameters     {self.parameters:,} ({self.trainable:,} trainable, "
            f"{self.frozen:,} frozen), {_bytes(self.parameter_bytes)}"
        )
        batch = "one example" if self.batch_size == 1 else f"a batch of {self.batch_size}"
        lines.append(f"multiply-adds  {self.multiply_adds:,} for {batch}")
        lines.append(f"activations    {_bytes(self.activation_bytes)} for {batch}")
        return "\n".join(lines)

    __repr__ = __str__


def summary(model, input_shape, batch_size=1):
    """A Summary of `model`: `print(nn.summary(model, (1, 28, 28)))` shows a table.

    One forward of zeros (batch_size, *input_shape) in evaluation mode, through a copy that shares
    the parameters: the model itself, its random numbers and what it kept stay as they are, and its
    lazy layers lazy.  There is a row for every call of a layer, that is, of a module without
    submodules or with parameters of its own.  Multiply-adds are those of convolutions, Linear and
    what else says so (`Module.multiply_adds`).  Activations are the outputs' bytes, views of
    others counted as well.  Raises what the forward raises for an input that does not fit.
    """
    rows, counted = [], set()

    def record(name, module, input, output):
        if any(True for _ in module.children()) and not any(True for _ in module._own_parameters()):
            return
        own = {id(each): each.size for _, each in module._own_parameters()}
        rows.append(
            Row(
                name=name,
                layer=type(module).__name__,
                output_shape=np.shape(output),
                parameters=sum(size for key, size in own.items() if key not in counted),
                multiply_adds=module.multiply_adds(np.shape(input), np.shape(output)),
                activation_bytes=np.asarray(output).nbytes,
            )
        )
        counted.update(own)

    twin = watched(model, record).eval()
    with keeping_random():
        twin(example(twin, input_shape, batch_size))
    learned, frozen = [], []
    for parameter in twin.parameters():
        (learned if parameter.requires_grad else frozen).append(parameter)
    return Summary(
        rows=tuple(rows),
        batch_size=int(batch_size),
        trainable=sum(each.size for each in learned),
        frozen=sum(each.size for each in frozen),
        parameter_bytes=sum(each.data.nbytes for each in learned + frozen),
    )


def _bytes(count):
    power = min(3, int(math.log(count, 1024))) if count else 0
    return f"{count / 1024**power:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
