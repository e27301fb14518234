"""The state of a run of `fit` in a file, and a run that goes on from there to the same bits.

In it: parameters and buffers, the optimizer and the schedule, the position in the data, the scores
of the epoch so far, the history, what callbacks remember, and every random generator: the
package's, and those that modules hold.  The file is safetensors, arrays beside one text of JSON:
whole numbers and floats come back as they were, and nothing is ever unpickled.
"""

import glob
import json
import math
import os
import time
from pathlib import Path

import numpy as np

from fastconv._random import generator
from fastconv.callbacks import Callback
from fastconv.serialization import load, load_metadata, save

KEY = "fastconv.checkpoint"

# The attributes of a History that are plain values.
COUNTERS = (
    "epoch", "phase", "batch", "samples", "seconds", "epoch_seconds", "history", "logs",
    "stop_training", "stop_reason",
)  # fmt: skip


class Checkpoint(Callback):
    """Writes the state of the run to `path`, for `fit(..., resume=path)`.

    At the start, after batches when `every` seconds have passed since the last time (0: after each
    batch), at a Ctrl-C and at the end.  With every=None only at a Ctrl-C.
    The file is replaced at once and whole, so that there is a good one at any moment, whatever ends
    the process.  metadata: a dict of strings to keep in it beside the state.

    Not in it: the data themselves, and what a `train` without `state_dict` does at random; of such
    a `train` a resumed run passes over the batches done.
    Needs safetensors (extra `save`).  Raises ValueError for an `every` below 0.
    """

    def __init__(self, path, every=60.0, metadata=None):
        if not (every is None or every >= 0):
            raise ValueError(f"Checkpoint: every must be at least 0 seconds or None, got {every!r}")
        self.path, self.every, self.metadata = Path(path), every, dict(metadata or {})
        self.saved = False  # whether it has written the file

    def on_train_begin(self, run):
        self._due = -math.inf if self.every is not None else math.inf
        self._over = False
        # What a killed process left half written.
        path = self.path.resolve()
        for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            temporary.unlink(missing_ok=True)

    def _save_if_due(self, run):
        if time.monotonic() >= self._due:
            self.save(run)

    on_epoch_begin = on_batch_end = on_epoch_end = _save_if_due

    def finish(self, run):
        """At the end, before other callbacks may put the best weights into the model."""
        self._over = True
        if self.every is not None:
            self.save(run)

    def on_interrupt(self, run):
        if not (self._over and self.saved):
            self.save(run)

    def save(self, run):
        """Writes the state of `run`, which must be between two batches."""
        arrays = {}
        text = json.dumps(_encode(_state(run), "", arrays))
        save(arrays, self.path, {**self.metadata, KEY: text})
        self.saved = True
        self._due = math.inf if self.every is None else time.monotonic() + self.every


def restore(run, path):
    """Puts `run` where the one was whose Checkpoint wrote `path`.

    Raises OSError if the file cannot be read, ValueError if it is not of such a run.
    """
    state = read(path)
    try:
        _load(run, state)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)}: not of a run with these arguments: {error}"
        ) from error


def read(path):
    """The state in the file of a Checkpoint; errors as for `restore`."""
    text = load_metadata(path).get(KEY)
    if text is None:
        raise ValueError(f"{os.fspath(path)}: not a checkpoint: there is no {KEY} in it")
    try:
        return _decode(json.loads(text), load(path))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: a damaged checkpoint: {error}") from error


def is_resumable(batches):
    """Whether the source of batches knows its position, as DataLoader does."""
    return hasattr(batches, "state_dict") and hasattr(batches, "load_state_dict")


# ---- a run as plain values


def _state(run):
    return {
        "run": {name: getattr(run, name) for name in COUNTERS},
        "scores": run.scores.state_dict(),
        "model": run.model.state_dict(),
        "parts": [_state_dict(part) for part in _parts(run)],
        "callbacks": [[type(each).__name__, each.state_dict()] for each in _remembering(run)],
        "random": {name: each.bit_generator.state for name, each in _generators(run)},
    }


def _load(run, state):
    remembering = _remembering(run)
    names = [type(each).__name__ for each in remembering]
    saved = [name for name, _ in state["callbacks"]]
    generators = dict(_generators(run))
    for what, own, given in (
        ("callbacks", names, saved),
        ("random generators", sorted(generators), sorted(state["random"])),
        (
            "optimizer, schedule and data",
            [_state_dict(part) is not None for part in _parts(run)],
            [part is not None for part in state["parts"]],
        ),
    ):
        if own != given:
            raise ValueError(f"{what} must be {given}, got {own}")
    run.model.load_state_dict(state["model"])
    for part, saved in zip(_parts(run), state["parts"], strict=True):
        if saved is not None:
            part.load_state_dict(saved)
    for callback, (_, saved) in zip(remembering, state["callbacks"], strict=True):
        callback.load_state_dict(saved)
    for name in COUNTERS:
        setattr(run, name, state["run"][name])
    run.scores.load_state_dict(state["scores"])
    # The last: nothing above may draw after it.
    for name, each in generators.items():
        each.bit_generator.state = state["random"][name]


def _parts(run):
    """The schedule before the optimizer, whose rate it writes and a callback may have changed."""
    return run.lr_scheduler, run.optimizer, run.train, run.validation


def _state_dict(part):
    return part.state_dict() if is_resumable(part) else None


def _remembering(run):
    """The callbacks that have a state."""
    return [each for each in run.callbacks if type(each).state_dict is not Callback.state_dict]


def _generators(run):
    yield "fastconv", generator()
    for path, module in run.model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                yield f"{path}.{name}", value


# ---- values as JSON: what JSON lacks is an object with one key, its kind


def _encode(value, name, arrays):
    if isinstance(value, (np.ndarray, np.generic)):
        while name in arrays:
            name += "_"
        arrays[name] = value
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        items = [_encode(each, f"{name}.{index}", arrays) for index, each in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {
            "dict": [
                [_encode(key, name, arrays), _encode(each, f"{name}.{key}".lstrip("."), arrays)]
                for key, each in value.items()
            ]
        }
    raise TypeError(
        f"Checkpoint: {name} must be a number, text, array or made of these, got {value!r}"
    )


def _decode(value, arrays):
    if isinstance(value, list):
        return [_decode(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "scalar":
        return arrays[content][()]
    if kind == "tuple":
        return tuple(_decode(each, arrays) for each in content)
    if kind == "dict":
        return {_decode(key, arrays): _decode(each, arrays) for key, each in content}
    raise ValueError(f"an unknown kind of value, {kind!r}")
