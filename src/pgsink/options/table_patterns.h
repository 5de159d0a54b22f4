#pragma once
// Which tables of a database the options `tables` and `tables_exclude` name, and which table of the
// target the option `target_tables` names for each.

#include <string>
#include <string_view>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

inline constexpr size_t kTableNameBytesMax = 63;  // Source: NAMEDATALEN of the server

/// TableName is a table as the catalog writes it, without quotes.
struct TableName {
  std::string schema, name;

  std::string full() const { return schema + "." + name; }
  friend bool operator==(const TableName&, const TableName&) = default;
};

/// TablePatterns is a comma list of patterns for "schema.table". `*` stands for any text, also
/// none, `?` for one byte. A schema or name in double quotes is taken as it is, with "" for a
/// quote.
class TablePatterns {
 public:
  /// A pattern without a dot is for tables of `schema`. "" has no patterns. Fails with
  /// kOptionValue.
  static Result<TablePatterns> read(std::string_view text, std::string_view schema);

  bool matches(const TableName& table) const;
  bool empty() const { return patterns_.empty(); }

 private:
  /// A part of a pattern: quoted, it is a name.
  struct Part {
    std::string text;
    bool quoted = false;

    bool matches(std::string_view name) const;
  };
  struct Pattern {
    Part schema, name;
  };

  std::vector<Pattern> patterns_;
};

/// target_of fills in the template target_tables for a table of the source. Fails with kOptionValue
/// if it has braces that mean nothing, names no table, or names one that is too long.
Result<TableName> target_of(const TableName& table, const SinkOptions& options);

}  // namespace pgsink
