#include "pgsink/delivery/writer_generation.h"

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

Result<WriterGeneration> WriterGeneration::create(std::string_view schema,
                                                  std::string_view sink_id) {
  WriterGeneration made;
  Quoted quoted;
  made.schema_ = schema;
  made.sink_id_ = sink_id;
  made.quoted_schema_ = quoted.identifier(schema);
  made.quoted_sink_ = quoted.literal(sink_id);
  if (!quoted.status()) return fail(quoted.status().error());
  return made;
}

Status WriterGeneration::ensure_table(Connection& connection, Deadline deadline) const {
  return ensure_control_table(connection, schema_, ControlTable::kWriters, deadline);
}

/// Writes the row; returns its generation.
Result<uint64_t> WriterGeneration::put(Connection& connection, std::string_view first,
                                       std::string_view next, Deadline deadline) const {
  const auto put =
      run_control(connection,
                  sql_text(Sql::kLockTimeout, {std::to_string(kBlockedMaxMs)}) + "; " +
                      sql_text(Sql::kGenerationPut, {quoted_schema_, quoted_sink_, first, next}),
                  deadline, true);
  if (!put) return fail(put.error());
  return parse_number(put->scalar());
}

Status WriterGeneration::raise(Connection& connection, Deadline deadline) {
  const auto raised = put(connection, "1", "w.generation + 1", deadline);
  if (!raised) return fail(raised.error());
  generation_ = *raised;
  return {};
}

Status WriterGeneration::check(Connection& connection, Deadline deadline) const {
  const std::string read = sql_text(Sql::kWriterRead, {quoted_schema_, quoted_sink_});
  auto row = run_control(connection, read, deadline);
  if (!row) return fail(row.error());
  if (row->rows.empty() || parse_number(cell(*row, 0, 0)) < generation_) {
    const std::string ours = std::to_string(generation_);
    const auto restored = put(connection, ours, "GREATEST(w.generation, " + ours + ")", deadline);
    if (!restored) return fail(restored.error());
    if (*restored == generation_) return {};
    row = run_control(connection, read, deadline);
    if (!row) return fail(row.error());
  }
  if (!row->rows.empty() && parse_number(cell(*row, 0, 0)) == generation_) return {};
  const std::string newest = row->rows.empty() ? "another writer" : cell(*row, 0, 4);
  return fail(Errc::kFenced, "sink \"" + sink_id_ + "\" is fenced by " + newest +
                                 ": it has claimed the sink, so this writer must stop. Run only "
                                 "one of the two, or give each its own sink_id");
}

std::string WriterGeneration::guard_sql(bool one_snapshot) const {
  return sql_text(Sql::kGenerationGuard,
                  {quoted_schema_, quoted_sink_, quoted_schema_, quoted_sink_,
                   std::to_string(generation_), one_snapshot ? " FOR SHARE" : ""});
}

bool WriterGeneration::is_guard_failure(const Error& error) {
  return error.code == Errc::kServer && error.sqlstate == "23502" &&
         error.table == control_table_name(ControlTable::kWriters) && error.column == "generation";
}

}  // namespace pgsink
