#pragma once
// Names in flags: lists, and schema.table.

#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

namespace pgsink::shell {

/// split_names splits at a separator outside of double quotes. The names have no blanks around them
/// and no quotes; a doubled quote inside quotes is one. Fails with kUsage, naming the flag, if a
/// name is empty or a quote is not closed.
pgproto::Result<std::vector<std::string>> split_names(std::string_view flag, std::string_view text,
                                                      char separator);

/// column_list is a list of columns as the options of CREATE CONNECTION take it.
std::string column_list(const std::vector<std::string>& names);
/// identifiers is "a", "b" for the engine.
std::string identifiers(const std::vector<std::string>& names);
/// literals is 'a', 'b' for the engine, each followed by `after`.
std::string literals(const std::vector<std::string>& texts, std::string_view after = "");

}  // namespace pgsink::shell
