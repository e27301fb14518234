"""What a training run shows: a live bar on a terminal, and one line per epoch.

The bar goes to stderr and vanishes; the lines stay, on stdout.
"""

import shutil
import sys
import time

REFRESH = 0.1  # seconds between two states of the bar


class Progress:
    """Shows the epochs of one run.

    verbose: 0 nothing, 1 bar and lines, 2 lines, "auto" 1 on a terminal or in a notebook, else 2.
    Use as a context manager, so that the bar is gone whatever ends the run.
    """

    def __init__(self, verbose, epochs):
        if verbose == "auto":
            verbose = 1 if sys.stderr.isatty() or "ipykernel" in sys.modules else 2
        elif not isinstance(verbose, int) or not 0 <= verbose <= 2:
            raise ValueError(f'verbose must be 0, 1, 2 or "auto", got {verbose!r}')
        self.verbose, self.epochs = int(verbose), epochs
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close_bar()

    def begin_epoch(self, epoch, batches, done=0):
        """`epoch` counts from 1; `batches` is None when nobody knows; `done` of them already."""
        self._title = f"epoch {epoch}/{self.epochs}"
        if self.verbose == 1:
            self._bar = _bar(batches, self._title, done)
            self._count, self._shown = 0, time.monotonic()

    def end_batch(self, logs):
        if self._bar is None:
            return
        self._count += 1
        now = time.monotonic()
        if now - self._shown >= REFRESH:
            self._bar.set_postfix_str(describe(logs), refresh=False)
            self._bar.update(self._count)
            self._count, self._shown = 0, now

    def end_epoch(self, logs, seconds, samples):
        self._close_bar()
        if self.verbose:
            rate = f"{samples / seconds:,.0f} samples/s" if seconds > 0 else ""
            print(f"{self._title}  {describe(logs)}  {seconds:.1f} s  {rate}", flush=True)

    def end(self, reason):
        """`reason`: why the run ended early, or None."""
        if self.verbose and reason:
            print(reason, flush=True)

    def _close_bar(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def describe(logs):
    """{"loss": 0.12345, "accuracy": 0.97} as "loss 0.1234  accuracy 0.9700"."""
    return "  ".join(
        f"{name} {value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{name} {value:.2e}"
        for name, value in logs.items()
    )


def _bar(total, title, done):
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return TextBar(total, title, done)
    # Without the rate: it leaves the bar no room on a terminal of 80 columns.
    layout = "{desc} |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
    # `Progress` updates it seldom enough.
    return tqdm(
        total=total, desc=title, initial=done, leave=False, mininterval=0, miniters=1,
        bar_format=layout,
    )  # fmt: skip


class TextBar:
    """The part of tqdm that `Progress` uses, for a terminal without tqdm."""

    WIDTH = 24

    def __init__(self, total, title, done=0):
        self.total, self.title = total, title
        self.count, self.postfix = done, ""
        self._write(str(self))

    def set_postfix_str(self, text, refresh):
        self.postfix = text

    def update(self, count):
        self.count += count
        self._write(str(self))

    def close(self):
        self._write("")

    def __str__(self):
        if self.total is None:
            return f"{self.title}  {self.count} batches  {self.postfix}"
        done = self.WIDTH * self.count // max(self.total, 1)
        bar = "#" * done + "." * (self.WIDTH - done)
        return f"{self.title} |{bar}| {self.count}/{self.total}  {self.postfix}"

    def _write(self, text):
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{text[:width]:<{width}}\r")
        sys.stderr.flush()
