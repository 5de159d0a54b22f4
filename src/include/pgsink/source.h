#pragma once
// Source: the changes of one table, as rows, for as long as somebody wants them: first the rows
// that are there (the snapshot), then every transaction in the order of commits.
//
//   auto source = pgsink::Source::open(options);      // type = 'source', publication, slot, table
//   (*source)->start();
//   while (auto batch = (*source)->next(100ms)) {
//     if (*batch) { …make (*batch)->rows durable…; (*source)->confirm((*batch)->position); }
//   }
//
// or replicate() below, which does that with a Sink. docs/how-to/replication.md says what is
// promised.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

namespace pgsink {

struct Env;

/// The columns of a source's rows behind those of the table: what happened ("I", "U", "D" or "T"),
/// where the commit stands in the server's log ("16/B374D848"), and when it was
/// ("2026-11-23 01:08:36.123456+00"). The last two are NULL in rows of the snapshot.
inline constexpr std::string_view kOperationColumn = "_op";
inline constexpr std::string_view kLsnColumn = "_lsn";
inline constexpr std::string_view kCommitTimeColumn = "_commit_ts";

/// SourceBatch is one whole transaction, or a piece of the snapshot.
struct SourceBatch {
  /// All columns are texts (kText64), in PostgreSQL's own output format, NULL where the row has
  /// NULL. A delete has values in the columns of the replica identity only. RecordBatch::position
  /// is `position`.
  RecordBatch rows;
  /// Confirm it when these rows are durable. It grows from batch to batch: the position in the log
  /// right behind the commit, or, in the snapshot, a small number.
  uint64_t position = 0;
  bool snapshot = false;
  /// The rows are a single one with "T": the table was emptied. What its transaction did before is
  /// left out; what it did after follows as a batch of its own.
  bool truncate = false;
};

class Source {
 public:
  /// Open connects, checks everything that can be checked, and creates the publication if it is
  /// missing. Nothing is read yet.
  static Result<std::unique_ptr<Source>> open(SinkOptions options, Env* env = nullptr);
  /// Test connects as open() would and checks everything, without creating anything.
  static Status test(const SinkOptions& options, Env* env = nullptr);
  /// The destructor closes. What was not confirmed comes again to the next source of that slot.
  virtual ~Source() = default;

  /// The columns of all batches: the table's without generated ones, then the three above.
  virtual const std::shared_ptr<const Schema>& schema() const = 0;

  /// The slot that it reads, by which the server remembers it.
  virtual std::string_view replication_slot() const = 0;

  /// Start begins to read in the background. `after` is the position up to which the consumer has
  /// everything, if it knows (Sink::durable_position() with exactly_once): those batches are left
  /// out. Called once.
  virtual Status start(uint64_t after = 0) = 0;
  /// Next yields the next batch, or nullopt if none came in that time. Fails with what ended the
  /// source for good, when all batches before it were taken. Lost connections do not: they are made
  /// anew, as often as max_retries says. The changes begin when the whole snapshot is confirmed.
  virtual Result<std::optional<SourceBatch>> next(std::chrono::milliseconds timeout) = 0;
  /// Confirm says that every batch up to that position is durable: the server may forget it. Any
  /// thread.
  virtual void confirm(uint64_t position) = 0;
  /// What was confirmed last.
  virtual uint64_t confirmed_position() const = 0;
  /// Close tells the server what was confirmed and ends. Idempotent.
  virtual void close() = 0;
  /// What open() found that is no error but may become one. One line each.
  virtual std::vector<std::string> warnings() const = 0;
};

/// replicate keeps a table equal to the source's: opens a sink with `options`, whose write_mode
/// must be 'changelog', starts the source behind what the sink has, and moves batches until
/// `goes_on` says false (it is asked several times a second) or something fails for good. Then all
/// that was read is committed, as far as possible, and confirmed. A truncate empties the sink's
/// table. With delivery = 'exactly_once' each change is applied once, whatever dies in between;
/// otherwise those not confirmed are applied again, which a table with a key does not mind; the
/// sink_id is then by default one of the connection, the table and the slot, so that what a killed
/// process left at work is ended first.
Status replicate(Source& source, const SinkOptions& options, const std::function<bool()>& goes_on,
                 Env* env = nullptr);

}  // namespace pgsink
