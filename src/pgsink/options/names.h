#pragma once
// Comparing names as people misspell them.

#include <span>
#include <string_view>

namespace pgsink {

/// equal_without_case compares ASCII letters without their case, everything else byte by byte.
bool equal_without_case(std::string_view a, std::string_view b);

/// nearest_name is the candidate that a reader would guess was meant: the least edits (insert,
/// delete, replace, swap of neighbours), at most a third of the longer name; "" if none is near.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace pgsink
