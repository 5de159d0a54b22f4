#pragma once
// The WITH list that several branches of a pipeline share. It is evaluated once: each of its
// queries fills a temporary table of the engine (which spills to disk, so memory stays bounded),
// and the branches read the tables.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine_sql.h"

namespace pgsink::shell {

/// Prefix of the names of the temporary tables.
inline constexpr std::string_view kCommonTablePrefix = "pgsink common table ";

class CommonTables {
 public:
  /// `with` is the text "WITH a AS (…), b AS (…)", known to have balanced brackets; `source_offset`
  /// is its position in the script.
  CommonTables(std::string_view with, size_t source_offset);

  size_t count() const { return entries_.size(); }
  /// Creates the empty table of entry `index`, so that queries that read the entry can be bound.
  EngineSql create(size_t index) const;
  /// Fills it. REQUIRES: all before it are filled.
  EngineSql fill(size_t index) const;
  /// Creates its table again and fills it, in one statement. REQUIRES: all before it are filled.
  EngineSql refill(size_t index) const;
  /// The query of entry `index`, which reads the tables of those before it.
  EngineSql select(size_t index) const;
  /// Drops it.
  std::string drop(size_t index) const;
  /// A WITH list that reads the tables of the first `count` entries; "" for none.
  std::string reading(size_t count) const;

 private:
  struct Entry {
    std::string_view name;  ///< As written, quotes included.
    std::string_view text;  ///< name AS (…)
    size_t source_offset = 0;
  };
  std::string table(size_t index) const;

  bool recursive_ = false;
  std::vector<Entry> entries_;
};

}  // namespace pgsink::shell
