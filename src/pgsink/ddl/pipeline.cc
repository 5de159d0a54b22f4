// CREATE PIPELINE and INSERT INTO. The queries inside stay text: only brackets, quotes and comments
// are followed, to find the end of a branch.

#include "pgsink/ddl/pipeline.h"

#include "pgsink/ddl/brackets.h"

namespace pgsink {

// create: CREATE [OR REPLACE] PIPELINE [IF NOT EXISTS] name AS [WITH …] branches
Parsed<Statement> PipelineParser::create(bool or_replace) {
  if (auto text = check_text(DdlLimits::kStatementBytesMax); !text) {
    return std::unexpected(std::move(text.error()));
  }
  CreatePipeline pipeline;
  pipeline.or_replace = or_replace;
  while (!accept_word("PIPELINE")) take();
  const Token if_word = peek();
  pipeline.if_not_exists = accept_words({"IF", "NOT", "EXISTS"});
  if (or_replace && pipeline.if_not_exists) {
    return fail_at(if_word, "OR REPLACE and IF NOT EXISTS exclude each other; choose one");
  }
  auto own_name = name("the pipeline's name");
  if (!own_name) return std::unexpected(std::move(own_name.error()));
  pipeline.name = std::move(own_name->text);
  pipeline.name_position = own_name->begin;
  if (!accept_word("AS")) return fail_here("expected AS after the pipeline's name");

  if (peek().is_word("WITH")) {
    pipeline.with_position = peek().begin;
    auto found = with_before_insert();
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) return fail_here("expected INSERT INTO and the name of a connection");
    pipeline.with = source(pipeline.with_position.offset, last_end());
  }
  if (auto done = branches(pipeline); !done) return std::unexpected(std::move(done.error()));
  return pipeline;
}

// bare_insert: [WITH …] branches. Any other shape is left to the engine, whose tables can be named
// in more ways than a connection.
Parsed<Statement> PipelineParser::bare_insert() {
  CreatePipeline pipeline;
  pipeline.name_position = peek().begin;
  if (peek().is_word("WITH")) {
    pipeline.with_position = peek().begin;
    auto found = with_before_insert();
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) return engine_statement(statement());
    pipeline.with = source(pipeline.with_position.offset, last_end());
  }
  if (!insert_head_is_ours()) return engine_statement(statement());
  if (auto text = check_text(DdlLimits::kStatementBytesMax); !text) {
    return std::unexpected(std::move(text.error()));
  }
  if (auto done = branches(pipeline); !done) return std::unexpected(std::move(done.error()));
  return pipeline;
}

/// Skips WITH a AS (…), b AS (…) up to the statement after it: after a bracket that closes at the
/// top level, only AS or a comma continues the list. Says whether that statement is an INSERT.
Parsed<bool> PipelineParser::with_before_insert() {
  Brackets brackets;
  bool after_bracket = false;
  take();
  while (peek().kind != TokenKind::kEnd) {
    const bool list_goes_on = peek().is_word("AS") || peek().is_symbol(',');
    if (after_bracket && !list_goes_on) return peek().is_word("INSERT");
    if (auto noted = brackets.follow(peek()); !noted) {
      return std::unexpected(std::move(noted.error()));
    }
    after_bracket = brackets.empty() && peek().is_symbol(')');
    take();
  }
  if (auto closed = brackets.check_closed(); !closed) {
    return std::unexpected(std::move(closed.error()));
  }
  return false;
}

// branches: branch { UNION ALL [BY NAME] branch }
Parsed<void> PipelineParser::branches(CreatePipeline& pipeline) {
  while (true) {
    if (pipeline.branches.size() == DdlLimits::kBranchesMax) {
      const std::string limit = std::to_string(DdlLimits::kBranchesMax);
      return fail_here("a pipeline takes at most " + limit + " branches", Errc::kLimit);
    }
    auto next = branch();
    if (!next) return std::unexpected(std::move(next.error()));
    pipeline.branches.push_back(std::move(*next));
    if (peek().kind == TokenKind::kEnd) return {};
    accept_words({"UNION", "ALL"});
    accept_words({"BY", "NAME"});
  }
}

// branch: INSERT INTO connection [( columns )] [BY NAME] query
Parsed<InsertBranch> PipelineParser::branch() {
  if (!accept_words({"INSERT", "INTO"})) {
    return fail_here("expected INSERT INTO and the name of a connection");
  }
  auto target = name("the connection to write to");
  if (!target) return std::unexpected(std::move(target.error()));
  InsertBranch branch;
  branch.target = std::move(target->text);
  branch.target_position = target->begin;
  if (peek().is_symbol('.')) {
    return fail_here("a connection has one name; the schema and table are its options");
  }
  if (columns_follow()) {
    auto listed = columns();
    if (!listed) return std::unexpected(std::move(listed.error()));
    branch.columns = std::move(*listed);
  }
  accept_words({"BY", "NAME"});  // columns are always matched by name
  branch.query_position = peek().begin;
  auto text = query();
  if (!text) return std::unexpected(std::move(text.error()));
  branch.query = *text;
  return branch;
}

/// Whether the '(' here opens a column list, not a query in brackets.
bool PipelineParser::columns_follow() const {
  if (!peek().is_symbol('(')) return false;
  const Token first = peek_next();
  const bool query = first.is_symbol('(') || first.is_word("SELECT") || first.is_word("WITH") ||
                     first.is_word("VALUES") || first.is_word("FROM") || first.is_word("TABLE");
  return !query;
}

// columns: ( name { , name } )
Parsed<std::vector<std::string>> PipelineParser::columns() {
  std::vector<std::string> columns;
  accept_symbol('(');
  while (true) {
    auto column = name("a column's name");
    if (!column) return std::unexpected(std::move(column.error()));
    columns.push_back(std::move(column->text));
    if (accept_symbol(')')) return columns;
    if (!accept_symbol(',')) return fail_here("expected ',' or ')' after a column's name");
  }
}

/// Whether a bare INSERT has the shape of branch(): one plain target, and plain columns if any.
bool PipelineParser::insert_head_is_ours() const {
  PipelineParser trial(*this);
  if (!trial.accept_words({"INSERT", "INTO"}) || !trial.name("")) return false;
  if (trial.columns_follow() && !trial.columns()) return false;
  const bool alias_or_schema = trial.peek().is_word("AS") || trial.peek().is_symbol('.');
  return !alias_or_schema && trial.peek().kind != TokenKind::kEnd;
}

/// The query of a branch: up to the end, or to a UNION ALL outside of all brackets that is followed
/// by an INSERT INTO. Any other UNION belongs to the query.
Parsed<std::string_view> PipelineParser::query() {
  const Token first = peek();
  Brackets brackets;
  while (peek().kind != TokenKind::kEnd) {
    if (brackets.empty() && peek().is_word("UNION")) {
      if (words_follow({"UNION", "INSERT", "INTO"})) {
        return fail_here("branches of a pipeline are joined by UNION ALL");
      }
      if (words_follow({"UNION", "ALL", "INSERT", "INTO"}) ||
          words_follow({"UNION", "ALL", "BY", "NAME", "INSERT", "INTO"})) {
        break;
      }
    }
    if (auto noted = brackets.follow(peek()); !noted) {
      return std::unexpected(std::move(noted.error()));
    }
    take();
  }
  if (auto closed = brackets.check_closed(); !closed) {
    return std::unexpected(std::move(closed.error()));
  }
  if (last_end() <= first.begin.offset) {
    return fail_here("expected a query such as SELECT … FROM … after the connection");
  }
  return source(first.begin.offset, last_end());
}

}  // namespace pgsink
