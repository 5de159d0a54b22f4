#pragma once
// Finds passwords in a script.

#include <cstddef>
#include <string_view>
#include <vector>

namespace pgsink {

/// HiddenBytes is a part of a script that must not be shown, as offsets.
struct HiddenBytes {
  size_t begin = 0;
  size_t end = 0;
};

/// find_secrets returns the parts of a script that must not be shown, in order, without overlaps.
std::vector<HiddenBytes> find_secrets(std::string_view script);

/// holds_a_password says whether a text is a connection string with a password in it: "password=…"
/// or
/// "//user:password@".
bool holds_a_password(std::string_view text);

}  // namespace pgsink
