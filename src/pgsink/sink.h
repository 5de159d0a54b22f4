#pragma once
// Sink: the connector. Batches go in, committed rows come out.
//
//   auto sink = pgsink::Sink::open(options, batch.schema());
//   (*sink)->write(std::move(batch));     // waits only while buffer_bytes is used up
//   (*sink)->flush();                     // ok: every row written so far is committed
//   (*sink)->close();

#include <memory>

#include <pgsink/metrics.h>
#include <pgsink/options.h>
#include <pgsink/record_batch.h>

namespace pgsink {

struct Env;

class Sink {
 public:
  /// Open connects, reads the target's catalog, maps the columns of `schema` by name and checks
  /// everything that can be checked before a row is sent. All faults stand in the error together.
  /// `env` is for simulations and may be null: the operating system's.
  static Result<std::unique_ptr<Sink>> open(SinkOptions options,
                                            std::shared_ptr<const Schema> schema,
                                            Env* env = nullptr);
  /// The destructor aborts what is not committed, in bounded time; call close() to keep it.
  virtual ~Sink() = default;

  /// Write takes a batch of the schema given to open(). It returns at once unless `buffer_bytes`
  /// are accepted and not durable yet: then it waits. Fails with what stopped the sink, once
  /// stopped. Thread-safe; batches of one thread keep their order. With delivery exactly_once
  /// RecordBatch::position must grow from batch to batch, and a transaction holds whole batches.
  virtual Status write(RecordBatch batch) = 0;
  /// Flush waits until everything accepted before it is committed. OK means just that.
  virtual Status flush() = 0;
  /// Close flushes, then gives the connections back. Idempotent; the first outcome is kept.
  virtual Status close() = 0;

  /// The position of the last batch up to which every row is durable (RecordBatch::position).
  /// With delivery exactly_once it is known from open() on: what former runs committed. The host
  /// goes on right behind it; or it replays from anywhere before with its batches cut as they were,
  /// and those up to what each lane committed are acknowledged without being written.
  virtual uint64_t durable_position() const = 0;
  /// A snapshot; any thread.
  virtual SinkMetrics metrics() const = 0;
};

/// Connects as open() would and checks table, columns, privileges and options without writing. A
/// missing table is no fault with create_table.
Status test_connection(const SinkOptions& options, Env* env = nullptr);

}  // namespace pgsink
