#include "shell/run/pipeline.h"

#include <utility>

namespace pgsink::shell {
namespace {

/// "WITH", which an error in the list is shown at if the engine names no place.
constexpr size_t kWithBytes = 4;

}  // namespace

Pipeline::Pipeline(const CreatePipeline& create, const PipelineContext& given)
    : statement(create),
      context(given),
      common_tables(create.branches.size() > 1 ? create.with : std::string_view(),
                    create.with_position.offset) {}

Pipeline::~Pipeline() {
  branches.clear();  // First: their queries read the tables.
  for (size_t i = 0; i < created_tables_; ++i) {
    (void)context.engine.execute(common_tables.drop(i));
  }
}

// ---- the shared WITH list ------------------------------------------------------------------

Outcome Pipeline::create_common_tables() {
  for (; created_tables_ < common_tables.count(); ++created_tables_) {
    const EngineSql sql = common_tables.create(created_tables_);
    if (auto made = context.engine.execute(sql.text()); !made) {
      return std::unexpected(with_fault(made.error(), sql));
    }
  }
  return {};
}

Outcome Pipeline::fill_common_tables() {
  for (size_t i = 0; i < common_tables.count(); ++i) {
    const EngineSql sql = common_tables.fill(i);
    auto filled = context.engine.execute(sql.text());
    if (!filled && was_interrupted(filled.error())) return {};
    if (!filled) return std::unexpected(with_fault(filled.error(), sql));
  }
  return {};
}

Outcome Pipeline::run_in_engine(Branch& branch) const {
  if (auto started = branch.query.start(); !started) {
    if (was_interrupted(started.error())) return {};
    return std::unexpected(engine_fault(branch, started.error()));
  }
  return {};
}

// ---- names and faults ----------------------------------------------------------------------

std::string Pipeline::label(const Branch& branch) const {
  if (statement.name.empty()) return branch.syntax.target;
  return statement.branches.size() == 1 ? statement.name
                                        : statement.name + " -> " + branch.syntax.target;
}

SinkReport Pipeline::blank_report(const Branch& branch) const {
  SinkReport report;
  report.pipeline = statement.name;
  report.connection = branch.syntax.target;
  report.table = branch.options->schema + "." + branch.options->table;
  return report;
}

Faults Pipeline::target_fault(const Branch& branch, Error error) const {
  return context.places.fault(std::move(error), branch.syntax.target_position.offset,
                              branch.syntax.target.size());
}

Faults Pipeline::query_fault(const Branch& branch, Error error) const {
  return context.places.fault(std::move(error), branch.syntax.query_position.offset, 1);
}

Faults Pipeline::engine_fault(const Branch& branch, const EngineFault& fault) const {
  return context.places.engine_fault(fault, branch.sql, branch.syntax.query_position, 1);
}

Faults Pipeline::with_fault(const EngineFault& fault, const EngineSql& sql) const {
  return context.places.engine_fault(fault, sql, statement.with_position, kWithBytes);
}

}  // namespace pgsink::shell
