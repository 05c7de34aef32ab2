// What a PTX text says of itself and of its kernels.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace swcuda {

struct Ptx {
    unsigned version = 0;  // the major one
    unsigned target = 0;   // 80 for sm_80
    std::map<std::string, std::vector<size_t>> entries;  // each kernel's parameters by their sizes
};

// False where the text has no target: then it is no PTX.
bool read_ptx(const char *text, Ptx *ptx);

}  // namespace swcuda
