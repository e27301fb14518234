"""Pictures of convolutions, drawn from running them; needs the extra `plot` (matplotlib).

    figure = fastconv.plot.draw_conv((5, 5), 3, padding=1)      # a matplotlib Figure
    frames = fastconv.plot.draw_conv((5, 5), 3, step="all")     # an Animation, a frame a step
    fastconv.plot.save(frames, "conv.gif")

One function for each kind of `fastconv draw`.  All colours mean the same in all pictures: blue is
input, orange the kernel, from its first tap (light) to its last (dark), green output, purple
gradient, grey zeros that are not stored: padding, or between the cells.  Numbers are real and come
from the kernels; they are left out where a cell is too small to read them.
"""

from fastconv.plot.animation import Animation, save
from fastconv.plot.arithmetic import draw_arithmetic
from fastconv.plot.filters import draw_regroup
from fastconv.plot.matrix import draw_deconvolution, draw_matrix
from fastconv.plot.phases import draw_phases
from fastconv.plot.pool import draw_pool
from fastconv.plot.steps import draw_steps
from fastconv.plot.window import draw_conv, draw_inverted, draw_transposed

__all__ = [
    "Animation",
    "draw_arithmetic",
    "draw_conv",
    "draw_deconvolution",
    "draw_inverted",
    "draw_matrix",
    "draw_phases",
    "draw_pool",
    "draw_regroup",
    "draw_steps",
    "draw_transposed",
    "save",
]
