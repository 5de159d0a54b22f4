#pragma once
// The table of libpq's keywords: what each is called in the environment and how it is read.

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
  std::string_view environment;  ///< The variable that gives it; "" for none.
  /// Reads a value. Fails with kOptionValue or kOptionUnsupported, without quoting a secret.
  Set set;
  /// Whether the option has its default, so that the environment may set it; may be null.
  bool (*untouched)(const ConnectOptions& options);
  bool secret;
  std::string_view refused;  ///< Why it is not honoured, if it is not.
};

/// keyword_table is all of them. Valid for ever.
std::span<const KeywordInfo> keyword_table();
/// find_keyword is the row of a keyword; null if libpq has none of that name.
const KeywordInfo* find_keyword(std::string_view keyword);

/// combine_hosts puts the comma lists of hosts, numeric addresses and ports together as libpq does:
/// one port may serve all hosts, an empty entry is the default. Fails with kOptionValue.
Result<std::vector<Address>> combine_hosts(const std::string& hosts, const std::string& addresses,
                                           const std::string& ports);

/// given_text is what was given for a keyword on purpose; "" if nothing was.
std::string given_text(const ConnectOptions& options, std::string_view keyword);

/// check_connect_options finds what options cannot be together. Fails with kOptionConflict.
Status check_connect_options(const ConnectOptions& options);

}  // namespace pgsink
