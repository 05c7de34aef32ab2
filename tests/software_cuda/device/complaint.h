// Sentences about what the program did wrong.
#pragma once

namespace swcuda {

// One line on stderr; with SWCUDA_STRICT the program ends.
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace swcuda
