#pragma once
// SourceUses: what queries do with the columns of an unbounded source. A column that is only passed
// through goes to the target as it is written; one that is used in a computation needs a type of
// the engine. If a query does both, it reads two columns: the typed one, and a hidden one with the
// original text, which replaces it in the query's last step.

#include <optional>
#include <string>
#include <vector>

#include "shell/engine/engine.h"
#include "shell/engine/query_tree.h"
#include "shell/records/column_samples.h"

namespace pgsink::shell {

/// ReadingQuery is a query, with its WITH list, that may read a source.
struct ReadingQuery {
  std::string sql;
  /// Where the user's text for its target begins in `sql`. The text before it cannot be edited.
  size_t begin = 0;
  enum class Target : uint8_t {
    kTable,    ///< Its columns have types, and read the written text as those.
    kCreated,  ///< It will be created, with the query's types.
    kEngine,   ///< It is a table of the engine, which casts the values.
  };
  Target target = Target::kTable;
};

/// SqlEdit replaces a part of a query's text.
struct SqlEdit {
  size_t offset = 0;
  size_t length = 0;
  std::string text;
};

class SourceUses {
 public:
  /// Reads the queries; nullopt if their trees do not show the uses: the source is joined, a query
  /// is not understood, or has faults.
  static std::optional<SourceUses> of(Engine& engine, const std::string& source,
                                      const std::vector<std::string>& columns,
                                      const std::vector<ReadingQuery>& queries);

  /// For each column what all queries together do with it.
  const std::vector<ColumnUse>& uses() const { return uses_; }
  /// For each query, the edits of the user's text, in the order of offsets.
  const std::vector<std::vector<SqlEdit>>& edits() const { return edits_; }

 private:
  class Reader;
  using Items = std::vector<std::vector<TreeReader::Item>>;  ///< For each query.

  bool can_hide(const Items& items, const std::vector<ReadingQuery>& queries) const;
  bool can_hide(size_t column, const Items& items, const std::vector<ReadingQuery>& queries) const;
  std::optional<SqlEdit> edit(const TreeReader::Item& item, const ReadingQuery& query) const;

  std::vector<std::string> columns_;
  std::vector<ColumnUse> uses_;
  std::vector<std::vector<SqlEdit>> edits_;
};

/// hidden_column is the name of the hidden column that belongs to a source's column.
std::string hidden_column(size_t column);

}  // namespace pgsink::shell
