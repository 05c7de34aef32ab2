#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include <sys/mman.h>

#include "complaint.h"
#include "libraries.h"
#include "settings.h"
#include "stream.h"

namespace swcuda {
namespace {

constexpr size_t PAGE = 4096, ALIGNMENT = 256;

struct Allocation {
    size_t size;
    char *mapping;  // with SWCUDA_GUARD, else null
    size_t mapped;
    Uses uses;
};

struct Memory {
    std::map<uintptr_t, Allocation> allocations;
    size_t used = 0;
};

Memory &memory() {
    static Memory *memory = new Memory;  // never freed: threads may use it to the last
    return *memory;
}

using Found = std::map<uintptr_t, Allocation>::iterator;

// One past the end counts as within: that is where an empty slice may point.
Found allocation_of(uintptr_t address) {
    auto &allocations = memory().allocations;
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return allocations.end();
    auto found = std::prev(after);
    return address <= found->first + found->second.size ? found : allocations.end();
}

size_t rounded(size_t size, size_t to) { return (size + to - 1) / to * to; }

// Memory that ends at a page which may not be touched; kernels load 16 bytes at once, so it ends there to 16 bytes.
char *guarded(size_t size, Allocation &allocation) {
    size_t whole = rounded(size, PAGE);
    void *mapping = mmap(nullptr, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    allocation.mapping = static_cast<char *>(mapping), allocation.mapped = whole + PAGE;
    mprotect(allocation.mapping + whole, PAGE, PROT_NONE);
    return allocation.mapping + (whole - size) / 16 * 16;
}

void give_back(uintptr_t start, const Allocation &allocation) {
    if (!allocation.mapping) {
        memset(reinterpret_cast<void *>(start), 0xff, allocation.size);
        free(reinterpret_cast<void *>(start));
        return;
    }
    // The addresses stay taken and untouchable, so that a use after this is found.
    mmap(allocation.mapping, allocation.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

bool is_device(const void *pointer) { return bytes_behind(pointer) > 0; }

__attribute__((destructor)) void look_for_leaks() {
    if (memory().used > settings().may_be_left)
        complain("the program ends with %zu allocations of %zu bytes together not freed", memory().allocations.size(),
                 memory().used);
}

}  // namespace

CUresult allocate(CUdeviceptr *pointer, size_t size, void *stream) {
    std::lock_guard<std::mutex> lock(device_mutex());
    if (memory().used + size > settings().memory) return CUDA_ERROR_OUT_OF_MEMORY;
    StreamKey key = key_of(stream);
    Allocation allocation{size, nullptr, 0, Uses(new_work(key))};
    char *start = settings().guard ? guarded(size, allocation)
                                   : static_cast<char *>(aligned_alloc(ALIGNMENT, rounded(size + 1, ALIGNMENT)));
    if (!start) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(start, 0xff, size);  // NaN: nobody may count on what is in new memory
    memory().used += size;
    count_allocation(size, memory().used);
    memory().allocations.emplace(reinterpret_cast<uintptr_t>(start), allocation);
    *pointer = reinterpret_cast<CUdeviceptr>(start);
    return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr pointer, void *stream) {
    if (!pointer) return CUDA_SUCCESS;
    std::lock_guard<std::mutex> lock(device_mutex());
    auto found = memory().allocations.find(pointer);
    if (found == memory().allocations.end()) {
        complain("frees what is not allocated");
        return CUDA_ERROR_INVALID_VALUE;
    }
    found->second.uses.add(key_of(stream), true, "free");
    memory().used -= found->second.size;
    give_back(found->first, found->second);
    memory().allocations.erase(found);
    return CUDA_SUCCESS;
}

CUresult copy(void *to, const void *from, Direction direction, size_t bytes, void *stream) {
    if (!bytes) return CUDA_SUCCESS;
    bool to_device = direction != Direction::DeviceToHost, from_device = direction != Direction::HostToDevice;
    bool right = (to_device ? use_memory(stream, to, bytes, true, "copy to") : !is_device(to)) &&
                 (from_device ? use_memory(stream, from, bytes, false, "copy from") : !is_device(from));
    if (!right) {
        complain("copies %zu bytes between host and device the wrong way, or beyond an end", bytes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    memmove(to, from, bytes);
    count_copy(direction, bytes);
    if (direction == Direction::DeviceToHost) {
        // To pageable memory a copy is waited for.
        count_wait(false);
        std::lock_guard<std::mutex> lock(device_mutex());
        host_waits(latest_work(key_of(stream)));
    }
    return CUDA_SUCCESS;
}

CUresult fill(CUdeviceptr to, unsigned char value, size_t bytes, void *stream) {
    if (!bytes) return CUDA_SUCCESS;
    if (!use_memory(stream, address(to), bytes, true, "memset")) {
        complain("fills %zu bytes that are not all within one allocation", bytes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    count_fill(bytes);
    return memset(address(to), value, bytes), CUDA_SUCCESS;
}

size_t memory_in_use() {
    std::lock_guard<std::mutex> lock(device_mutex());
    return memory().used;
}

size_t bytes_behind(const void *pointer) {
    std::lock_guard<std::mutex> lock(device_mutex());
    uintptr_t start = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocation_of(start);
    return found == memory().allocations.end() ? 0 : found->first + found->second.size - start;
}

__attribute__((visibility("default"))) bool use_memory(void *stream, const void *pointer, size_t bytes, bool writes,
                                                       const char *user) {
    std::lock_guard<std::mutex> lock(device_mutex());
    uintptr_t start = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocation_of(start);
    if (found == memory().allocations.end() || start + bytes > found->first + found->second.size) return false;
    found->second.uses.add(key_of(stream), writes, user);
    return true;
}

}  // namespace swcuda
