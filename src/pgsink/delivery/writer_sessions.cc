#include "pgsink/delivery/writer_sessions.h"

#include <algorithm>

#include "pgsink/delivery/gid.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

Status end_sessions(Connection& connection, const std::string& list, std::string_view sink_id,
                    Deadline deadline, const std::function<Status()>& check) {
  for (;;) {
    const auto seen = run_control(connection, list, deadline);
    if (!seen) return fail(seen.error());
    if (seen->rows.empty()) return {};
    const auto again = run_control(connection, list, deadline);
    if (!again) return fail(again.error());
    if (auto may = check(); !may) return may;
    for (const auto& row : seen->rows) {
      const bool still =
          std::ranges::any_of(again->rows, [&](const auto& other) { return other[0] == row[0]; });
      if (!still) continue;
      const BackendIdentity other{static_cast<int32_t>(parse_number(row[0].value_or("0"))),
                                  row[1].value_or(""),
                                  static_cast<uint32_t>(parse_number(row[2].value_or("0")))};
      if (other.backend_start.empty() && other.role_oid != 0) {
        return fail(Errc::kCannotFence,
                    "sink \"" + std::string(sink_id) + "\" is written by server process " +
                        std::to_string(other.pid) +
                        " of another role, which this role may not terminate: connect as that "
                        "role, or GRANT pg_signal_backend and pg_read_all_stats");
      }
      if (other.backend_start.empty()) continue;  // Gone between the two looks.
      if (auto gone = fence(connection, other, deadline); !gone) return gone;
    }
  }
}

WriterSessions::WriterSessions(std::string_view schema, std::string_view sink_id, Random& random)
    : sink_id_(sink_id),
      sink_(static_cast<uint32_t>(sink_hash("pgsink writer session", schema, sink_id))),
      writer_(static_cast<uint32_t>(random.next_u64())) {}

bool WriterSessions::wanted(const SinkOptions& options) {
  return options.delivery == Delivery::kAtLeastOnce && !options.use_2pc &&
         options.write_mode != WriteMode::kInsert && !options.sink_id.empty();
}

Status WriterSessions::mark(Connection& connection, Deadline deadline) const {
  const auto key = [](uint32_t half) { return std::to_string(static_cast<int32_t>(half)); };
  const auto marked =
      connection.query(sql_text(Sql::kWriterMark, {key(sink_), key(writer_)}), deadline);
  if (!marked) return fail(marked.error());
  return {};
}

std::string WriterSessions::others_sql() const {
  return sql_text(Sql::kWriterSessions,
                  {std::to_string(sink_), "<>", std::to_string(writer_), kKeyOfTwo});
}

Status WriterSessions::take_over(Connection& connection, Deadline deadline) const {
  if (auto marked = mark(connection, deadline); !marked) return marked;
  return end_sessions(connection, others_sql(), sink_id_, deadline, [] { return Status(); });
}

Status WriterSessions::join(Connection& connection, Deadline deadline) const {
  if (auto marked = mark(connection, deadline); !marked) return marked;
  const auto others = run_control(connection, others_sql(), deadline);
  if (!others) return fail(others.error());
  if (others->rows.empty()) return {};
  return fail(Errc::kFenced, "sink \"" + sink_id_ + "\" is fenced by server process " +
                                 cell(*others, 0, 0) + " of \"" + cell(*others, 0, 3) + "\" from " +
                                 cell(*others, 0, 4) +
                                 ": it has claimed the sink, so this writer must stop. Run only "
                                 "one of the two, or give each its own sink_id");
}

}  // namespace pgsink
