#pragma once
// What is generated from the table of flags besides --help: completion scripts and the manual page.

#include <string>
#include <string_view>

namespace pgsink::shell {

/// completion_script is for bash, zsh or fish.
std::string completion_script(std::string_view shell);
/// manual_page is pgsink(1) in troff.
std::string manual_page();

}  // namespace pgsink::shell
