// A block's shared memory. All of it is NaN when the block starts, and each piece ends at a page that may not be touched.
#pragma once
#include <cstddef>

#include "fiber.h"
#include "grid.h"

namespace swcuda {

class SharedMemory {
public:
    SharedMemory();
    void start_block(const Launch &launch);
    void *dynamic() const { return dynamic_start; }
    // The place of one more static variable of this block.
    void *place(const char *name, size_t size, size_t alignment);

private:
    // Room for what cuFuncSetAttribute allows at most.
    static constexpr size_t LARGEST = 228 * 1024, SLOT = LARGEST + PAGE, SLOTS = 32;

    char *pages;  // the first slot is for dynamic memory
    size_t slots_used = 0, bytes_used = 0, largest = 0;
    char *dynamic_start = nullptr;

    char *end_of_slot(size_t slot) const { return pages + slot * SLOT + LARGEST; }
};

}  // namespace swcuda
