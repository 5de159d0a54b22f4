#include "shell/run/pipeline_binder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/rules.h"
#include "shell/engine/castable.h"
#include "shell/run/source_types.h"
#include "shell/run/stateless.h"
#include "shell/run/untyped_nulls.h"

namespace pgsink::shell {
namespace {

bool starts_with_word(std::string_view query, std::string_view upper) {
  return Lexer(query).next().is_word(upper);
}

}  // namespace

PipelineBinder::PipelineBinder(const CreatePipeline& statement, const PipelineContext& context)
    : context_(context), pipeline_(std::make_unique<Pipeline>(statement, context)) {}

std::expected<std::unique_ptr<Pipeline>, Faults> PipelineBinder::bind() {
  if (auto bound = bind_all(); !bound) return std::unexpected(std::move(bound.error()));
  return std::move(pipeline_);
}

Outcome PipelineBinder::bind_all() {
  auto edits = choose_source_types(pipeline_->statement, context_.engine, context_.connections,
                                   context_.sources, context_.may_connect);
  if (!edits) {
    const size_t place = pipeline_->statement.branches.front().query_position.offset;
    return std::unexpected(context_.places.fault(edits.error(), place, 1));
  }
  context_.sources.forget_bound();
  if (auto created = pipeline_->create_common_tables(); !created) return created;
  const auto& syntaxes = pipeline_->statement.branches;
  pipeline_->branches.reserve(syntaxes.size());
  for (size_t i = 0; i < syntaxes.size(); ++i) {
    Branch& branch = pipeline_->branches.emplace_back(syntaxes[i]);
    branch.edits = std::move((*edits)[i]);
    if (auto bound = bind_branch(branch); !bound) return bound;
  }
  return find_source();
}

// ---- a branch ------------------------------------------------------------------------------

Outcome PipelineBinder::bind_branch(Branch& branch) const {
  const std::string& target = branch.syntax.target;
  branch.options = context_.connections.find(target);
  if (branch.into_engine() && !context_.engine.has_table(target)) {
    return std::unexpected(pipeline_->target_fault(
        branch,
        make_error(Errc::kUnknownConnection, "there is no connection and no table '" + target +
                                                 "'" + context_.connections.did_you_mean(target))));
  }
  branch.sql = query_sql(branch);
  if (auto bound = bind_query(branch); !bound || branch.into_engine()) return bound;
  take_types_off_nulls(context_.engine, branch.sql, branch.query.columns());
  if (auto cast = cast_awkward_columns(branch.sql, branch.query.columns())) {
    branch.sql = std::move(*cast);
    if (auto bound = bind_query(branch); !bound) return bound;
    take_types_off_nulls(context_.engine, branch.sql, branch.query.columns());
  }
  return name_columns(branch);
}

Outcome PipelineBinder::bind_query(Branch& branch) const {
  auto query = context_.engine.prepare(branch.sql.text());
  if (!query) {
    EngineFault fault = query.error();
    const bool about_text = fault.error.message.find("VARCHAR") != std::string::npos;
    if (about_text) fault.error.message += context_.sources.type_note();
    return std::unexpected(pipeline_->engine_fault(branch, fault));
  }
  branch.query = std::move(*query);
  return {};
}

/// The query of a branch as the engine gets it.
EngineSql PipelineBinder::query_sql(const Branch& branch) const {
  const InsertBranch& syntax = branch.syntax;
  const CreatePipeline& statement = pipeline_->statement;
  const CommonTables& common_tables = pipeline_->common_tables;
  EngineSql sql;
  if (common_tables.count() > 0) {
    sql.own(common_tables.reading(common_tables.count())).own("\n");
  } else if (!statement.with.empty()) {
    sql.source(statement.with, statement.with_position.offset).own("\n");
  }
  if (branch.into_engine()) {
    sql.own("INSERT INTO ").own(engine_identifier(syntax.target));
    for (size_t i = 0; i < syntax.columns.size(); ++i) {
      sql.own(i == 0 ? " (" : ", ").own(engine_identifier(syntax.columns[i]));
    }
    sql.own(syntax.columns.empty() ? "\n" : ")\n");
  }
  // DuckDB accepts a WITH after a WITH list only in brackets.
  const bool nested = !sql.text().empty() && starts_with_word(syntax.query, "WITH");
  if (nested) sql.own("SELECT * FROM (");
  append_edited(sql, syntax.query, syntax.query_position.offset, branch.edits);
  if (nested) sql.own("\n)");
  return sql;
}

Outcome PipelineBinder::name_columns(Branch& branch) const {
  const auto& columns = branch.query.columns();
  const auto& given = branch.syntax.columns;
  std::vector<std::string> names;
  if (!given.empty() && given.size() != columns.size()) {
    return std::unexpected(pipeline_->target_fault(
        branch, make_error(Errc::kQuery, "INSERT INTO names " + std::to_string(given.size()) +
                                             " columns, but the query has " +
                                             std::to_string(columns.size()))));
  }
  const bool by_position = given.empty() && starts_with_word(branch.syntax.query, "VALUES");
  names.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    names.push_back(!given.empty() ? given[i] : by_position ? "" : columns[i].name);
  }
  auto rows = ArrowRows::of(context_.engine, columns, names);
  if (!rows) {
    return std::unexpected(context_.places.fault(rows.error(), branch.syntax.query_position.offset,
                                                 branch.syntax.query.size()));
  }
  branch.rows = std::move(*rows);
  return {};
}

// ---- an unbounded source -------------------------------------------------------------------

Outcome PipelineBinder::find_source() const {
  const auto bound = context_.sources.bound();
  const bool has_source_streams = bound.size() == 1 && bound.front()->rows->streams() != nullptr;
  for (const Branch& branch : pipeline_->branches) {
    if (branch.into_engine() || !branch.options->streams || has_source_streams) continue;
    return std::unexpected(pipeline_->target_fault(
        branch, make_error(Errc::kOptionConflict,
                           "streams = true is for input with streams, such as Kafka; this "
                           "pipeline's has none: leave streams out")));
  }
  if (bound.empty()) return {};
  if (bound.size() > 1) {
    return std::unexpected(pipeline_->query_fault(
        pipeline_->branches.front(),
        make_error(Errc::kQuery, "a pipeline reads one unbounded source, not both '" +
                                     bound[0]->name + "' and '" + bound[1]->name + "'")));
  }
  pipeline_->source = bound.front();
  const std::string& name = pipeline_->source->name;
  for (const Branch& branch : pipeline_->branches) {
    if (branch.into_engine()) continue;
    std::string why;
    const bool has_streams = pipeline_->source->rows->streams() != nullptr;
    if (branch.options->delivery == Delivery::kExactlyOnce && !has_streams) {
      why = "delivery = 'exactly_once' is not possible from '" + name +
            "': " + std::string(pipeline_->source->rows->why_not_exactly_once());
    } else if (const std::string_view atomic = why_atomic(*branch.options);
               !atomic.empty() && pipeline_->source->rows->is_endless()) {
      why = std::string(atomic) + " commits when the rows end, and those of '" + name +
            "' never do: leave it out";
    } else if (branch.options->delete_missing &&
               pipeline_->source->rows->limits().rejects_max.value_or(0) > 0) {
      why = "delete_missing = true and max_rejects of '" + name +
            "' exclude each other: the row of the table with the key of a malformed record would "
            "count as missing, and be deleted: leave one out";
    } else {
      continue;
    }
    return std::unexpected(
        pipeline_->target_fault(branch, make_error(Errc::kOptionConflict, std::move(why))));
  }
  return check_stateless();
}

Outcome PipelineBinder::check_stateless() const {
  for (size_t i = 0; i < pipeline_->common_tables.count(); ++i) {
    const EngineSql sql = pipeline_->common_tables.select(i);
    const auto plan = plan_of(context_.engine, sql.text());
    if (!plan) return std::unexpected(pipeline_->with_fault(plan.error(), sql));
    if (auto fits = refuse_state(*plan, pipeline_->statement.with_position, 4); !fits) return fits;
  }
  for (const Branch& branch : pipeline_->branches) {
    const auto plan = plan_of(context_.engine, branch.sql.text());
    if (!plan) return std::unexpected(pipeline_->engine_fault(branch, plan.error()));
    const size_t word = branch.syntax.query.find_first_of(" \n\t(");
    if (auto fits = refuse_state(*plan, branch.syntax.query_position, word); !fits) return fits;
  }
  return {};
}

Outcome PipelineBinder::refuse_state(const PlanNode& plan, SourcePosition place,
                                     size_t length) const {
  const Sources::Source& source = *pipeline_->source;
  const auto what = what_keeps_state(plan, source.function);
  if (!what) return {};
  return std::unexpected(context_.places.fault(
      make_error(Errc::kQuery,
                 "a query over the unbounded source '" + source.name +
                     "' works on each row by itself, with expressions and WHERE; this one has " +
                     *what +
                     ", which would need rows that may never come; load the rows into a table "
                     "first, or write them to PostgreSQL and use that there"),
      place.offset, std::max<size_t>(length, 1)));
}

}  // namespace pgsink::shell
