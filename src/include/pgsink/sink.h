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
#include <pgsink/stream.h>

namespace pgsink {

struct Env;
class ConnectionPool;

/// Sink writes batches to one table. write(), try_write(), reject(), interrupt() and metrics() are
/// thread-safe; call the others from one thread at a time.
class Sink {
 public:
  /// open connects, reads the target's catalog, maps the columns of `schema` by name and checks
  /// everything that can be checked before a row is sent. One error names all faults together. A
  /// server that is starting up or has no free connection is tried again up to max_retries times,
  /// and one that cannot be reached as well if max_retries or retry_timeout_ms is given;
  /// SinkOptions::on_server_wait can end that.
  /// `env` is for simulations; null means the operating system's, or the pool's. With a `pool`
  /// (pool.h) the sink takes its connections there, all at once, and waits for them up to
  /// connection_timeout_ms; it gives them back when it is closed. Without a pool it opens its own
  /// connections.
  static Result<std::unique_ptr<Sink>> open(SinkOptions options,
                                            std::shared_ptr<const Schema> schema,
                                            Env* env = nullptr,
                                            const std::shared_ptr<ConnectionPool>& pool = nullptr);
  /// The destructor aborts what is not committed, in bounded time. Call close() to keep it.
  virtual ~Sink() = default;

  /// write accepts a batch of the schema given to open(). It returns at once unless `buffer_bytes`
  /// are accepted and not durable yet: then it waits. After the sink has stopped it fails with the
  /// reason. Thread-safe; batches of one thread keep their order. With delivery exactly_once
  /// RecordBatch::position must grow from batch to batch, and a transaction holds whole batches.
  virtual Status write(RecordBatch batch) = 0;
  /// try_write is write() for hosts that must not wait. It returns false, with the batch untouched,
  /// if `buffer_bytes` are used up; the lanes then send sooner, so try again later. With use_2pc
  /// false can also mean that the epoch is full: flush() or prepare() ends it.
  virtual Result<bool> try_write(RecordBatch& batch) = 0;
  /// reject makes dead letters of input that never became rows, and counts them as rejected rows.
  /// OK means that they are in the table, the file and the callback, as configured, in a separate
  /// transaction. Fails with the error of the first one if rejected rows have nowhere to go, or if
  /// there are too many (max_rejects, max_reject_ratio); then the sink stops, and earlier dead
  /// letters remain. Thread-safe.
  virtual Status reject(std::span<const RejectedInput> inputs) = 0;
  /// status is OK while the sink works, and the error that stopped it otherwise: for hosts that
  /// have nothing to write for a while. Does not wait. Thread-safe.
  virtual Status status() const = 0;
  /// flush waits until everything accepted before it is committed. OK means just that. With use_2pc
  /// it ends an epoch: all of it becomes visible at once.
  virtual Status flush() = 0;
  /// finish is close() at the end of a load that no later run continues: under use_2pc the position
  /// is deleted then, so that the next sink of the same name begins at 0. Fails as close(), and
  /// with kUsage where the host decides.
  virtual Status finish() = 0;
  /// close flushes, then gives the connections back. Idempotent; the first outcome is kept. Where
  /// the host decides (recover() was called) it writes nothing more, and fails with kUsage if
  /// batches were accepted after the last prepare(): these are not written. Prepared epochs stay
  /// prepared, for recover() in the next run.
  virtual Status close() = 0;

  /// interrupt ends the sink: the calls that wait, in any thread, and all later ones fail with
  /// kInterrupted and say how many rows are committed. Nothing more is sent. A call that creates a
  /// partition, stores dead letters of reject(), or decides an epoch first waits for the answer to
  /// the statement that it has sent. Does not wait. Thread-safe, but not for signal handlers. The
  /// destructor may still wait for a connection that is being opened (connection_timeout_ms).
  virtual void interrupt() = 0;

  // ---- two-phase commit by the host's decision -------------------------------------------------
  // With use_2pc an engine with checkpoints can decide when an epoch is committed:
  //   open(), recover(last epoch that the engine knows to be complete)
  //   write() …, prepare(n) at the barrier, write() …, commit(n) once checkpoint n is complete
  // Rows of epoch n+1 may be written before commit(n). The host chooses the epochs' numbers, which
  // must grow. All of these fail with kUsage without use_2pc, and all but recover() before it was
  // called.

  /// Recovered says where the database stands.
  struct Recovered {
    uint64_t epoch = 0;     ///< The last committed epoch; 0: none yet. The host resumes after it.
    uint64_t position = 0;  ///< RecordBatch::position of its last batch.
    std::string proof;      ///< RecordBatch::position_proof of that batch.
  };
  /// recover takes over from previous runs. Epochs that they prepared are committed up to
  /// `last_committed_epoch`, which the host knows to be complete; later ones are rolled back. From
  /// then on only commit() commits. Called once, before the first write(); 0 if the host knows of
  /// none. Fails with kOutcomeUnknown if the database has lost that epoch (a failover, a restore):
  /// the host goes back to the one that the message names and calls recover() with it.
  virtual Result<Recovered> recover(uint64_t last_committed_epoch) = 0;
  /// prepare ends an epoch. When it returns, everything accepted before it is prepared on the
  /// server by all lanes: it survives a crash of both sides, is not visible yet, and holds its
  /// locks. Fails with kUsage if `epoch` is not greater than all before, or, in the modes with
  /// keys, if the previous one is not committed, because its locks are in the way.
  virtual Status prepare(uint64_t epoch) = 0;
  /// commit decides a prepared epoch, and those before it, by one durable row, and commits their
  /// transactions. After an error call it again, or open a new sink and call recover(): a decision
  /// is never changed. OK at once if the epoch is committed already; kUsage if it is not prepared.
  virtual Status commit(uint64_t epoch) = 0;
  /// abort rolls back a prepared epoch and everything after it, also rows that are not prepared.
  /// Then the sink has ended: the host reopens it and writes from after the last committed epoch.
  /// Fails with kUsage if the epoch is committed or not prepared.
  virtual Status abort(uint64_t epoch) = 0;

  // ---- streams ---------------------------------------------------------------------------------
  // With the option `streams` (stream.h). All of these fail with kUsage without it. Calls of one
  // sink come one at a time; write() may run meanwhile, in other threads.

  /// claim takes streams over, from now on, at any time: what former owners have not committed is
  /// fenced, in other processes and in this one; their other streams go on. Returns where each
  /// stands, by name; the host continues right after it, or replays from anywhere before it with
  /// its batches cut as they were. If a transaction of a former owner is open, claim waits for it,
  /// for a second, then ends that connection. Fails with kCannotFence if that is not allowed, and
  /// with kCannotResume if the target was dropped and created again.
  virtual Result<std::vector<StreamPosition>> claim(std::span<const StreamStart> streams) = 0;
  /// release gives streams up. After kDrain, everything accepted of them is committed; the sink
  /// does not release them if that fails. With kDiscard, rows that were not sent are dropped, and
  /// it does not wait; nothing that was committed is lost, and the next owner reads the rest again.
  virtual Status release(std::span<const std::string> streams, ReleaseMode mode) = 0;
  /// stream_position is the position up to which everything of a claimed stream is durable; 0 if
  /// the stream is not claimed. Thread-safe.
  virtual uint64_t stream_position(const std::string& stream) const = 0;
  /// stream_status is OK while the stream is claimed by this sink, and kFenced after another writer
  /// has taken it over. Then write() of that stream, flush(), close() and status() fail too, until
  /// the stream is released (kDiscard) or claimed again. Known only after the sink has tried to
  /// write some of the stream. Does not wait. Thread-safe.
  virtual Status stream_status(const std::string& stream) const = 0;

  /// durable_position is the position (RecordBatch::position) of the last batch up to which every
  /// row is durable. With delivery exactly_once it is known from open() on: what previous runs
  /// committed. The host resumes right after it, or replays from anywhere before it with its
  /// batches cut as they were; then batches up to what each lane committed are acknowledged without
  /// being written. With use_2pc it is known too, and the host resumes right after it.
  /// With streams it is 0: see stream_position().
  virtual uint64_t durable_position() const = 0;
  /// resume_points are the positions that previous runs have committed, as open() found them, in
  /// growing order, each with the proof that its batch carried; empty if nothing was delivered.
  /// Under exactly_once lanes can have different ones: a batch may end at each, and none may hold
  /// rows on both sides of one. With use_2pc there is one, which recover() may move. A host that
  /// reads its input again compares the proofs before it writes anything: rows up to a position are
  /// not written, whatever they are.
  virtual std::vector<HostPosition> resume_points() const = 0;
  /// metrics returns a snapshot. Thread-safe.
  virtual SinkMetrics metrics() const = 0;
  /// warnings lists what open() found that is not an error but may break a guarantee, for example
  /// that the server commits without waiting for its disk. One line each, to show to the operator.
  virtual std::vector<std::string> warnings() const = 0;
};

/// test_connection connects as open() would, but only once, and checks table, columns, privileges
/// and options without writing. A missing table is not a fault with create_table.
Status test_connection(const SinkOptions& options, Env* env = nullptr);

/// TargetColumn is one column of the table that a connection writes to.
struct TargetColumn {
  std::string name;           ///< As in the catalog, without quotes.
  std::string type;           ///< As PostgreSQL writes it, for example "numeric(18,4)".
  bool nullable = true;       ///< Whether the column takes NULL.
  std::string default_text;   ///< The default expression, or GENERATED … AS IDENTITY; "" if it has
                              ///< no default.
  bool is_key = false;        ///< Part of conflict_columns or key_columns, else of the primary key.
  bool is_generated = false;  ///< GENERATED ALWAYS AS (…) STORED: it cannot be written.
  int32_t ordinal = 0;        ///< From 1; dropped columns leave gaps.
};

/// describe_target connects and reads the table's columns from the catalog. Fails with kNoSuchTable
/// if the table does not exist.
Result<std::vector<TargetColumn>> describe_target(const SinkOptions& options, Env* env = nullptr);

}  // namespace pgsink
