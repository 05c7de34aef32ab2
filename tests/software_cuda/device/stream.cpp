#include "stream.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string>

#include "complaint.h"

namespace swcuda {
namespace {

struct Streams {
    std::map<StreamKey, unsigned long> work;                          // put on each stream so far
    std::map<std::pair<StreamKey, StreamKey>, unsigned long> waited;  // the first comes after the second's up to here
    std::map<StreamKey, unsigned long> host;                          // so does whatever the host launches
    std::set<std::string> reported;
};

Streams &streams() {
    static Streams *streams = new Streams;  // never freed: threads may use it to the last
    return *streams;
}

bool comes_after(StreamKey stream, Work work) {
    Streams &s = streams();
    if (work.stream == stream || work.number <= s.host[work.stream]) return true;
    auto waited = s.waited.find({stream, work.stream});
    return waited != s.waited.end() && work.number <= waited->second;
}

void raise(unsigned long &number, unsigned long to) { number = std::max(number, to); }

}  // namespace

std::mutex &device_mutex() {
    static std::mutex *mutex = new std::mutex;
    return *mutex;
}

StreamKey key_of(void *stream) {
    static std::atomic<unsigned long> threads{1};
    static thread_local unsigned long thread = threads++;
    return stream == CU_STREAM_PER_THREAD ? thread << 32 : reinterpret_cast<StreamKey>(stream);
}

Work new_work(StreamKey stream) { return {stream, ++streams().work[stream]}; }
Work latest_work(StreamKey stream) { return {stream, streams().work[stream]}; }
void stream_waits(StreamKey stream, Work work) { raise(streams().waited[{stream, work.stream}], work.number); }
void host_waits(Work work) { raise(streams().host[work.stream], work.number); }
void host_waits_for_all() { streams().host = streams().work; }

void Uses::add(StreamKey stream, bool writes, const char *user) {
    for (const Use &use : uses)
        if ((writes || use.writes) && !comes_after(stream, use.work) && streams().reported.insert(user).second)
            complain("%s %s memory that another stream %s, and nothing waited for that", user,
                     writes ? "changes" : "reads", use.writes ? "changes" : "reads");
    // A write comes after all that was known; a later read says as much as an earlier one of the same stream.
    auto replaced = [&](const Use &use) { return writes || (use.work.stream == stream && !use.writes); };
    uses.erase(std::remove_if(uses.begin(), uses.end(), replaced), uses.end());
    uses.push_back({new_work(stream), writes});
}

}  // namespace swcuda
