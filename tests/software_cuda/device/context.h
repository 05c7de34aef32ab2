// The current context, and whether the device is still there.
#pragma once
#include <cuda.h>

namespace swcuda {

CUcontext context_of(CUdevice device);
extern thread_local CUcontext current_context;

// Success, or why nothing can be asked of the device now: no context, or it is lost.
CUresult ready();
// As the driver does after a kernel failed: every later call ends with this error.
CUresult lose();

}  // namespace swcuda
