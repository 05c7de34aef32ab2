// The device's memory: the host's, with a record of each allocation.
#pragma once
#include <cuda.h>
#include <cstddef>

#include "count.h"

namespace swcuda {

CUresult allocate(CUdeviceptr *pointer, size_t size, void *stream);
CUresult release(CUdeviceptr pointer, void *stream);
CUresult copy(void *to, const void *from, Direction direction, size_t bytes, void *stream);
CUresult fill(CUdeviceptr to, unsigned char value, size_t bytes, void *stream);

size_t memory_in_use();
// Bytes from `pointer` to the end of the allocation that it is in; 0 outside of any.
size_t bytes_behind(const void *pointer);

inline void *address(CUdeviceptr pointer) { return reinterpret_cast<void *>(pointer); }

}  // namespace swcuda
