"""Ctrl-C between two batches: half a step is never left behind."""

import signal
import threading


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C that was answered between two batches: weights and optimizer are of one step."""


class DeferredInterrupt:
    """While it is entered, a first Ctrl-C waits for `check`; a second one interrupts at once.

    Only in the main thread, and only in place of Python's own handler of SIGINT: a handler of the
    program, or none, is left alone.  On exit the old handler is back.
    """

    def __enter__(self):
        self.pending, self._before = False, None
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind, error, traceback):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.check()

    def _handle(self, number, frame):
        if self.pending:
            self._before(number, frame)  # raises KeyboardInterrupt
        self.pending = True

    def check(self):
        """Raises Interrupted if there was a Ctrl-C."""
        if self.pending:
            raise Interrupted
