"""A setting of the whole package: what was set last, or within the context entered last."""

from contextlib import contextmanager


class Setting:
    """`value`, None until it is set."""

    def __init__(self):
        self._levels = [[None]]  # that of the package, then of each context entered in any thread
        self.value = None  # of the last

    def set(self, value):
        """Within a context, until that ends."""
        self._levels[-1][0] = value
        self.value = self._levels[-1][0]

    @contextmanager
    def within(self, value):
        own = [value]
        self._levels.append(own)
        self.value = self._levels[-1][0]
        try:
            yield
        finally:
            # Those of other threads may have been entered since.
            self._levels[:] = [each for each in self._levels if each is not own]
            self.value = self._levels[-1][0]
