#pragma once
// UnboundedSource: rows without a known end, such as the lines of a pipe or the changes of a
// database. A pipeline reads them in micro-batches (run/stream_run.h): each is run through the
// query separately, so such queries must be stateless.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/dead_letter.h>
#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "shell/connections/source_report.h"
#include "shell/records/column_samples.h"
#include "shell/sources/stream_control.h"

namespace pgsink::shell {

/// RawColumn is one column of UnboundedSource::Rows; all of them are texts.
struct RawColumn {
  std::string name;
  bool json_value = false;  ///< As Field::json_value.
};

/// SourceColumn is one column as queries see it.
struct SourceColumn {
  std::string name;
  /// The expression of the engine over the raw columns, for example CAST("id" AS BIGINT). For a
  /// value that is not of its type it must fail, never return NULL.
  std::string expression;
};

/// SourceShape is what a source returns, and how queries see it.
struct SourceShape {
  std::vector<RawColumn> raw;
  std::vector<SourceColumn> columns;  ///< Empty: the source ended before its first row.
};

class UnboundedSource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Limits of a source, from its CREATE CONNECTION.
  struct Limits {
    size_t batch_rows_max = 10000;                 ///< Rows of one micro-batch.
    std::chrono::milliseconds delivery_timeout{};  ///< 0: only the sinks' batch_timeout_ms counts.
    /// More rejected rows stop the pipeline. If it is not set, no rejected rows are allowed, unless
    /// they become dead letters: then there is no limit.
    std::optional<uint64_t> rejects_max;
  };

  /// Rows is one micro-batch.
  struct Rows {
    /// Columns of kinds kText32, kText64, kStdString, kStdStringView or kNull, in the order of
    /// SourceShape::raw, unless report_unchanged() said otherwise. Its `position` is passed to
    /// committed() later; positions never decrease.
    RecordBatch batch;
    /// Of a source with streams: the stream of all of these rows, and its position after them.
    std::string stream;
    uint64_t stream_position = 0;
    /// Malformed input, which is not in the batch.
    std::vector<RejectedInput> rejected;
    bool end = false;  ///< No rows follow these.
  };

  virtual ~UnboundedSource() = default;

  virtual Limits limits() const = 0;
  /// Whether the rows end only when the user ends the pipeline.
  virtual bool is_endless() const = 0;
  /// Whether open() waits for rows or for a server, which --check does not do.
  virtual bool open_waits() const = 0;
  /// Connects, or reads the first rows, which next() still returns. Called once, at first use.
  /// `stop` returns true if the user wants to end (then kInterrupted); call it every 50 ms or so.
  virtual Result<SourceShape> open(const std::function<bool()>& stop) = 0;
  /// The sinks of the pipeline are open: called before the first next(). All of them have the rows
  /// up to `durable`, as far as they know; `first` has the options of one, null if there is none.
  virtual Status begin(uint64_t durable, const SinkOptions* first) {
    static_cast<void>(durable);
    static_cast<void>(first);
    return {};
  }
  /// The columns whose types depend on what queries do with them; called after open().
  virtual std::vector<std::string> open_columns() const { return {}; }
  /// The shape for queries that use the open columns this way.
  virtual SourceShape shape_for(std::span<const ColumnUse> uses) {
    static_cast<void>(uses);
    return {};
  }
  /// A statement is about to be bound that may read the source: whether its columns have changed.
  virtual bool select_columns(std::string_view statement) {
    static_cast<void>(statement);
    return false;
  }
  /// From now on rows may leave columns unchanged (kUnchangedColumn), because all of them, or all
  /// but those for TRUNCATE, go to a changelog as they are. Returns the schema that batches have
  /// then; null if the source has no such rows. Called before begin().
  virtual std::shared_ptr<const Schema> report_unchanged(bool without_truncates) {
    static_cast<void>(without_truncates);
    return nullptr;
  }
  /// Null if the source has no streams.
  virtual StreamControl* streams() { return nullptr; }
  /// For a source without streams: why its rows cannot be delivered exactly once, and what to do.
  virtual std::string_view why_not_exactly_once() const {
    return "it needs a source that can be read again";
  }
  /// How the open columns may have caused an error of a query, for its message; or "".
  virtual std::string type_note() const { return ""; }
  /// Waits until there is a row, or the end, or the deadline; then returns what is available, at
  /// most `rows_max`, without waiting for more. An empty batch at the deadline. The batch may be
  /// read until the next call.
  virtual Result<Rows> next(size_t rows_max, TimePoint deadline) = 0;
  /// Reads no more input: next() returns what was read before, then the end.
  virtual void finish() = 0;
  /// For monitoring, without a name; nullopt if there is nothing to report.
  virtual std::optional<SourceReport> report() { return std::nullopt; }
  /// The position of a row of the last batch, for messages: "line 17".
  virtual std::string place(size_t row) const = 0;
  /// A row of the last batch as it was read, for a dead letter; without an error.
  virtual RejectedInput input(size_t row) const = 0;
  /// Everything up to `position` is committed by every sink, or needed no writing.
  virtual Status committed(uint64_t position) = 0;
};

}  // namespace pgsink::shell
