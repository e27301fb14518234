"""A model's architecture as plain data: class names of `fastconv.nn` and constructor arguments.

    {"class": "Conv2d", "arguments": {"in_channels": 1, "out_channels": 8, "kernel_size": 3}}

Building it runs nothing but constructors of `fastconv.nn`, so a file from anywhere may hold one.
"""

import inspect

import numpy as np

from fastconv.nn.module import Module


def describe(module):
    """The description of `module`: dicts, lists, strings and numbers that `json` can write.

    It holds the arguments with which the module and those in it were made, without generators; the
    learned values are in `state_dict`.  Raises ValueError for a class that is not of `fastconv.nn`,
    for an argument that has no plain form, and for a container changed after it was made.
    """
    name = type(module).__name__
    if _classes().get(name) is not type(module):
        raise ValueError(f"describe: {type(module).__qualname__} is not a module of fastconv.nn")
    args, kwargs = module._arguments
    # Of __init__, since early Pythons 3.11 see only the __new__ of a class that has both.
    bound = inspect.signature(type(module).__init__).bind(module, *args, **kwargs)
    _, *arguments = bound.arguments.items()
    arguments = dict(arguments)
    if [id(m) for m in _modules_in(arguments)] != [id(m) for m in module.children()]:
        raise ValueError(f"describe: {name} no longer holds the modules that it was made of")
    return {
        "class": name,
        "arguments": {
            key: _plain(f"describe: {name}: {key}", value)
            for key, value in arguments.items()
            if not isinstance(value, np.random.Generator)
        },
    }


def build(description):
    """The module of a description, with new initial values.

    Raises ValueError for anything but a description: an unknown class, an unknown or impossible
    argument.
    """
    if not _is_description(description):
        raise ValueError(f"build: a description has 'class' and 'arguments', got {description!r}")
    try:
        return _built(description)
    except RecursionError:
        raise ValueError("build: the description is nested too deep") from None


def _construct(name, arguments):
    constructor = _classes().get(name)
    if constructor is None:
        raise ValueError(f"build: {name!r} is not a module of fastconv.nn")
    try:
        # What a constructor takes as *modules is one list here.
        several = [
            parameter.name
            for parameter in inspect.signature(constructor.__init__).parameters.values()
            if parameter.kind is parameter.VAR_POSITIONAL
        ]
        positional = [each for key in several for each in arguments.pop(key, ())]
        return constructor(*positional, **arguments)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"build: {name}: {error}") from error


def _classes(base=Module):
    """Name -> class for the modules of fastconv.nn, and not those of its users."""
    found = {}
    for value in base.__subclasses__():
        if value.__module__.startswith("fastconv.nn.") and not value.__name__.startswith("_"):
            found[value.__name__] = value
        found |= _classes(value)
    return found


def _modules_in(value):
    if isinstance(value, Module):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _modules_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _modules_in(each)


def _plain(where, value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Module):
        return describe(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(where, each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(where, each) for key, each in value.items()}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    raise ValueError(f"{where} has no plain form, got a {type(value).__name__}")


def _is_description(value):
    return (
        isinstance(value, dict)
        and value.keys() == {"class", "arguments"}
        and isinstance(value["class"], str)
        and isinstance(value["arguments"], dict)
    )


def _built(value):
    if _is_description(value):
        return _construct(value["class"], _built(value["arguments"]))
    if isinstance(value, list):
        return [_built(each) for each in value]
    if isinstance(value, dict):
        return {key: _built(each) for key, each in value.items()}
    return value
