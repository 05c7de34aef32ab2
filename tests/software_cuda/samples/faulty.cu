// Kernels with one fault each, that the software device has to find. They are never run on a GPU.
#include <assert.h>
#include <stdint.h>

// A sum over the block with a barrier missing: thread 0 reads what others have not written yet, in some order of threads.
extern "C" __global__ void missing_barrier(const float *x, float *y) {
    __shared__ float values[64];
    values[threadIdx.x] = x[threadIdx.x];
    float sum = 0;
    if (threadIdx.x == 0)
        for (int i = 0; i < 64; i++) sum += values[i];
    if (threadIdx.x == 0) y[0] = sum;
}

extern "C" __global__ void beyond_static_shared(const float *x, float *y) {
    __shared__ float values[64];
    values[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[threadIdx.x];
}

extern "C" __global__ void beyond_dynamic_shared(const float *x, float *y) {
    extern __shared__ float values[];
    values[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[threadIdx.x];
}

// Reads what nobody has written: NaN.
extern "C" __global__ void unwritten_shared(const float *x, float *y) {
    __shared__ float values[64];
    if (threadIdx.x % 2) values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[threadIdx.x];
}

// Static shared memory of 48 KB, beside the dynamic one that it is launched with.
extern "C" __global__ void too_much_shared(const float *x, float *y) {
    __shared__ float values[48 * 256];
    values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[threadIdx.x];
}

extern "C" __global__ void beyond_device_memory(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x + 8]; }

// Half of a warp waits for the block, the other half for the first.
extern "C" __global__ void barrier_in_a_branch(const float *x, float *y) {
    float value = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) __syncthreads();
    else value = __shfl_sync(0xffffffff, value, 0);
    y[threadIdx.x] = value;
}

extern "C" __global__ void different_operations(const float *x, float *y) {
    float value = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(0xffffffff, value, 1);
    else value += __ballot_sync(0xffffffff, 1);
    y[threadIdx.x] = value;
}

extern "C" __global__ void lane_outside_its_mask(const float *x, float *y) {
    y[threadIdx.x] = __shfl_xor_sync(0x0000ffff, x[threadIdx.x], 1);
}

extern "C" __global__ void failed_assertion(const float *x, float *y) {
    assert(blockDim.x == 1);
    y[threadIdx.x] = x[threadIdx.x];
}
