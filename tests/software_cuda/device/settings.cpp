#include "settings.h"

#include <algorithm>
#include <cstdlib>

namespace swcuda {
namespace {

std::string text(const char *variable, const char *otherwise = "") {
    const char *value = getenv(variable);
    return value && *value ? value : otherwise;
}

unsigned long number(const char *variable, unsigned long otherwise) {
    std::string value = text(variable);
    return value.empty() ? otherwise : strtoul(value.c_str(), nullptr, 10);
}

// As the driver does with none of its devices visible.
unsigned devices() {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return visible && !*visible ? 0 : number("SWCUDA_DEVICES", 1);
}

Order order() {
    std::string value = text("SWCUDA_ORDER", "forward");
    return value == "forward" ? Order::Forward : value == "reverse" ? Order::Reverse : Order::Random;
}

Settings read() {
    Settings s;
    s.devices = devices();
    s.capability = number("SWCUDA_CAPABILITY", 90);
    s.driver = number("SWCUDA_DRIVER", 13000);
    s.memory = number("SWCUDA_MEMORY_MIB", 8192) << 20;
    s.name = text("SWCUDA_NAME", "software device");
    s.lost_after = number("SWCUDA_LOST_AFTER", 0);
    s.order = order();
    s.seed = number("SWCUDA_ORDER", 0);
    s.threads = std::max(1ul, number("SWCUDA_THREADS", 1));
    s.guard = number("SWCUDA_GUARD", 0);
    s.strict = number("SWCUDA_STRICT", 0);
    s.skip_products = number("SWCUDA_SKIP_PRODUCTS", 0);
    s.may_be_left = number("SWCUDA_LEAKS", ~0ul);
    s.counts = text("SWCUDA_COUNTS");
    s.kernels = text("SWCUDA_KERNELS");
    return s;
}

}  // namespace

const Settings &settings() {
    static const Settings *settings = new Settings(read());  // never freed: read to the last, by destructors too
    return *settings;
}

}  // namespace swcuda
