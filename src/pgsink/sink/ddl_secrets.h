#pragma once
// Where passwords stand in a script.

#include <cstddef>
#include <string_view>
#include <vector>

namespace pgsink {

/// HiddenBytes is a part of a script that must not be shown, as offsets.
struct HiddenBytes {
  size_t begin = 0;
  size_t end = 0;
};

/// find_secrets finds what must not be shown of a script, in order, without overlaps.
std::vector<HiddenBytes> find_secrets(std::string_view script);

}  // namespace pgsink
