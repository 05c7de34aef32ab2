#include "count.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <tuple>

#include "settings.h"

namespace swcuda {
namespace {

struct Launches {
    unsigned long launches = 0;
    Traffic traffic{};
    bool declared = false;
    double seconds = 0;
};

struct Products {
    unsigned long products = 0;
    Traffic traffic{};
    double seconds = 0;
};

struct Amount {
    unsigned long number = 0;
    size_t bytes = 0;
};

struct Counts {
    std::mutex mutex;
    std::map<std::string, Launches> kernels;
    std::map<ProductShape, Products> products;
    Amount copies[3], fills, allocations;
    unsigned long waits_asked = 0, waits_of_copies = 0;
    size_t peak = 0;
};

Counts &counts() {
    static Counts *counts = new Counts;  // never freed: written by a destructor
    return *counts;
}

template <typename F> void count(F f) {
    Counts &all = counts();
    std::lock_guard<std::mutex> lock(all.mutex);
    f(all);
}

void add(Amount &amount, size_t bytes) { amount.number++, amount.bytes += bytes; }
void add(Traffic &sum, Traffic more) { sum.reads += more.reads, sum.writes += more.writes; }

double flops(const ProductShape &shape) { return 2.0 * shape.m * shape.n * shape.k * shape.batches; }

void write_amount(FILE *to, const char *name, const Amount &amount, const char *end) {
    fprintf(to, "    \"%s\": {\"number\": %lu, \"bytes\": %zu}%s\n", name, amount.number, amount.bytes, end);
}

void write_kernels(FILE *to, const Counts &all) {
    fprintf(to, "  \"kernels\": {");
    const char *separator = "\n";
    for (auto &[name, k] : all.kernels) {
        fprintf(to, "%s    \"%s\": {\"launches\": %lu, \"bytes_read\": %lu, \"bytes_written\": %lu, \"declared\": %s, "
                    "\"seconds\": %.6f}", separator, name.c_str(), k.launches, k.traffic.reads, k.traffic.writes,
                k.declared ? "true" : "false", k.seconds);
        separator = ",\n";
    }
    fprintf(to, "\n  },\n");
}

void write_products(FILE *to, const Counts &all) {
    fprintf(to, "  \"products\": [");
    const char *separator = "\n";
    for (auto &[shape, p] : all.products) {
        fprintf(to, "%s    {\"type\": \"%s\", \"m\": %lu, \"n\": %lu, \"k\": %lu, \"batches\": %lu, \"epilogue\": \"%s\", "
                    "\"number\": %lu, \"flops\": %.0f, \"bytes_read\": %lu, \"bytes_written\": %lu, \"seconds\": %.6f}",
                separator, shape.type.c_str(), shape.m, shape.n, shape.k, shape.batches, shape.epilogue.c_str(),
                p.products, flops(shape) * p.products, p.traffic.reads, p.traffic.writes, p.seconds);
        separator = ",\n";
    }
    fprintf(to, "\n  ],\n");
}

void write_totals(FILE *to, const Counts &all) {
    unsigned long launches = 0, products = 0;
    Traffic of_kernels{}, of_products{};
    std::map<std::string, double> by_type;
    for (auto &[name, k] : all.kernels) launches += k.launches, add(of_kernels, k.traffic);
    for (auto &[shape, p] : all.products) {
        products += p.products, add(of_products, p.traffic);
        by_type[shape.type] += flops(shape) * p.products;
    }
    fprintf(to, "  \"totals\": {\"launches\": %lu, \"kernel_bytes_read\": %lu, \"kernel_bytes_written\": %lu, "
                "\"products\": %lu, \"product_bytes_read\": %lu, \"product_bytes_written\": %lu, \"product_flops\": {",
            launches, of_kernels.reads, of_kernels.writes, products, of_products.reads, of_products.writes);
    const char *separator = "";
    for (auto &[type, sum] : by_type) fprintf(to, "%s\"%s\": %.0f", separator, type.c_str(), sum), separator = ", ";
    fprintf(to, "}}\n");
}

void write(FILE *to) {
    const Counts &all = counts();
    fprintf(to, "{\n");
    write_kernels(to, all);
    write_products(to, all);
    fprintf(to, "  \"copies\": {\n");
    write_amount(to, "host_to_device", all.copies[int(Direction::HostToDevice)], ",");
    write_amount(to, "device_to_host", all.copies[int(Direction::DeviceToHost)], ",");
    write_amount(to, "device_to_device", all.copies[int(Direction::DeviceToDevice)], ",");
    write_amount(to, "fills", all.fills, "");
    fprintf(to, "  },\n");
    fprintf(to, "  \"waits\": {\"asked\": %lu, \"copies_to_host\": %lu},\n", all.waits_asked, all.waits_of_copies);
    fprintf(to, "  \"memory\": {\"allocations\": %lu, \"allocated_bytes\": %zu, \"peak_bytes\": %zu},\n",
            all.allocations.number, all.allocations.bytes, all.peak);
    write_totals(to, all);
    fprintf(to, "}\n");
}

__attribute__((destructor)) void write_at_the_end() {
    const std::string &path = settings().counts;
    if (path.empty()) return;
    FILE *to = path == "-" ? stderr : fopen(path.c_str(), "w");
    if (!to) {
        fprintf(stderr, "swcuda: %s cannot be written\n", path.c_str());
        return;
    }
    write(to);
    if (to != stderr) fclose(to);
}

}  // namespace

bool ProductShape::operator<(const ProductShape &other) const {
    return std::tie(type, m, n, k, batches, epilogue) <
           std::tie(other.type, other.m, other.n, other.k, other.batches, other.epilogue);
}

void count_launch(const char *kernel, Traffic traffic, bool declared, double seconds) {
    count([&](Counts &all) {
        Launches &launches = all.kernels[kernel];
        launches.launches++, launches.seconds += seconds, launches.declared = declared;
        add(launches.traffic, traffic);
    });
}

void count_copy(Direction direction, size_t bytes) {
    count([&](Counts &all) { add(all.copies[int(direction)], bytes); });
}

void count_fill(size_t bytes) {
    count([&](Counts &all) { add(all.fills, bytes); });
}

void count_wait(bool asked) {
    count([&](Counts &all) { ++(asked ? all.waits_asked : all.waits_of_copies); });
}

__attribute__((visibility("default"))) void count_product(const ProductShape &shape, Traffic traffic, double seconds) {
    count([&](Counts &all) {
        Products &products = all.products[shape];
        products.products++, products.seconds += seconds;
        add(products.traffic, traffic);
    });
}

void count_allocation(size_t bytes, size_t in_use) {
    count([&](Counts &all) { add(all.allocations, bytes), all.peak = std::max(all.peak, in_use); });
}

}  // namespace swcuda
