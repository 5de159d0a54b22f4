#pragma once
// Values in messages.

#include <string>
#include <string_view>

namespace pgsink::encode {

/// shortened quotes a value for a message: at most 40 characters, control characters and invalid
/// bytes as \xHH, so that it fits a log line.
std::string shortened(std::string_view text);

}  // namespace pgsink::encode
