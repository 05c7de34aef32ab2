#include "complaint.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "settings.h"

namespace swcuda {

void complain(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "swcuda: %s\n", text);
    if (settings().strict) abort();
}

}  // namespace swcuda
