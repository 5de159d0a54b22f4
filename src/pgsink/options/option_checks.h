#pragma once
// What single options cannot say: which are missing and which contradict each other.

#include <functional>
#include <string_view>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

/// OptionFault is an error about one option, or about two that do not go together.
struct OptionFault {
  Error error;
  std::string_view key;    ///< Where to look; a missing option has no place.
  std::string_view other;  ///< The option that it contradicts, "" if none.
};

/// option_faults finds all such faults. `given` says whether a key was written at all: beside `url`
/// even a default value contradicts.
std::vector<OptionFault> option_faults(const SinkOptions& options,
                                       const std::function<bool(std::string_view key)>& given);

}  // namespace pgsink
