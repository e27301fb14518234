/* A C++ program that embeds Python, imports fastconv, and from then on calls its kernels alone.
 *
 *     c++ -std=c++17 $(python3-config --includes) cpp_door.cpp -o cpp_door \
 *         -I $(python -c "import fastconv; print(fastconv.get_include())") \
 *         $(python3-config --ldflags --embed) -pthread
 *     ./cpp_door
 */
#include <Python.h>

#include "fastconv.h"

#include <cstdio>
#include <thread>
#include <vector>

// Ones through a filter of ones: 8 channels times the cells of each window that lie in the image.
static int convolve(const std::vector<double> &x, const std::vector<double> &w,
                    std::vector<double> &y, int64_t size) {
    fastconv_problem problem = {};
    problem.struct_size = sizeof problem;
    problem.dimensions = 2;
    problem.batch = problem.groups = 1;
    problem.in_channels = 8;
    problem.out_channels = 4;
    for (int axis = 0; axis < 2; axis++) {
        problem.in_size[axis] = problem.out_size[axis] = size;
        problem.kernel[axis] = 3;
        problem.stride[axis] = problem.dilation[axis] = problem.padding[axis] = 1;
    }
    const int64_t steps[] = {8 * size * size, size * size, size, 1};
    for (int axis = 0; axis < 4; axis++) problem.in_strides[axis] = steps[axis];
    for (int axis = 0; axis < 4; axis++) problem.out_strides[axis] = steps[axis];
    return fastconv_conv_forward_f64(&problem, x.data(), w.data(), nullptr, y.data(), 1);
}

int main() {
    const int64_t size = 512;
    std::vector<double> x(8 * size * size, 1.0), w(4 * 8 * 9, 1.0);
    const std::vector<double> zeros(4 * size * size);
    std::vector<double> y[2] = {zeros, zeros};
    int status[2];
    Py_Initialize();
    if (fastconv_import() < 0) {
        PyErr_Print();
        return 1;
    }
    PyThreadState *state = PyEval_SaveThread();  // the threads below never see the GIL
    std::thread one([&] { status[0] = convolve(x, w, y[0], size); });
    std::thread two([&] { status[1] = convolve(x, w, y[1], size); });
    one.join();
    two.join();
    PyEval_RestoreThread(state);
    for (int i = 0; i < 2; i++)
        std::printf("%s: corner %g edge %g inside %g\n", fastconv_status_message(status[i]),
                    y[i][0], y[i][1], y[i][size + 1]);
    return Py_FinalizeEx() < 0 || status[0] || status[1];
}
