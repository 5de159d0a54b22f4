#include "shell/run/delivered_rows.h"

#include <algorithm>

#include "shell/text/numbers.h"

namespace pgsink::shell {

bool goes_on_after_earlier_runs(const SinkOptions& options) {
  return options.use_2pc || options.delivery == Delivery::kExactlyOnce;
}

bool ends_with_statement(const SinkOptions& options) {
  return options.use_2pc && options.sink_id.empty();
}

DeliveredRows::DeliveredRows(const SinkOptions& options, const Sink& sink) : options_(options) {
  if (!goes_on_after_earlier_runs(options)) return;
  points_ = sink.resume_points();
  // Rows left by a stream do not belong to any load.
  if (ends_with_statement(options) && !points_.empty() && points_.back().proof.empty()) {
    points_.clear();
  }
  if (!points_.empty()) through_ = sink.durable_position();
}

std::vector<uint64_t> DeliveredRows::cuts() const {
  std::vector<uint64_t> cuts;
  cuts.reserve(points_.size());
  for (const HostPosition& point : points_) cuts.push_back(point.position);
  return cuts;
}

Status DeliveredRows::check(const RecordBatch& batch) const {
  const auto point = std::ranges::find(points_, batch.position, &HostPosition::position);
  if (point == points_.end() || point->proof == batch.position_proof) return {};
  if (point->proof.empty()) {
    return other_rows("a program, or an earlier version of pgsink, that left no digest of them");
  }
  return other_rows("an earlier run, and the first " + grouped(batch.position) +
                    " rows of this query are different: the query, what it reads, or the order of "
                    "its rows has changed");
}

Status DeliveredRows::check_end(uint64_t rows) const {
  if (rows >= last()) return {};
  return other_rows("an earlier run, and this query has only " + grouped(rows) +
                    ": the query, or what it reads, has changed");
}

std::unexpected<Error> DeliveredRows::other_rows(const std::string& what) const {
  const std::string sink_id = stored_sink_id(options_);
  const std::string_view table = options_.use_2pc ? "pgsink_writers" : "pgsink_epochs";
  return fail(Errc::kCannotResume,
              "sink \"" + sink_id + "\" has delivered " + grouped(last()) + " rows of " + what +
                  ". To go on with that load, run it as it was, with an ORDER BY without ties if "
                  "the order varies. To load these rows too, use another sink_id. To load all rows "
                  "again, empty " +
                  options_.schema + "." + options_.table + " and run DELETE FROM " +
                  options_.schema + "." + std::string(table) + " WHERE sink_id = '" + sink_id +
                  "'");
}

}  // namespace pgsink::shell
