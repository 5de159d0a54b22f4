#include "shell/run/source_types.h"

#include <pgsink/sink.h>

#include "pgsink/ddl/lexer.h"
#include "shell/sources/column_uses.h"

namespace pgsink::shell {
namespace {

ReadingQuery::Target target_of(const SinkOptions* options, bool may_connect) {
  using Target = ReadingQuery::Target;
  if (options == nullptr) return Target::kEngine;
  if (!options->create_table) return Target::kTable;
  if (!may_connect) return Target::kCreated;
  const auto columns = describe_target(*options);
  const bool missing = !columns && columns.error().code == Errc::kNoSuchTable;
  return missing ? Target::kCreated : Target::kTable;
}

}  // namespace

WholeQuery whole_query(const CreatePipeline& statement, const InsertBranch& branch) {
  WholeQuery whole;
  const bool nested = !statement.with.empty() && Lexer(branch.query).next().is_word("WITH");
  whole.sql = std::string(statement.with) + (nested ? "\nSELECT * FROM (" : "\n");
  whole.begin = whole.sql.size();
  whole.sql.append(branch.query).append(nested ? "\n)" : "");
  return whole;
}

Result<std::vector<std::vector<SqlEdit>>> choose_source_types(const CreatePipeline& statement,
                                                              Engine& engine,
                                                              const Connections& connections,
                                                              Sources& sources, bool may_connect) {
  std::vector<std::vector<SqlEdit>> edits(statement.branches.size());
  Sources::Source* const source = sources.with_open_columns();
  if (source == nullptr) return edits;
  std::vector<ReadingQuery> queries;
  for (const InsertBranch& branch : statement.branches) {
    WholeQuery whole = whole_query(statement, branch);
    ReadingQuery query{.sql = std::move(whole.sql), .begin = whole.begin};
    query.target = target_of(connections.find(branch.target), may_connect);
    queries.push_back(std::move(query));
  }
  const std::vector<std::string> columns = source->rows->open_columns();
  const auto uses = SourceUses::of(engine, source->name, columns, queries);
  const ColumnUse anything{.passed = true, .text = true, .number = true, .other = true};
  auto set = sources.set_uses(
      *source, uses ? uses->uses() : std::vector<ColumnUse>(columns.size(), anything));
  if (!set) return pgproto::fail(std::move(set.error()));
  if (uses) edits = uses->edits();
  return edits;
}

void append_edited(EngineSql& sql, std::string_view query, size_t source_offset,
                   const std::vector<SqlEdit>& edits) {
  size_t at = 0;
  for (const SqlEdit& edit : edits) {
    sql.source(query.substr(at, edit.offset - at), source_offset + at).own(edit.text);
    at = edit.offset + edit.length;
  }
  sql.source(query.substr(at), source_offset + at);
}

}  // namespace pgsink::shell
