// What libcublas, libcublasLt and libcurand of the software device ask of its libcuda.
#pragma once
#include <cstddef>

#include "count.h"
#include "settings.h"

namespace swcuda {

// Notes that work on a stream reads or writes device memory, and complains where another stream uses it that nothing
// waited for. False if the bytes are not all within one allocation.
bool use_memory(void *stream, const void *pointer, size_t bytes, bool writes, const char *user);

// An error that the device is stuck in (a status of the driver), or 0.
int lost();

}  // namespace swcuda
