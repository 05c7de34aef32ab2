#include "shared_memory.h"

#include <cstring>

namespace swcuda {

SharedMemory::SharedMemory() : pages(new_pages(SLOTS * SLOT)) {
    for (size_t slot = 0; slot < SLOTS; slot++) forbid(end_of_slot(slot), PAGE);
}

void SharedMemory::start_block(const Launch &launch) {
    dynamic_start = end_of_slot(0) - (launch.shared + 15) / 16 * 16;
    memset(dynamic_start, 0xff, launch.shared);
    slots_used = 1, bytes_used = launch.shared, largest = launch.largest_shared;
}

void *SharedMemory::place(const char *name, size_t size, size_t alignment) {
    bytes_used += size;
    if (bytes_used > largest)
        fail("has %zu bytes of shared memory with %s; a block may have %zu", bytes_used, name, largest);
    if (slots_used == SLOTS) fail("has more than %zu static shared variables with %s", SLOTS - 1, name);
    char *start = end_of_slot(slots_used++) - (size + alignment - 1) / alignment * alignment;
    return memset(start, 0xff, size);
}

}  // namespace swcuda
