// In place of the C library's, so that a failed assertion names the kernel and its thread. As that one, it may be included
// again.
#include "swcuda/runtime.h"

#undef assert
#define assert(condition) ((condition) ? (void)0 : swcuda::fail("fails the assertion %s", #condition))
