"""Pictures step by step: one still, or all of them as an animation."""

import os
from pathlib import Path

from fastconv._shapes import integer

MOST_FRAMES = 400
GIF_DPI = 128
SECONDS, LAST_SECONDS = 0.7, 2.0


class Animation:
    """A sequence of matplotlib Figures of one size, drawn as they are asked for.

    animation = fastconv.plot.draw_conv((5, 5), 3, step="all")
    len(animation), animation[0]
    animation.save("conv.gif")
    """

    def __init__(self, steps, figure):
        self._steps, self._figure = steps, figure

    def __len__(self):
        return self._steps

    def __getitem__(self, step):
        if not -self._steps <= step < self._steps:
            raise IndexError(f"step {step} of an animation of {self._steps}")
        return self._figure(step % self._steps)

    def save(self, path, seconds=SECONDS):
        """Writes a GIF of one frame a step, each shown for `seconds`, the last one longer.

        Raises ImportError without Pillow (extra `image`), ValueError for another kind of file or
        more than 400 frames, OSError for a file that cannot be written.
        """
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError(f"{path}: a GIF needs Pillow: pip install 'fastconv[image]'") from (
                error
            )
        if Path(path).suffix.lower() != ".gif":
            raise ValueError(f"{path}: an animation must be a .gif file")
        if self._steps > MOST_FRAMES:
            raise ValueError(
                f"{path}: an animation must have at most {MOST_FRAMES} steps, got {self._steps}"
            )
        frames = []
        for step in range(self._steps):
            figure = self._figure(step)
            figure.set_dpi(GIF_DPI)
            figure.canvas.draw()
            pixels = Image.fromarray(_rgb(figure.canvas))
            frames.append(pixels.quantize(128, dither=Image.Dither.NONE))
        milliseconds = [round(1000 * seconds)] * (self._steps - 1)
        milliseconds.append(round(1000 * max(seconds, LAST_SECONDS)))
        # Each frame holds what changed; the marks move, so that no two are equal and merged.
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)


def _rgb(canvas):
    import numpy as np

    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])


def picture(op, sheet, steps, step):
    """What a drawing function returns: `sheet(step)` as a Figure, or all steps as an Animation.

    step: None for the whole, a number from 0 for the state at that step, "all" for an Animation
    """
    if step is None:
        return sheet(None).figure()
    if isinstance(step, str):
        if step != "all":
            raise ValueError(f'{op}: step must be None, a number or "all", got {step!r}')
        sheet(0)
        return Animation(steps, lambda at: sheet(at).figure())
    step = integer(op, "step", step, 0)
    if step >= steps:
        raise ValueError(f"{op}: step must be below {steps}, the number of steps, got {step}")
    return sheet(step).figure()


def save(drawing, path):
    """Writes what a drawing function returned; the name of the file decides its format.

    A Figure becomes .png, .svg or .pdf, an Animation .gif.  Raises ValueError for another kind of
    file, OSError for one that cannot be written, ImportError without Pillow for a GIF.
    """
    path = Path(os.fspath(path))
    if isinstance(drawing, Animation):
        drawing.save(path)
        return
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"{path}: a picture must be a .png, .svg or .pdf file")
    from matplotlib import rc_context

    from fastconv.plot.style import RC

    with rc_context(RC):
        # No date: the same picture is the same file.
        names = {".svg": "Date", ".pdf": "CreationDate"}
        dated = names.get(path.suffix.lower())
        drawing.savefig(path, metadata={dated: None} if dated else None)
