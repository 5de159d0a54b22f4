#include "pgsink/delivery/writer_sessions.h"

#include <algorithm>
#include <utility>

#include "pgsink/delivery/gid.h"
#include "pgsink/options/rules.h"
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

Result<std::string> find_session(Connection& connection, const std::string& list,
                                 Deadline deadline) {
  const auto rows = run_control(connection, list, deadline);
  if (!rows) return fail(rows.error());
  if (rows->rows.empty()) return std::string();
  std::string text = "server process " + cell(*rows, 0, 0);
  if (!cell(*rows, 0, 3).empty()) {
    text += " of \"" + cell(*rows, 0, 3) + "\" from " + cell(*rows, 0, 4);
  }
  return text;
}

WriterSessions::WriterSessions(std::string_view schema, std::string_view sink_id, Random& random)
    : schema_(schema),
      sink_id_(sink_id),
      sink_(static_cast<uint32_t>(sink_hash("pgsink writer session", schema, sink_id))),
      writer_(static_cast<uint32_t>(random.next_u64())) {}

bool WriterSessions::wanted(const SinkOptions& options) {
  return options.delivery == Delivery::kAtLeastOnce && !options.use_2pc &&
         !only_inserts(options.write_mode) && !options.sink_id.empty();
}

// ---- taking over -------------------------------------------------------------------------------

Status WriterSessions::take_over(Connection& connection, Deadline deadline) {
  if (auto opened = open_generation(connection, deadline); !opened) return opened;
  if (!generation_ && !connection.is_direct()) return {};
  if (connection.is_direct()) {
    if (auto marked = mark(connection, deadline); !marked) return marked;
  }
  if (generation_) {
    if (auto raised = raise(connection, deadline); !raised) return raised;
  }
  return end_others(connection, deadline);
}

/// A role that may not have the table gets a warning, and all that holds without it.
Status WriterSessions::open_generation(Connection& connection, Deadline deadline) {
  auto generation = WriterGeneration::create(schema_, sink_id_);
  if (!generation) return fail(generation.error());
  const Status there = generation->ensure_table(connection, deadline);
  if (there) {
    generation_ = std::move(*generation);
    return {};
  }
  if (there.error().code != Errc::kPrivilege) return there;
  warning_ = "sink_id " +
             std::string(connection.is_direct()
                             ? "protects against a former writer only while this process runs: one "
                               "that continues after this process has ended"
                             : "does not protect against a former writer behind a pooler: it") +
             " may write older rows over newer ones. The reason: " + there.error().message;
  return {};
}

/// Transactions of a former writer may hold the row: they are ended when they keep us waiting.
Status WriterSessions::raise(Connection& connection, Deadline deadline) {
  for (;;) {
    Status raised = generation_->raise(connection, deadline);
    const bool blocked = !raised && !connection.broken() && raised.error().sqlstate == "55P03";
    if (!blocked) return raised;
    const auto ended =
        end_sessions(connection, others_sql(), sink_id_, deadline, [&]() -> Status { return {}; });
    if (!ended) return ended;
  }
}

Status WriterSessions::end_others(Connection& connection, Deadline deadline) const {
  return end_sessions(connection, others_sql(), sink_id_, deadline, [&]() -> Status {
    return generation_ ? generation_->check(connection, deadline) : Status();
  });
}

// ---- sessions ----------------------------------------------------------------------------------

std::string WriterSessions::mark_sql(bool transaction) const {
  const auto key = [](uint32_t half) { return std::to_string(static_cast<int32_t>(half)); };
  return sql_text(transaction ? Sql::kWriterMarkTransaction : Sql::kWriterMark,
                  {key(sink_), key(writer_)});
}

Status WriterSessions::mark(Connection& connection, Deadline deadline) const {
  const auto marked = connection.query(mark_sql(false), deadline);
  if (!marked) return fail(marked.error());
  return {};
}

std::string WriterSessions::others_sql() const {
  return sql_text(Sql::kWriterSessions,
                  {std::to_string(sink_), "<>", std::to_string(writer_), kKeyOfTwo});
}

Status WriterSessions::join(Connection& connection, Deadline deadline) const {
  if (connection.is_direct()) {
    if (auto marked = mark(connection, deadline); !marked) return marked;
  }
  if (generation_) return generation_->check(connection, deadline);
  if (!connection.is_direct()) return {};
  const auto others = run_control(connection, others_sql(), deadline);
  if (!others) return fail(others.error());
  if (others->rows.empty()) return {};
  return fail(Errc::kFenced, "sink \"" + sink_id_ + "\" is fenced by server process " +
                                 cell(*others, 0, 0) + " of \"" + cell(*others, 0, 3) + "\" from " +
                                 cell(*others, 0, 4) +
                                 ": it has claimed the sink, so this writer must stop. Run only "
                                 "one of the two, or give each its own sink_id");
}

std::string WriterSessions::transaction_sql(bool one_snapshot) const {
  if (!generation_) return {};
  return mark_sql(true) + "; " + generation_->guard_sql(one_snapshot) + "; ";
}

Status WriterSessions::check_newest(Connection& connection, Deadline deadline) const {
  return generation_ ? generation_->check(connection, deadline) : Status();
}

}  // namespace pgsink
