#pragma once
// Sink: the connector. Batches go in, committed rows come out.
//
//   auto sink = pgsink::Sink::open(options, batch.schema());
//   (*sink)->write(std::move(batch));     // waits only while buffer_bytes is used up
//   (*sink)->flush();                     // ok: every row written so far is committed
//   (*sink)->close();

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <pgsink/dead_letter.h>
#include <pgsink/metrics.h>
#include <pgsink/options.h>
#include <pgsink/record_batch.h>

namespace pgsink {

struct Env;
class ConnectionPool;

class Sink {
 public:
  /// Open connects, reads the target's catalog, maps the columns of `schema` by name and checks
  /// everything that can be checked before a row is sent. All faults stand in the error together.
  /// `env` is for simulations and may be null: the operating system's, or the pool's. With a `pool`
  /// (pool.h) the sink takes its connections there, all at once, and waits for them up to
  /// connection_timeout_ms; it gives them back when it is closed. A sink without one connects for
  /// itself.
  static Result<std::unique_ptr<Sink>> open(SinkOptions options,
                                            std::shared_ptr<const Schema> schema,
                                            Env* env = nullptr,
                                            const std::shared_ptr<ConnectionPool>& pool = nullptr);
  /// The destructor aborts what is not committed, in bounded time; call close() to keep it.
  virtual ~Sink() = default;

  /// Write takes a batch of the schema given to open(). It returns at once unless `buffer_bytes`
  /// are accepted and not durable yet: then it waits. Fails with what stopped the sink, once
  /// stopped. Thread-safe; batches of one thread keep their order. With delivery exactly_once
  /// RecordBatch::position must grow from batch to batch, and a transaction holds whole batches.
  virtual Status write(RecordBatch batch) = 0;
  /// Try_write is write() for hosts that must not wait: false, with the batch untouched, if
  /// `buffer_bytes` are used up, which lanes then hurry to change; try again later. With use_2pc
  /// false can also mean that the epoch is full: flush() or prepare() ends it.
  virtual Result<bool> try_write(RecordBatch& batch) = 0;
  /// Reject makes dead letters of input that never became rows, and counts them as rejected rows.
  /// OK when they are in the table, the file and the callback, whichever there are, in a
  /// transaction of their own. Fails with the first one's error if rejected rows have nowhere to
  /// go, and if there are too many (max_rejects, max_reject_ratio); then it stops with those of
  /// before. Thread-safe.
  virtual Status reject(std::span<const RejectedInput> inputs) = 0;
  /// Status is OK while the sink works, and what stopped it otherwise: for hosts that have nothing
  /// to write for a while. Does not wait. Thread-safe.
  virtual Status status() const = 0;
  /// Flush waits until everything accepted before it is committed. OK means just that. With
  /// use_2pc it ends an epoch: all of it is seen at once.
  virtual Status flush() = 0;
  /// Finish is close() at the end of a load that no later run goes on with: under use_2pc the
  /// position is forgotten then, so that the next sink of the same name begins at 0. Fails as
  /// close(); with kUsage where the host decides.
  virtual Status finish() = 0;
  /// Close flushes, then gives the connections back. Idempotent; the first outcome is kept.
  /// Where the host decides (recover() was called) it writes nothing more, and fails with kUsage if
  /// batches were accepted behind the last prepare(): they are not written. Prepared epochs stay
  /// prepared, for recover() in the next run.
  virtual Status close() = 0;

  // ---- two-phase commit by the host's decision -------------------------------------------------
  // With use_2pc an engine with checkpoints can decide when an epoch is committed:
  //   open(), recover(last epoch that the engine knows to be complete)
  //   write() …, prepare(n) at the barrier, write() …, commit(n) once checkpoint n is complete
  // Rows of epoch n+1 may be written before commit(n). Epochs are numbers of the host's that grow.
  // All of these fail with kUsage without use_2pc, and all but recover() before it was called.

  /// Recovered is where the database stands.
  struct Recovered {
    uint64_t epoch = 0;     ///< The last committed; 0: none yet. The host goes on behind it.
    uint64_t position = 0;  ///< RecordBatch::position of its last batch.
    std::string proof;      ///< RecordBatch::position_proof of that batch.
  };
  /// Recover takes over from former runs: epochs that they prepared are committed up to
  /// `last_committed_epoch`, which the host knows to be complete, and rolled back behind it. From
  /// then on only commit() commits. Called once, before the first write(); 0 if the host knows of
  /// none. Fails with kOutcomeUnknown if the database has lost that epoch (a failover, a restore):
  /// the host goes back to the one that the message names and calls recover() with it.
  virtual Result<Recovered> recover(uint64_t last_committed_epoch) = 0;
  /// Prepare ends an epoch: when it returns, everything accepted before it is prepared on the
  /// server by all lanes, and survives a crash of both, invisible still, its locks held. Fails with
  /// kUsage if `epoch` is not greater than all before, or, in the modes with keys, if the one
  /// before is not committed: its locks are in the way.
  virtual Status prepare(uint64_t epoch) = 0;
  /// Commit decides a prepared epoch, and those before it, by one durable row, and commits their
  /// transactions. After an error repeat it, or open a new sink and recover(): committed or not is
  /// never decided twice. OK at once if it was committed before; kUsage if it is not prepared.
  virtual Status commit(uint64_t epoch) = 0;
  /// Abort rolls back a prepared epoch and everything behind it, rows not prepared included. Then
  /// the sink is at its end: the host opens it again and writes from behind the last committed
  /// epoch. Fails with kUsage if it is committed or not prepared.
  virtual Status abort(uint64_t epoch) = 0;

  /// The position of the last batch up to which every row is durable (RecordBatch::position).
  /// With delivery exactly_once it is known from open() on: what former runs committed. The host
  /// goes on right behind it; or it replays from anywhere before with its batches cut as they were,
  /// and those up to what each lane committed are acknowledged without being written. With use_2pc
  /// it is known too, and the host goes on right behind it.
  virtual uint64_t durable_position() const = 0;
  /// Resume_points are the positions that former runs have committed, as open() found them, in
  /// growing order, each with the proof that its batch carried; empty if nothing was delivered.
  /// Under exactly_once lanes can stand at different ones: a batch may end at each, and none may
  /// hold rows on both sides of one. With use_2pc there is one, which recover() may move. A host
  /// that reads its input again compares the proofs before it writes anything: rows up to a
  /// position are not written, whatever they are.
  virtual std::vector<HostPosition> resume_points() const = 0;
  /// A snapshot; any thread.
  virtual SinkMetrics metrics() const = 0;
  /// Warnings says what open() found that is no error, but may break a promise: that the server
  /// commits without waiting for its disk, for example. One line each, for whoever runs the sink.
  virtual std::vector<std::string> warnings() const = 0;
};

/// Connects as open() would and checks table, columns, privileges and options without writing. A
/// missing table is no fault with create_table.
Status test_connection(const SinkOptions& options, Env* env = nullptr);

/// TargetColumn is one column of the table that a connection writes to.
struct TargetColumn {
  std::string name;
  std::string type;  ///< As PostgreSQL writes it, for example "numeric(18,4)".
  bool nullable = true;
  std::string default_text;  ///< The expression, or GENERATED … AS IDENTITY; "" for none.
  bool is_key = false;       ///< Of conflict_columns or key_columns, else of the primary key.
  bool is_generated = false;
  int32_t ordinal = 0;  ///< From 1; where columns were dropped, numbers are left out.
};

/// describe_target connects and reads the table's columns from the catalog. Fails with kNoSuchTable
/// if there is none.
Result<std::vector<TargetColumn>> describe_target(const SinkOptions& options, Env* env = nullptr);

}  // namespace pgsink
