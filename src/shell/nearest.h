#pragma once
// The "did you mean" of an error: which known name is most like an unknown one.

#include <span>
#include <string>
#include <string_view>

namespace pgsink::shell {

/// nearest_name is the candidate with the fewest single-character edits (insert, delete, replace, swap
/// of neighbours; case counts nothing) from `name`, "" if none is within a third of its length.
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace pgsink::shell
