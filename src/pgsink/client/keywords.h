#pragma once
// The table of libpq's keywords: the environment variable of each and how its value is read.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgsink/client/connect_options.h"

namespace pgsink {

inline constexpr uint16_t kDefaultPort = 5432;

/// KeywordInfo is one keyword of libpq.
struct KeywordInfo {
  using Set = Status (*)(const KeywordInfo& info, const std::string& value,
                         ConnectOptions& options);
  std::string_view keyword;
  std::string_view environment;  ///< The environment variable; "" for none.
  /// Reads a value. Fails with kOptionValue or kOptionUnsupported, without quoting a secret.
  Set set;
  /// Whether the option has its default, so that the environment may set it; may be null.
  bool (*untouched)(const ConnectOptions& options);
  bool secret;
  std::string_view refused;  ///< Why it is not supported; "" if it is.
};

/// keyword_table is all of them. Valid forever.
std::span<const KeywordInfo> keyword_table();
/// find_keyword returns the row of a keyword; null if libpq has none of that name.
const KeywordInfo* find_keyword(std::string_view keyword);

/// combine_hosts combines the comma lists of hosts, numeric addresses and ports as libpq does: one
/// port may apply to all hosts, an empty entry is the default. Fails with kOptionValue.
Result<std::vector<Address>> combine_hosts(const std::string& hosts, const std::string& addresses,
                                           const std::string& ports);

/// given_text is the explicitly given text of a keyword; "" if there is none.
std::string given_text(const ConnectOptions& options, std::string_view keyword);

/// check_connect_options finds combinations that are not allowed. Fails with kOptionConflict.
Status check_connect_options(const ConnectOptions& options);

}  // namespace pgsink
