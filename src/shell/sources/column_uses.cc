#include "shell/sources/column_uses.h"

#include <algorithm>
#include <utility>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"

namespace pgsink::shell {
namespace {

/// Where the column reference or star at the front of `text` ends.
size_t reference_end(std::string_view text) {
  Lexer lexer(text);
  size_t end = 0;
  for (;;) {
    const Token name = lexer.next();
    const bool known =
        name.kind == TokenKind::kWord || name.kind == TokenKind::kQuotedName || name.is_symbol('*');
    if (!known) return end;
    end = name.end_offset();
    Lexer ahead = lexer;
    if (!ahead.next().is_symbol('.')) return end;
    lexer = ahead;
  }
}

/// Whether the reference or star of an item is, in the user's text, at the position that the tree
/// says. FROM x without a SELECT is a star without a position.
bool is_written(const TreeReader::Item& item, const ReadingQuery& query) {
  if (item.offset < query.begin || item.offset >= query.sql.size()) return false;
  const std::string_view text = std::string_view(query.sql).substr(item.offset);
  const size_t end = reference_end(text);
  return end > 0 && item.star == (text[end - 1] == '*');
}

}  // namespace

std::string hidden_column(size_t column) { return "pgsink as written " + std::to_string(column); }

class SourceUses::Reader final : public TreeReader {
 public:
  Reader(SourceUses& uses, const std::string& source) : uses_(uses), source_(source) {}

 protected:
  /// Finds references to the source itself. A query that reads anything else, also a view of the
  /// source, needs the types that the source has without any query.
  std::optional<Relation> read_table(const JsonNode& node) override {
    Relation relation;
    relation.name = node_text(node, "table_name");
    if (!equal_without_case(relation.name, source_)) return std::nullopt;
    for (size_t i = 0; i < uses_.columns_.size(); ++i) {
      relation.columns.push_back({uses_.columns_[i], i});
      relation.hides.insert(i);
    }
    return relation;
  }

  void note(size_t origin, Use use) override {
    ColumnUse& column = uses_.uses_[origin];
    column.text = column.text || use == Use::kText;
    column.number = column.number || use == Use::kNumber;
    column.other = column.other || use == Use::kOther;
  }

 private:
  SourceUses& uses_;
  const std::string& source_;
};

std::optional<SourceUses> SourceUses::of(Engine& engine, const std::string& source,
                                         const std::vector<std::string>& columns,
                                         const std::vector<ReadingQuery>& queries) {
  SourceUses made;
  made.columns_ = columns;
  made.uses_.resize(columns.size());
  made.edits_.resize(queries.size());
  Items items;
  for (const ReadingQuery& query : queries) {
    const auto tree = QueryTree::parse(engine, query.sql);
    if (!tree) return std::nullopt;
    Reader reader(made, source);
    const auto outputs = reader.read(*tree);
    if (!outputs) return std::nullopt;
    for (const TreeReader::Output& output : *outputs) {
      if (!output.origin) continue;
      ColumnUse& use = made.uses_[*output.origin];
      const bool into_engine = query.target == ReadingQuery::Target::kEngine;
      use.passed = use.passed || !into_engine;
      use.text = use.text || into_engine;
      use.other = use.other || query.target == ReadingQuery::Target::kCreated;
    }
    items.push_back(reader.items());
  }
  if (!made.can_hide(items, queries)) return made;
  for (size_t i = 0; i < columns.size(); ++i) {
    ColumnUse& use = made.uses_[i];
    if (!use.passed || !use.computed() || !made.can_hide(i, items, queries)) continue;
    use.passed = false;
    use.hidden = true;
  }
  for (size_t i = 0; i < queries.size(); ++i) {
    for (const TreeReader::Item& item : items[i]) {
      if (auto change = made.edit(item, queries[i])) made.edits_[i].push_back(std::move(*change));
    }
    std::ranges::sort(made.edits_[i], {}, &SqlEdit::offset);
  }
  return made;
}

/// Whether all stars that would return hidden columns can leave them out.
bool SourceUses::can_hide(const Items& items, const std::vector<ReadingQuery>& queries) const {
  for (size_t i = 0; i < queries.size(); ++i) {
    for (const TreeReader::Item& item : items[i]) {
      if (!item.last || !item.star || item.hides.empty()) continue;
      if (!item.plain || !is_written(item, queries[i])) return false;
    }
  }
  return true;
}

/// Whether every list that passes the column on can name the hidden one instead.
bool SourceUses::can_hide(size_t column, const Items& items,
                          const std::vector<ReadingQuery>& queries) const {
  for (size_t i = 0; i < queries.size(); ++i) {
    const bool into_engine = queries[i].target == ReadingQuery::Target::kEngine;
    for (const TreeReader::Item& item : items[i]) {
      const bool passes = std::ranges::any_of(
          item.outputs, [&](const TreeReader::Output& output) { return output.origin == column; });
      if (!passes || (item.last ? into_engine : item.beside_star)) continue;
      if (!item.hides.contains(column) || !is_written(item, queries[i])) return false;
      if (item.last && queries[i].target == ReadingQuery::Target::kCreated) return false;
    }
  }
  return true;
}

std::optional<SqlEdit> SourceUses::edit(const TreeReader::Item& item,
                                        const ReadingQuery& query) const {
  if (!item.last && item.beside_star) return std::nullopt;
  std::string left_out;
  std::string named;
  for (const size_t column : item.hides) {
    if (!uses_[column].hidden) continue;
    const std::string hidden = engine_identifier(hidden_column(column));
    left_out += (left_out.empty() ? "" : ", ") + hidden;
    if (item.last && query.target == ReadingQuery::Target::kEngine) continue;
    for (const TreeReader::Output& output : item.outputs) {
      if (output.origin != column) continue;
      named += (named.empty() ? "" : ", ") + hidden;
      const bool takes_name = item.last && (item.star || !item.has_alias);
      if (takes_name) named += " AS " + engine_identifier(output.name);
    }
  }
  SqlEdit edit;
  edit.offset = item.offset - query.begin;
  const size_t end = reference_end(std::string_view(query.sql).substr(item.offset));
  if (item.star) {
    if (left_out.empty()) return std::nullopt;
    edit.offset += end;
    edit.text = " EXCLUDE (" + left_out + ")";
    if (!named.empty()) edit.text += " REPLACE (" + named + ")";
    return edit;
  }
  if (named.empty() || item.repeated) return std::nullopt;
  if (item.last) {
    edit.length = end;
    edit.text = named;
  } else {
    edit.text = named + ", ";
  }
  return edit;
}

}  // namespace pgsink::shell
