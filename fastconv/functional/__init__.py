"""Functions on arrays: the one place that checks, computes shapes, allocates and calls a kernel.

Names, argument order, defaults and meaning are those of ``torch.nn.functional`` wherever the same
name exists there; arrays are NumPy arrays of layout N, C, then space.
"""

from fastconv.functional.conv import *
from fastconv.functional.conv_transpose import *
from fastconv.functional.linear import *
