// The driver's functions about streams and events.
#include <atomic>
#include <chrono>

#include "api.h"
#include "count.h"
#include "stream.h"

using namespace swcuda;

namespace {

struct Event {
    Work work{};
    std::chrono::steady_clock::time_point time;
};

Event &event_of(CUevent event) { return *reinterpret_cast<Event *>(event); }

}  // namespace

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned) {
    static std::atomic<StreamKey> next{16};  // small numbers name the driver's own streams
    return *stream = reinterpret_cast<CUstream>(next++), CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy(CUstream) { return CUDA_SUCCESS; }
EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    if (CUresult error = ready()) return error;
    count_wait(true);
    std::lock_guard<std::mutex> lock(device_mutex());
    return host_waits(latest_work(key_of(stream))), CUDA_SUCCESS;
}
EXPORT CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *status) {
    return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    if (CUresult error = ready()) return error;
    std::lock_guard<std::mutex> lock(device_mutex());
    return stream_waits(key_of(stream), event_of(event).work), CUDA_SUCCESS;
}

EXPORT CUresult cuEventCreate(CUevent *event, unsigned) {
    if (CUresult error = ready()) return error;
    return *event = reinterpret_cast<CUevent>(new Event), CUDA_SUCCESS;
}
EXPORT CUresult cuEventDestroy(CUevent event) { return delete &event_of(event), CUDA_SUCCESS; }
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    if (CUresult error = ready()) return error;
    std::lock_guard<std::mutex> lock(device_mutex());
    return event_of(event) = {latest_work(key_of(stream)), std::chrono::steady_clock::now()}, CUDA_SUCCESS;
}
EXPORT CUresult cuEventQuery(CUevent) { return ready(); }
EXPORT CUresult cuEventSynchronize(CUevent event) {
    if (CUresult error = ready()) return error;
    count_wait(true);
    std::lock_guard<std::mutex> lock(device_mutex());
    return host_waits(event_of(event).work), CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    std::chrono::duration<float, std::milli> took = event_of(end).time - event_of(start).time;
    return *milliseconds = took.count(), CUDA_SUCCESS;
}
