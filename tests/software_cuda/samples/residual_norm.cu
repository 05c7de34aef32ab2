// y = LayerNorm(residual + dropout(x)) and its way back, one block a row, in f32 and bfloat16. A sample of an own kernel
// that nvcc and the software device both compile: warp shuffles, static and dynamic shared memory, hashed randomness.
#include <cuda_bf16.h>
#include <stdint.h>

namespace {

__device__ inline float load(const float *p, size_t i) { return p[i]; }
__device__ inline float load(const __nv_bfloat16 *p, size_t i) { return __bfloat162float(p[i]); }
__device__ inline void store(float *p, size_t i, float v) { p[i] = v; }
__device__ inline void store(__nv_bfloat16 *p, size_t i, float v) { p[i] = __float2bfloat16(v); }

// The factor of an element, 0 or 1 / (1 − p): a function of seed and place, so that the way back finds it again.
__device__ inline float dropout_factor(uint32_t seed, uint32_t place, float p) {
    uint32_t h = seed ^ place * 0x9e3779b9u;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    h ^= h >> 16;
    return float(h >> 8) * 0x1p-24f < p ? 0.0f : 1.0f / (1.0f - p);
}

// The sum over a block, for all its threads. Its size must be a multiple of 32.
__device__ inline float block_sum(float value) {
    __shared__ float of_warps[32];
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
    __syncthreads();  // of_warps may still be read from the last sum
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x % 32 < blockDim.x / 32 ? of_warps[threadIdx.x % 32] : 0.0f;
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffff, value, offset);
    return value;
}

template <typename T>
__device__ void forward(const T *x, const T *residual, const float *scale, const float *shift, T *y, float *means,
                        float *inverse_deviations, uint32_t width, float eps, float p, uint32_t seed) {
    extern __shared__ float row[];
    size_t start = size_t(blockIdx.x) * width;
    float sum = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        row[i] = load(residual, start + i) + load(x, start + i) * dropout_factor(seed, start + i, p);
        sum += row[i];
    }
    float mean = block_sum(sum) / width, squares = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
    float inverse_deviation = rsqrtf(block_sum(squares) / width + eps);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        store(y, start + i, (row[i] - mean) * inverse_deviation * scale[i] + shift[i]);
    if (threadIdx.x == 0) means[blockIdx.x] = mean, inverse_deviations[blockIdx.x] = inverse_deviation;
}

template <typename T>
__device__ void backward(const T *grad_y, const T *x, const T *residual, const float *scale, const float *means,
                         const float *inverse_deviations, T *grad_x, T *grad_residual, float *grad_scale,
                         float *grad_shift, uint32_t width, float p, uint32_t seed) {
    size_t start = size_t(blockIdx.x) * width;
    float mean = means[blockIdx.x], inverse_deviation = inverse_deviations[blockIdx.x], sum = 0, sum_normed = 0;
    auto normed = [&](uint32_t i) {
        float value = load(residual, start + i) + load(x, start + i) * dropout_factor(seed, start + i, p);
        return (value - mean) * inverse_deviation;
    };
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float grad = load(grad_y, start + i);
        sum += grad * scale[i];
        sum_normed += grad * scale[i] * normed(i);
        atomicAdd(&grad_scale[i], grad * normed(i));
        atomicAdd(&grad_shift[i], grad);
    }
    sum = block_sum(sum) / width, sum_normed = block_sum(sum_normed) / width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float grad = inverse_deviation * (load(grad_y, start + i) * scale[i] - sum - normed(i) * sum_normed);
        store(grad_residual, start + i, grad);
        store(grad_x, start + i, grad * dropout_factor(seed, start + i, p));
    }
}

}  // namespace

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void __launch_bounds__(1024) residual_norm_forward_##NAME(                                  \
        const T *x, const T *residual, const float *scale, const float *shift, T *y, float *means,                    \
        float *inverse_deviations, uint32_t width, float eps, float p, uint32_t seed) {                               \
        forward(x, residual, scale, shift, y, means, inverse_deviations, width, eps, p, seed);                        \
    }                                                                                                                 \
    extern "C" __global__ void residual_norm_backward_##NAME(                                                         \
        const T *grad_y, const T *x, const T *residual, const float *scale, const float *means,                       \
        const float *inverse_deviations, T *grad_x, T *grad_residual, float *grad_scale, float *grad_shift,           \
        uint32_t width, float p, uint32_t seed) {                                                                     \
        backward(grad_y, x, residual, scale, means, inverse_deviations, grad_x, grad_residual, grad_scale,            \
                 grad_shift, width, p, seed);                                                                         \
    }
KERNELS(float, f32)
KERNELS(__nv_bfloat16, bf16)

// Each value is moved once, though the way back reads some twice: they are in a cache by then.
#ifdef SWCUDA
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(residual_norm_forward_##NAME)(const T *, const T *, const float *, const float *, T *, float *,    \
                                                 float *, uint32_t width, float, float, uint32_t) {                  \
        uint64_t values = uint64_t(gridDim.x) * width;                                                                \
        return {2 * values * sizeof(T) + 2 * width * sizeof(float), values * sizeof(T) + 2 * gridDim.x * sizeof(float)}; \
    }
TRAFFIC(float, f32)
TRAFFIC(__nv_bfloat16, bf16)
#endif
