# `from fastconv cimport ...`: the C interface.  Compile with fastconv.get_include().

from fastconv._kernels.capi cimport *
from fastconv._kernels.entries cimport fastconv_problem
