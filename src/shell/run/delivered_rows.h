#pragma once
// DeliveredRows: the rows of a query that earlier runs of the same load have delivered, as the
// database remembers them: some positions, each with a digest of all rows up to it. A run reads
// them again and proves that they are the same before it writes a row.
//
// A load is known by its sink_id. Under use_2pc without one, it ends with its statement
// (Sink::finish()), and only an interrupted one is gone on with.

#include <optional>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/sink.h>

namespace pgsink::shell {

/// Whether a later run continues after the rows that an earlier one delivered.
bool goes_on_after_earlier_runs(const SinkOptions& options);
/// Whether the load ends with its statement: a later statement is another load.
bool ends_with_statement(const SinkOptions& options);

class DeliveredRows {
 public:
  /// What the sink found at open. The options outlive this.
  DeliveredRows(const SinkOptions& options, const Sink& sink);

  bool empty() const { return points_.empty(); }
  /// Every lane has delivered its rows up to here …
  uint64_t through() const { return through_; }
  /// … and some lanes up to here: the proven part.
  uint64_t last() const { return points_.empty() ? 0 : points_.back().position; }
  /// The positions at which batches must end to be compared.
  std::vector<uint64_t> cuts() const;

  /// Fails with kCannotResume, naming the ways out, if the rows up to the batch's end are not those
  /// that were delivered. OK where nothing is known.
  Status check(const RecordBatch& batch) const;
  /// As check(), at the end of a query: fails if more rows were delivered than it has.
  Status check_end(uint64_t rows) const;

 private:
  std::unexpected<Error> other_rows(const std::string& what) const;

  const SinkOptions& options_;
  std::vector<HostPosition> points_;
  uint64_t through_ = 0;
};

}  // namespace pgsink::shell
