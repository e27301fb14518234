"""A setting of the whole package: what was set last, or within the context entered last."""

from contextlib import contextmanager


class Setting:
    """`value`, None until it is set."""

    def __init__(self):
        self._value = None
        self._contexts = []  # [value] of each that is entered, in any thread

    @property
    def value(self):
        return self._contexts[-1][0] if self._contexts else self._value

    def set(self, value):
        """Within a context, until that ends."""
        if self._contexts:
            self._contexts[-1][0] = value
        else:
            self._value = value

    @contextmanager
    def within(self, value):
        own = [value]
        self._contexts.append(own)
        try:
            yield
        finally:
            # Those of other threads may have been entered since.
            self._contexts[:] = [each for each in self._contexts if each is not own]
