// Streams and events, as far as it matters who waits for whom. All work is done at once and in order; that a real device
// could do it in another one is found by bookkeeping.
//
// Not for several threads at a time: whoever calls holds device_mutex().
#pragma once
#include <cuda.h>
#include <mutex>
#include <vector>

namespace swcuda {

std::mutex &device_mutex();

// A stream, or the per-thread stream of one host thread.
using StreamKey = unsigned long;
StreamKey key_of(void *stream);

// A piece of work on a stream; they are numbered from 1.
struct Work {
    StreamKey stream;
    unsigned long number;
};

Work new_work(StreamKey stream);
Work latest_work(StreamKey stream);
// Whatever is put on `stream` from now on comes after `work`; whatever anybody launches from now on does.
void stream_waits(StreamKey stream, Work work);
void host_waits(Work work);
void host_waits_for_all();

// Who used a piece of memory since it was last written.
class Uses {
public:
    explicit Uses(Work first) : uses{{first, true}} {}
    // Notes one more use, and complains of one that may happen at the same time.
    void add(StreamKey stream, bool writes, const char *user);

private:
    struct Use {
        Work work;
        bool writes;
    };
    std::vector<Use> uses;
};

}  // namespace swcuda
