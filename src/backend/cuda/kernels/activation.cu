// The feed-forward block's activation and its way back.
#include "elements.cuh"

namespace {

enum Kind : uint32_t { GELU, GELU_TANH, QUICK_GELU, RELU, SILU };

constexpr float SQRT_2_OVER_PI = 0.79788456080286535588f, CUBIC = 0.044715f, QUICK_SLOPE = 1.702f;

// The function's value, and its slope where that is wanted.
__device__ inline float activate(uint32_t kind, float x, float *slope) {
    if (kind == RELU) {
        *slope = x > 0.0f;
        return x > 0.0f ? x : 0.0f;
    }
    if (kind == GELU) {
        float half = 0.5f * erfcf(-x * 0.70710678118654752440f);  // the normal distribution's, exact far below 0
        *slope = half + x * 0.39894228040143267794f * expf(-0.5f * x * x);
        return x * half;
    }
    if (kind == GELU_TANH) {
        float t = tanhf(SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
        *slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
        return 0.5f * x * (1 + t);
    }
    float steep = kind == QUICK_GELU ? QUICK_SLOPE : 1.0f;
    float sigmoid = 1.0f / (1.0f + expf(-steep * x));
    *slope = sigmoid * (1.0f + steep * x * (1.0f - sigmoid));
    return x * sigmoid;
}

// A block: up to blockDim columns of a stripe of rows.
template <typename T>
__device__ void activation_backward(const T *pre, T *grad, T *activated, float *partial, uint32_t rows, uint32_t columns,
                                    uint32_t stride, uint32_t kind) {
    uint32_t column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    uint32_t first = blockIdx.y * STRIPE, last = min(rows, first + STRIPE);
    float sum = 0;
    for (uint32_t row = first; row < last; row++) {
        size_t place = size_t(row) * columns + column;
        float slope, value = activate(kind, load(pre, place), &slope), g = load(grad, place) * slope;
        store(activated, place, value);
        store(grad, place, g);
        sum += g;
    }
    partial[size_t(blockIdx.y) * stride + column] = sum;
}

template <typename T>
__device__ void column_partials(const T *x, float *partial, uint32_t rows, uint32_t columns, uint32_t stride) {
    uint32_t column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    uint32_t first = blockIdx.y * STRIPE, last = min(rows, first + STRIPE);
    float sum = 0;
    for (uint32_t row = first; row < last; row++) sum += load(x, size_t(row) * columns + column);
    partial[size_t(blockIdx.y) * stride + column] = sum;
}

}  // namespace

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void activation_##NAME(const T *pre, T *y, uint64_t n, uint32_t kind) {                     \
        size_t step = size_t(gridDim.x) * blockDim.x;                                                                 \
        for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {                            \
            float slope;                                                                                              \
            store(y, i, activate(kind, load(pre, i), &slope));                                                        \
        }                                                                                                             \
    }                                                                                                                 \
    extern "C" __global__ void activation_backward_##NAME(const T *pre, T *grad, T *activated, float *partial,        \
                                                          uint32_t rows, uint32_t columns, uint32_t stride,           \
                                                          uint32_t kind) {                                            \
        activation_backward(pre, grad, activated, partial, rows, columns, stride, kind);                              \
    }                                                                                                                 \
    extern "C" __global__ void column_partials_##NAME(const T *x, float *partial, uint32_t rows, uint32_t columns,    \
                                                      uint32_t stride) {                                              \
        column_partials(x, partial, rows, columns, stride);                                                           \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)

#ifdef SWCUDA
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(activation_##NAME)(const T *, T *, uint64_t n, uint32_t) { return {n * sizeof(T), n * sizeof(T)}; } \
    SWCUDA_TRAFFIC(activation_backward_##NAME)(const T *, T *, T *, float *, uint32_t rows, uint32_t columns,         \
                                               uint32_t, uint32_t) {                                                  \
        uint64_t values = uint64_t(rows) * columns;                                                                   \
        return {2 * values * sizeof(T), 2 * values * sizeof(T) + 4ull * columns * gridDim.y};                         \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(column_partials_##NAME)(const T *, float *, uint32_t rows, uint32_t columns, uint32_t) {           \
        return {uint64_t(rows) * columns * sizeof(T), 4ull * columns * gridDim.y};                                    \
    }
TRAFFIC(float, f32)
TRAFFIC(bf16, bf16)
#endif
