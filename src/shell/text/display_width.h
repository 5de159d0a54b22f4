#pragma once
// How many columns of a terminal a text takes.

#include <cstddef>
#include <string>
#include <string_view>

namespace pgsink::shell {

/// display_width counts terminal columns: 2 for East Asian wide characters and emoji, 0 for
/// combining marks, 1 for everything else, also for a byte that is not UTF-8.
size_t display_width(std::string_view text);
/// printable returns the text with everything that would move a terminal's cursor made visible:
/// control characters as \n, \t or \x1b, bytes that are not UTF-8 as U+FFFD.
std::string printable(std::string_view text);

}  // namespace pgsink::shell
