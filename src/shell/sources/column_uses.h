#pragma once
// SourceUses: what queries do with the columns of an unbounded source. A column that only passes
// through goes to the target as it is written; one that is calculated with needs a type of the
// engine. Where a query does both with a column, it reads two: the typed one, and a hidden one with
// what was written, which takes its place in the query's last step.

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
  /// Where what the user wrote for its target begins in `sql`. What is before cannot be edited.
  size_t begin = 0;
  enum class Target : uint8_t {
    kTable,    ///< Its columns have types, which read what is written.
    kCreated,  ///< It is to be created, with the query's types.
    kEngine,   ///< It is a table of the engine, which casts what it gets.
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
  /// Reads the queries; nullopt if their trees do not tell: the source is joined, a query is not
  /// understood, or has faults.
  static std::optional<SourceUses> of(Engine& engine, const std::string& source,
                                      const std::vector<std::string>& columns,
                                      const std::vector<ReadingQuery>& queries);

  /// For each column what all queries together do with it.
  const std::vector<ColumnUse>& uses() const { return uses_; }
  /// For each query, what is to be changed in what the user wrote, in the order of offsets.
  const std::vector<std::vector<SqlEdit>>& edits() const { return edits_; }

 private:
  class Reader;
  using Items = std::vector<std::vector<TreeReader::Item>>;  ///< Of each query.

  bool can_hide(const Items& items, const std::vector<ReadingQuery>& queries) const;
  bool can_hide(size_t column, const Items& items, const std::vector<ReadingQuery>& queries) const;
  std::optional<SqlEdit> edit(const TreeReader::Item& item, const ReadingQuery& query) const;

  std::vector<std::string> columns_;
  std::vector<ColumnUse> uses_;
  std::vector<std::vector<SqlEdit>> edits_;
};

/// hidden_column is the name of the hidden one beside a source's column.
std::string hidden_column(size_t column);

}  // namespace pgsink::shell
