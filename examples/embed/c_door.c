/* A library in plain C, without Python.h: whoever loads it hands over fastconv's functions.
 *
 *     cc -shared -fPIC -I $(python -c "import fastconv; print(fastconv.get_include())") \
 *        c_door.c -o c_door.so
 *     python -c "import ctypes, fastconv; door = ctypes.CDLL('./c_door.so'); \
 *                door.use_fastconv.argtypes = [ctypes.c_void_p]; \
 *                door.use_fastconv(fastconv.embed.table()); print(door.check())"
 */
#include "fastconv.h"

int use_fastconv(const fastconv_table *table) {
    if (table->version < FASTCONV_API_VERSION) return -1;
    fastconv_api = table;
    return 0;
}

/* y (channels, height, width) = the mean of every 3 x 3 window of x, for each channel. */
int blur(const float *x, float *y, int64_t channels, int64_t height, int64_t width) {
    float weight[64 * 9];
    fastconv_problem problem = {
        .struct_size = sizeof problem, .dimensions = 2, .batch = 1, .groups = channels,
        .in_channels = channels, .out_channels = channels,
        .in_size = {height, width}, .out_size = {height, width},
        .kernel = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}, .padding = {1, 1},
        .in_strides = {channels * height * width, height * width, width, 1},
        .out_strides = {channels * height * width, height * width, width, 1},
    };
    if (channels > 64) return FASTCONV_BAD_CHANNELS;
    for (int64_t i = 0; i < channels * 9; i++) weight[i] = 1.0f / 9;
    return fastconv_conv_forward_f32(&problem, x, weight, 0, y, 0);
}

/* 0 if a constant stays what it is inside, and loses a third along the edge. */
int check(void) {
    static float x[4 * 8 * 8], y[4 * 8 * 8];
    for (int i = 0; i < 4 * 8 * 8; i++) x[i] = 9;
    if (blur(x, y, 4, 8, 8) != FASTCONV_OK) return 1;
    return !(y[9] > 8.99f && y[9] < 9.01f && y[1] > 5.99f && y[1] < 6.01f);
}
