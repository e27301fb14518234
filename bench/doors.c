/* Loops of calls for bench_doors.py: seconds for `calls` of them. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "fastconv.h"

/* A kernel without the interface: the first of conv_entries in entries.pxd. */
typedef int (*correlate)(const fastconv_problem *, int, const void *, const void *, const void *,
                         void *, int);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void use(const fastconv_table *table) { fastconv_api = table; }

double kernel(correlate *entries, const fastconv_problem *p, const float *x, const float *w,
              float *y, long calls) {
    double start = now();
    for (long i = 0; i < calls; i++) entries[0](p, 0, x, w, 0, y, 1);
    return now() - start;
}

double forward(const fastconv_problem *p, const float *x, const float *w, float *y, long calls) {
    double start = now();
    for (long i = 0; i < calls; i++) fastconv_conv_forward_f32(p, x, w, 0, y, 1);
    return now() - start;
}

double prepared(const fastconv_problem *p, const float *x, const float *w, float *y, long calls) {
    fastconv_prepared *ready;
    double start;
    if (fastconv_conv_prepare_f32(p, FASTCONV_FORWARD, w, 0, &ready, 1)) return -1;
    start = now();
    for (long i = 0; i < calls; i++) fastconv_conv_run_f32(ready, x, y, 1);
    start = now() - start;
    fastconv_release(ready);
    return start;
}

double line(fastconv_prepared *ready, double *x, double *y, long in_length, long out_length,
            long calls) {
    double start = now();
    for (long i = 0; i < calls; i++) fastconv_filter_line_f64(x, in_length, y, out_length, ready);
    return now() - start;
}
