#pragma once
// UnboundedSource: rows that come for as long as somebody sends them, such as the lines of a pipe
// or the changes of a database. A pipeline reads them in micro-batches (run/stream_run.h): each is
// run through the query by itself, which is why such queries must be stateless.

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <pgsink/dead_letter.h>
#include <pgsink/record_batch.h>

#include "shell/records/column_samples.h"

namespace pgsink::shell {

/// RawColumn is one column of UnboundedSource::Rows; all of them are texts.
struct RawColumn {
  std::string name;
  bool json_value = false;  ///< As Field::json_value.
};

/// SourceColumn is one column as queries see it.
struct SourceColumn {
  std::string name;
  /// How the engine makes it of the raw columns, for example CAST("id" AS BIGINT). It must fail,
  /// never yield NULL, for a value that is not of its type.
  std::string expression;
};

/// SourceShape is what a source yields, and how queries see it.
struct SourceShape {
  std::vector<RawColumn> raw;
  std::vector<SourceColumn> columns;  ///< None: the source ended before it had a row.
};

class UnboundedSource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Limits of a source, which its CREATE CONNECTION sets.
  struct Limits {
    size_t batch_rows_max = 10000;                 ///< Of one micro-batch.
    std::chrono::milliseconds delivery_timeout{};  ///< 0: the sinks' batch_timeout_ms alone.
    /// More rejected rows stop the pipeline. Without it none are allowed, except where they become
    /// dead letters: then as many as there are.
    std::optional<uint64_t> rejects_max;
  };

  /// Rows is one micro-batch.
  struct Rows {
    /// Columns of kinds kText32, kText64, kStdString, kStdStringView or kNull, in the order of
    /// SourceShape::raw. Its `position` is what committed() will say; positions never decrease.
    RecordBatch batch;
    /// Input that is malformed, and not in the batch.
    std::vector<RejectedInput> rejected;
    bool end = false;  ///< Nothing will come after these rows.
  };

  virtual ~UnboundedSource() = default;

  virtual Limits limits() const = 0;
  /// Whether the rows end only when the user ends the pipeline.
  virtual bool is_endless() const = 0;
  /// Whether open() waits for rows or for a server, which --check does not.
  virtual bool open_waits() const = 0;
  /// Connects, or looks at the first rows, which next() still yields. Called once, at first use.
  /// `stop` says that the user wants an end (kInterrupted then); to be asked every 50 ms or so.
  virtual Result<SourceShape> open(const std::function<bool()>& stop) = 0;
  /// The columns whose types depend on what queries do with them; called after open().
  virtual std::vector<std::string> open_columns() const { return {}; }
  /// The shape for queries that do this with the open columns.
  virtual SourceShape shape_for(std::span<const ColumnUse> uses) {
    static_cast<void>(uses);
    return {};
  }
  /// What an error of a query may have to do with the open columns, for its message; or "".
  virtual std::string type_note() const { return ""; }
  /// Waits until there is a row, or the end, or the deadline; then yields what is there, at most
  /// `rows_max`, without waiting for more. An empty batch at the deadline. The batch may be read
  /// until the next call.
  virtual Result<Rows> next(size_t rows_max, TimePoint deadline) = 0;
  /// Takes nothing more from outside: next() yields what was taken before, then the end.
  virtual void finish() = 0;
  /// Where a row of the last batch stands, for messages: "line 17".
  virtual std::string place(size_t row) const = 0;
  /// A row of the last batch as it came in, for a dead letter; without an error.
  virtual RejectedInput input(size_t row) const = 0;
  /// Everything up to `position` is committed by every sink, or needed no writing.
  virtual Status committed(uint64_t position) = 0;
};

}  // namespace pgsink::shell
