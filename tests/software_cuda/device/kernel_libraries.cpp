#include "kernel_libraries.h"

#include <dirent.h>
#include <dlfcn.h>

#include "complaint.h"
#include "settings.h"

namespace swcuda {
namespace {

std::string folder() {
    if (!settings().kernels.empty()) return settings().kernels;
    Dl_info here;
    if (!dladdr(reinterpret_cast<void *>(&kernel_libraries), &here)) return "kernels";
    std::string path = here.dli_fname;
    return path.substr(0, path.find_last_of('/') + 1) + "kernels";
}

void open_library(const std::string &folder, const std::string &name, std::map<std::string, Kernels> &into) {
    void *library = dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    auto *module = static_cast<const Module *>(library ? dlsym(library, "swcuda_module") : nullptr);
    if (!module) {
        complain("%s: %s", name.c_str(), library ? "has no swcuda_module" : dlerror());
        return;
    }
    for (size_t i = 0; i < module->count; i++) into[name][module->kernels[i].name] = &module->kernels[i];
}

std::map<std::string, Kernels> *open_all() {
    auto *found = new std::map<std::string, Kernels>;
    const std::string in = folder();
    DIR *directory = opendir(in.c_str());
    if (!directory) {
        complain("the folder of kernels, %s, cannot be opened", in.c_str());
        return found;
    }
    while (dirent *entry = readdir(directory)) {
        std::string name = entry->d_name;
        if (name.size() > 3 && name.substr(name.size() - 3) == ".so") open_library(in, name, *found);
    }
    closedir(directory);
    return found;
}

}  // namespace

const std::map<std::string, Kernels> &kernel_libraries() {
    static const auto *libraries = open_all();
    return *libraries;
}

}  // namespace swcuda
