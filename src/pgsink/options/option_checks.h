#pragma once
// Checks of several options together: which are missing and which contradict each other.

#include <functional>
#include <string_view>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

/// OptionFault is an error about one option, or about two that exclude each other.
struct OptionFault {
  Error error;
  std::string_view key;    ///< The option at fault; a missing one has no position in the script.
  std::string_view other;  ///< The option that it contradicts, "" if none.
};

/// option_faults finds all such faults. `given` says whether a key was written: besides `url` even
/// a default value is a contradiction.
std::vector<OptionFault> option_faults(const SinkOptions& options,
                                       const std::function<bool(std::string_view key)>& given);

}  // namespace pgsink
