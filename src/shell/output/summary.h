#pragma once
// What the pipelines of a run did: the line on standard error and the file of --summary.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink::shell {

/// The outcome of a branch that wrote nothing because of --dry-run.
inline constexpr std::string_view kDryRun = "dry run";

/// SinkReport is one branch of one pipeline, at its end.
struct SinkReport {
  std::string pipeline;  ///< Empty for a bare INSERT INTO.
  std::string connection;
  std::string table;    ///< schema.table
  std::string outcome;  ///< "done", "interrupted", "failed" or kDryRun
  uint64_t rows_read = 0, rows_written = 0, rows_rejected = 0, batches_retried = 0;
  uint64_t rows_delivered_before = 0;  ///< Of rows_read: not written again.
  uint64_t rows_changed = 0;           ///< Of the target, for rows_written.
  uint64_t bytes = 0;                  ///< COPY bytes of committed transactions.
  double seconds = 0;
  double commit_p99_seconds = 0;

  double rows_per_second() const { return seconds > 0 ? double(rows_written) / seconds : 0; }
  double megabytes_per_second() const { return seconds > 0 ? double(bytes) / 1e6 / seconds : 0; }
};

/// "load -> pg_insert (public.events): 1,000,000 rows, 58.2 MB, 1.24 s, 806,451 rows/s, 46.9 MB/s",
/// with what was rejected or sent again if there is any.
std::string summary_line(const SinkReport& report);
/// The members of its JSON object, without braces.
std::string summary_members(const SinkReport& report);
std::string summary_json(const std::vector<SinkReport>& reports);
std::string summary_csv(const std::vector<SinkReport>& reports);

}  // namespace pgsink::shell
