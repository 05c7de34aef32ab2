// What the files api_*.cpp share: they are the driver's functions that cudarc calls.
#pragma once
#include <cuda.h>

#include "context.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
