#pragma once
// UnboundedSource: rows that come for as long as somebody sends them, such as the lines of a pipe
// or the changes of a database. A pipeline reads them in micro-batches (run/stream_run.h): each is
// run through the query by itself, which is why such queries must be stateless.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

namespace pgsink::shell {

/// SourceColumn is one column as queries see it.
struct SourceColumn {
  std::string name;
  /// How the engine makes it of the raw columns, for example CAST("id" AS BIGINT). It must fail,
  /// never yield NULL, for a value that is not of its type.
  std::string expression;
};

/// SourceShape is what a source yields, and how queries see it.
struct SourceShape {
  std::vector<std::string> raw;  ///< The columns of UnboundedSource::Rows, all of them texts.
  std::vector<SourceColumn> columns;
  /// A condition over the raw columns; it fails for a row that is to be rejected as a whole. "":
  /// none.
  std::string condition;
};

class UnboundedSource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Limits of a source, which its CREATE CONNECTION sets.
  struct Limits {
    size_t batch_rows_max = 10000;                 ///< Of one micro-batch.
    std::chrono::milliseconds delivery_timeout{};  ///< 0: the sinks' batch_timeout_ms alone.
    uint64_t rejects_max = 0;                      ///< More rejected rows stop the pipeline.
  };

  /// Rows is one micro-batch.
  struct Rows {
    /// Columns of kinds kText32, kText64, kStdString, kStdStringView or kNull, in the order of
    /// SourceShape::raw. Its `position` is what committed() will say; positions never decrease.
    RecordBatch batch;
    bool end = false;  ///< Nothing will come behind these rows.
  };

  virtual ~UnboundedSource() = default;

  virtual Limits limits() const = 0;
  /// Whether open() waits for rows or for a server, which --check does not.
  virtual bool open_waits() const = 0;
  /// Connects, or looks at the first rows, which next() still yields. Called once, at first use.
  /// `stop` says that the user wants an end (kInterrupted then); to be asked every 50 ms or so.
  virtual Result<SourceShape> open(const std::function<bool()>& stop) = 0;
  /// Waits until there is a row, or the end, or the deadline; then yields what is there, at most
  /// `rows_max`, without waiting for more. An empty batch at the deadline. The batch may be read
  /// until the next call.
  virtual Result<Rows> next(size_t rows_max, TimePoint deadline) = 0;
  /// Takes nothing more from outside: next() yields what was taken before, then the end.
  virtual void finish() = 0;
  /// Where a row of the last batch stands, for messages: "line 17".
  virtual std::string place(size_t row) const = 0;
  /// Everything up to `position` is committed by every sink, or needed no writing.
  virtual Status committed(uint64_t position) = 0;
};

/// typed_text is the engine's expression that gives a text (an expression, too) a type. It fails
/// for what the engine would round or cut: 3.7 is no BIGINT, 2026-01-01 10:00 no DATE.
std::string typed_text(const std::string& text, const std::string& type);

}  // namespace pgsink::shell
