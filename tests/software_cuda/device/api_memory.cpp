// The driver's functions about memory.
#include <cstdlib>

#include "api.h"
#include "memory.h"

using namespace swcuda;

namespace {

CUresult copy_if_ready(void *to, const void *from, Direction direction, size_t bytes, CUstream stream) {
    CUresult error = ready();
    return error ? error : copy(to, from, direction, bytes, stream);
}

}  // namespace

EXPORT CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t size, CUstream stream) {
    CUresult error = ready();
    return error ? error : allocate(pointer, size, stream);
}
EXPORT CUresult cuMemAlloc(CUdeviceptr *pointer, size_t size) {
    return size ? cuMemAllocAsync(pointer, size, nullptr) : CUDA_ERROR_INVALID_VALUE;
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) { return release(pointer, stream); }
EXPORT CUresult cuMemFree(CUdeviceptr pointer) {
    cuCtxSynchronize();
    return release(pointer, nullptr);
}

EXPORT CUresult cuMemHostAlloc(void **pointer, size_t size, unsigned) {
    return (*pointer = malloc(size)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFreeHost(void *pointer) { return free(pointer), CUDA_SUCCESS; }

EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    CUresult error = ready();
    return error ? error : fill(to, value, bytes, stream);
}
EXPORT CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t bytes) {
    return cuMemsetD8Async(to, value, bytes, nullptr);
}

EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return copy_if_ready(address(to), from, Direction::HostToDevice, bytes, stream);
}
EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_if_ready(to, address(from), Direction::DeviceToHost, bytes, stream);
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_if_ready(address(to), address(from), Direction::DeviceToDevice, bytes, stream);
}
EXPORT CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
    return cuMemcpyHtoDAsync(to, from, bytes, nullptr);
}
EXPORT CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
    return cuMemcpyDtoHAsync(to, from, bytes, nullptr);
}
EXPORT CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return cuMemcpyDtoDAsync(to, from, bytes, nullptr);
}
