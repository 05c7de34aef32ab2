#include "ptx.h"

#include <cstdlib>

namespace swcuda {
namespace {

// `.param .u64 name`, `.param .f32 name`, `.param .align 8 .b8 name[24]`
size_t parameter_size(const std::string &parameter) {
    size_t bracket = parameter.find('[');
    if (bracket != std::string::npos) return strtoul(&parameter[bracket + 1], nullptr, 10);
    size_t type = parameter.find_last_of('.');
    return strtoul(&parameter[type + 2], nullptr, 10) / 8;
}

std::vector<size_t> parameter_sizes(const std::string &list) {
    std::vector<size_t> sizes;
    for (size_t at = list.find(".param"); at != std::string::npos; at = list.find(".param", at + 1))
        sizes.push_back(parameter_size(list.substr(at, list.find(',', at) - at)));
    return sizes;
}

// The number behind a word of the header, or `otherwise`.
unsigned number_behind(const std::string &text, const std::string &word, unsigned otherwise) {
    size_t at = text.find(word);
    return at == std::string::npos ? otherwise : strtoul(&text[at + word.size()], nullptr, 10);
}

}  // namespace

bool read_ptx(const char *image, Ptx *ptx) {
    const std::string text = image, entry = ".visible .entry ";
    ptx->version = number_behind(text, ".version ", 0);
    ptx->target = number_behind(text, ".target sm_", 0);
    if (!ptx->target) return false;
    for (size_t at = text.find(entry); at != std::string::npos; at = text.find(entry, at)) {
        at += entry.size();
        size_t open = text.find('(', at), close = text.find(')', at);
        if (close == std::string::npos) break;
        std::string name = text.substr(at, open - at);
        name.erase(name.find_last_not_of(" \t\r\n") + 1);
        ptx->entries[name] = parameter_sizes(text.substr(open + 1, close - open - 1));
        at = close;
    }
    return true;
}

}  // namespace swcuda
