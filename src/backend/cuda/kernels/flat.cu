// Arithmetic on flat buffers of weights, gradients and moments in f32.
#include "elements.cuh"
#include "random.cuh"

#define FOR_EACH(i, n)                                                                                                \
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x)

extern "C" __global__ void round_bf16(const float *x, bf16 *y, uint64_t n) {
    FOR_EACH(i, n) y[i] = __float2bfloat16(x[i]);
}

// partial[block] = the block's share of Σ x², in f64. The order is that of the launch, which is always the same.
extern "C" __global__ void sum_of_squares(const float *x, double *partial, uint64_t n) {
    __shared__ double of_threads[256];
    double sum = 0;
    FOR_EACH(i, n) sum += double(x[i]) * double(x[i]);
    of_threads[threadIdx.x] = sum;
    for (uint32_t width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) of_threads[threadIdx.x] += of_threads[threadIdx.x + width];
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = of_threads[0];
}

// Products are rounded before sums, as the CPU rounds them.
extern "C" __global__ void plus(const float *a, float scale, const float *b, float *out, uint64_t n) {
    FOR_EACH(i, n) out[i] = __fadd_rn(a[i], __fmul_rn(scale, b[i]));
}

extern "C" __global__ void perturb(float *direction, float scale, const float *weights, uint64_t n) {
    FOR_EACH(i, n) direction[i] = __fadd_rn(weights[i], __fmul_rn(scale, direction[i]));
}

extern "C" __global__ void normals(float *out, uint64_t key, uint64_t n) {
    FOR_EACH(i, n) out[i] = float(key_normal(key_at(key, i >> 16), uint32_t(i & 0xffff)));
}

// One update as PyTorch computes it.
extern "C" __global__ void adamw(float *p, const float *g, float *m, float *v, uint64_t n, float beta1,
                                 float one_minus_beta1, float beta2, float one_minus_beta2, float inverse_bias2_sqrt,
                                 float eps, float decay, float step_size) {
    FOR_EACH(i, n) {
        float m_new = __fadd_rn(__fmul_rn(beta1, m[i]), __fmul_rn(one_minus_beta1, g[i]));
        float v_new = __fadd_rn(__fmul_rn(beta2, v[i]), __fmul_rn(one_minus_beta2, __fmul_rn(g[i], g[i])));
        float denominator = __fadd_rn(__fmul_rn(sqrtf(v_new), inverse_bias2_sqrt), eps);
        p[i] = __fadd_rn(__fmul_rn(decay, p[i]), -__fmul_rn(step_size, m_new / denominator));
        m[i] = m_new;
        v[i] = v_new;
    }
}

#ifdef SWCUDA
SWCUDA_TRAFFIC(round_bf16)(const float *, bf16 *, uint64_t n) { return {4 * n, 2 * n}; }
SWCUDA_TRAFFIC(sum_of_squares)(const float *, double *, uint64_t n) { return {4 * n, 8ull * gridDim.x}; }
SWCUDA_TRAFFIC(plus)(const float *, float, const float *, float *, uint64_t n) { return {8 * n, 4 * n}; }
SWCUDA_TRAFFIC(perturb)(float *, float, const float *, uint64_t n) { return {8 * n, 4 * n}; }
SWCUDA_TRAFFIC(normals)(float *, uint64_t, uint64_t n) { return {0, 4 * n}; }
SWCUDA_TRAFFIC(adamw)(float *, const float *, float *, float *, uint64_t n, float, float, float, float, float, float, float,
                      float) {
    return {16 * n, 12 * n};
}
#endif
