"""A forward that is watched module by module, in a copy of the model."""

import copy
import functools
from contextlib import contextmanager

from fastconv._random import generator
from fastconv.nn.module import Parameter


def watched(model, record):
    """A copy of `model` whose modules call `record(path, module, input, output)` after each run.

    It shares the parameters, and has buffers of its own: the model stays as it is.
    """
    kept = {}
    for module in model.modules():
        kept[id(module._saved)] = module._saved
        for value in vars(module).values():
            if isinstance(value, Parameter):
                kept[id(value)] = value
    twin = copy.deepcopy(model, kept)
    for path, module in list(twin.named_modules()):
        module.forward = functools.partial(_recorded, module.forward, path, module, record)
    return twin


def _recorded(forward, path, module, record, *args, **kwargs):
    output = forward(*args, **kwargs)
    record(path, module, args[0] if args else None, output)
    return output


@contextmanager
def keeping_random():
    """What draws from the package's generator inside leaves no trace in it."""
    random = generator()
    state = random.bit_generator.state
    try:
        yield
    finally:
        random.bit_generator.state = state
