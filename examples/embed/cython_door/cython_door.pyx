# cython: language_level=3
"""Images through a convolution, one after the other, without the GIL: the weights are packed once."""

from fastconv cimport (
    FASTCONV_FORWARD, fastconv_conv_prepare_f32, fastconv_conv_run_f32, fastconv_prepared,
    fastconv_problem, fastconv_release, fastconv_status_message,
)


def convolve(const float[:, :, :, ::1] images, const float[:, :, :, ::1] weight,
             float[:, :, :, ::1] out):
    """out (N, O, H, W) = images (N, C, H, W) * weight (O, C, 3, 3), zero padding."""
    cdef fastconv_problem problem
    cdef fastconv_prepared* prepared = NULL
    cdef Py_ssize_t n, images_count = images.shape[0]
    cdef int status = 0, axis
    if (weight.shape[0] != out.shape[1] or weight.shape[1] != images.shape[1]
            or weight.shape[2] != 3 or weight.shape[3] != 3 or out.shape[0] != images_count):
        raise ValueError("weight must be (O, C, 3, 3), out (N, O, H, W)")
    problem.struct_size = sizeof(problem)
    problem.dimensions, problem.batch, problem.groups = 2, 1, 1
    problem.in_channels, problem.out_channels = images.shape[1], out.shape[1]
    for axis in range(2):
        problem.in_size[axis], problem.out_size[axis] = images.shape[2 + axis], out.shape[2 + axis]
        problem.kernel[axis], problem.padding[axis] = 3, 1
        problem.stride[axis] = problem.dilation[axis] = 1
    for axis in range(4):
        problem.in_strides[axis] = images.strides[axis] // <int> sizeof(float)
        problem.out_strides[axis] = out.strides[axis] // <int> sizeof(float)
    with nogil:
        status = fastconv_conv_prepare_f32(&problem, FASTCONV_FORWARD, &weight[0, 0, 0, 0], NULL,
                                           &prepared, 1)
        for n in range(images_count):
            if status == 0:
                status = fastconv_conv_run_f32(prepared, &images[n, 0, 0, 0], &out[n, 0, 0, 0], 1)
        fastconv_release(prepared)
    if status:
        raise ValueError(fastconv_status_message(status).decode())
