# cython: language_level=3
"""What this processor and this build can do.  Compiled for the baseline: it runs first."""

from fastconv._kernels.openmp cimport FASTCONV_OPENMP, omp_get_max_threads

cdef extern from *:
    """
    #if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    static int fastconv_cpu_level(void) {
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("sse4.2")) return -1;
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return 0;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))) return 1;
        return 2;
    }
    #else
    static int fastconv_cpu_level(void) { return 0; }
    #endif
    """
    int fastconv_cpu_level() noexcept nogil


def level():
    """Rank of the newest instruction set of this processor.

    0 baseline, 1 avx2, 2 avx512; -1 when even the baseline is missing.
    """
    return fastconv_cpu_level()


def openmp_version():
    """The compiler's OpenMP date (yyyymm), 0 in a serial build."""
    return FASTCONV_OPENMP


def openmp_max_threads():
    """OpenMP's present limit in the calling thread; threadpoolctl lowers it."""
    return omp_get_max_threads()
