#pragma once
// Source: the changes of one table, or of many through one slot, as rows: first the existing rows
// (the snapshot), then every transaction in the order of commits, until the source is closed.
//
//   auto source = pgsink::Source::open(options);      // type = 'source', publication, slot, table
//   (*source)->start();
//   while (auto batch = (*source)->next(100ms)) {
//     if (*batch) { …make (*batch)->rows durable…; (*source)->confirm((*batch)->position); }
//   }
//
// or call replicate() below, which does that with a Sink. docs/how-to/replication.md says what is
// guaranteed.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

namespace pgsink {

struct Env;
class Sink;

/// The columns of a source's rows after those of the table: what happened ("I", "U", "D" or "T"),
/// the position of the commit in the server's log ("16/B374D848"), and its time ("2026-11-23
/// 01:08:36.123456+00"). The last two are NULL in rows of the snapshot.
inline constexpr std::string_view kOperationColumn = "_op";
inline constexpr std::string_view kLsnColumn = "_lsn";
inline constexpr std::string_view kCommitTimeColumn = "_commit_ts";

/// SourceTableInfo is one of the tables that a source reads.
struct SourceTableInfo {
  struct Column {
    std::string name;
    std::string type;       ///< As PostgreSQL writes it, for example "numeric(18,4)".
    bool not_null = false;  ///< Whether the column refuses NULL.
    bool primary = false;   ///< Part of the primary key.
  };
  std::string schema, name;
  std::vector<Column> columns;
  /// Of its batches: these columns, then the three above.
  std::shared_ptr<const Schema> rows;
};

/// SourceBatch is what one whole transaction did to one table, or a piece of the snapshot.
struct SourceBatch {
  size_t table = 0;  ///< The index of the table in Source::tables().
  /// All columns are texts (kText64), in PostgreSQL's own output format, NULL where the row has
  /// NULL. A delete has values in the columns of the replica identity only. RecordBatch::position
  /// is `position`.
  RecordBatch rows;
  /// Pass it to confirm() when these rows are durable. It grows from batch to batch of a table: the
  /// position in the log right after the commit, or, in the snapshot, a small number.
  uint64_t position = 0;
  bool snapshot = false;  ///< Whether the rows belong to the snapshot.
  /// There is a single row, with "T": the table was emptied. What its transaction did before is
  /// left out; what it did after follows as another batch.
  bool truncate = false;
  /// There are no rows: the table was added while the source runs. Call join() for it.
  bool joins = false;
};

/// SourceState is what is remembered of a source from one run to the next.
struct SourceState {
  uint64_t seen = 0;      ///< The server may have discarded changes up to here; 0: none yet.
  std::string server;     ///< Its system identifier.
  std::string published;  ///< What the publication showed of each table that has its snapshot.
};

/// SourceMemory keeps the state of a source where its consumer keeps the rows, so that changes that
/// were lost while no source ran are noticed: by it, "we moved the slot" and "somebody else did"
/// differ. A source calls it from one thread at a time.
class SourceMemory {
 public:
  virtual ~SourceMemory() = default;
  virtual Result<SourceState> read() = 0;
  /// When this returns, it is on disk.
  virtual Status write(const SourceState& state) = 0;
  /// Whether the consumer's own position, given to Source::start(), says which rows it has, so that
  /// it takes none from a new snapshot.
  virtual bool position_is_known() const = 0;
  /// Whether the consumer has no rows, so that a new snapshot makes it equal.
  virtual bool is_empty() = 0;
};

/// remember_in_target makes a memory in the database of a sink: the table pgsink_sources in the
/// schema of its target, with a row for each sink and slot. Null if `options` are not a sink's.
/// With target_tables that schema is `schema`, and the target is all of `targets`, given as options
/// with schema and table.
std::unique_ptr<SourceMemory> remember_in_target(const SinkOptions& options, std::string_view slot,
                                                 Env* env = nullptr,
                                                 std::span<const SinkOptions> targets = {});

/// Source reads one table, or with the option `tables` many, whose changes come in the order of
/// their transactions. confirm(), join() and tables() are thread-safe; call the others from one
/// thread at a time.
class Source {
 public:
  /// open connects, checks everything that can be checked, and creates the publication if it is
  /// missing. It reads nothing yet.
  static Result<std::unique_ptr<Source>> open(SinkOptions options, Env* env = nullptr);
  /// test connects as open() would and checks everything, without creating anything.
  static Status test(const SinkOptions& options, Env* env = nullptr);
  /// The destructor closes. What was not confirmed comes again to the next source of that slot.
  virtual ~Source() = default;

  /// The columns of all batches: the table's without generated ones, then the three above, then
  /// kUnchangedColumn after report_unchanged(). With many tables, those of the first; see tables().
  virtual const std::shared_ptr<const Schema>& schema() const = 0;
  /// The tables that it reads; a table keeps its index. With the option `tables` there can be more
  /// of them later: tables that are created, or match the patterns after they were renamed.
  virtual std::vector<SourceTableInfo> tables() const = 0;

  /// The name of the slot that it reads, by which the server remembers it.
  virtual std::string_view replication_slot() const = 0;

  /// report_unchanged adds a last column, kUnchangedColumn, to the rows. In an update that leaves
  /// large (TOASTed) values alone, which the server does not send, it names their columns; they are
  /// NULL. If such an update also changes the key, the row that inserts the new key directly
  /// follows the delete of the old one. Without this, the source stops at such an update. To be
  /// called before start(), by hosts that write the rows to a sink with write_mode = changelog, or
  /// keep those values in another way.
  virtual void report_unchanged() = 0;

  /// start begins to read in the background. `after` is the position up to which the consumer has
  /// everything, if it knows (Sink::durable_position() with exactly_once): batches up to it are
  /// left out. With a `memory` the source fails if changes were lost since it was last written;
  /// accept_gap_until says how to go on. Without the privileges for it there is a warning instead.
  /// Called once.
  Status start(uint64_t after = 0, std::unique_ptr<SourceMemory> memory = nullptr) {
    return start(std::span(&after, 1), std::move(memory));
  }
  /// start for many tables: `after` has a position for each of tables(), in that order. The memory
  /// is needed, because it says which tables have their snapshot; fails with kUsage without one.
  virtual Status start(std::span<const uint64_t> after, std::unique_ptr<SourceMemory> memory) = 0;
  /// next returns the next batch, or nullopt if none came in that time. Once all batches before it
  /// were taken, it fails with the error that ended the source. A lost connection does not end it:
  /// it is opened again, up to max_retries times. The changes begin when the whole snapshot is
  /// confirmed.
  virtual Result<std::optional<SourceBatch>> next(std::chrono::milliseconds timeout) = 0;
  /// confirm says that every batch of a table up to that position is durable. The server may
  /// discard what is confirmed for all tables. Thread-safe.
  virtual void confirm(uint64_t position, size_t table) = 0;
  void confirm(uint64_t position) { confirm(position, 0); }
  /// join answers a batch with SourceBatch::joins: the table's rows and changes may come. `after`
  /// as in start(). Until then the source waits, and gives no changes of other tables either.
  virtual void join(size_t table, uint64_t after) = 0;
  /// The last confirmed position of the first table.
  virtual uint64_t confirmed_position() const = 0;
  /// close tells the server what was confirmed and ends. Idempotent.
  virtual void close() = 0;
  /// What open() and start() found that is not an error but may become one. One line each.
  virtual std::vector<std::string> warnings() const = 0;
};

/// ReplicateWatch hears of the sinks of replicate(), in the thread that called it.
class ReplicateWatch {
 public:
  virtual ~ReplicateWatch() = default;
  /// A sink is open; it lives until closed().
  virtual void opened(const SinkOptions& options, const Sink& sink) = 0;
  /// The sink has ended and will be deleted.
  virtual void closed(const SinkOptions& options, const Sink& sink) = 0;
  /// Once, when the source has started: what Source::warnings() returns.
  virtual void started(const Source& source) = 0;
};

/// replicate keeps a table equal to the source's. It opens a sink with `options`, whose write_mode
/// must be 'changelog', starts the source after what the sink has, and moves batches until
/// `goes_on` returns false (it is called several times a second) or something fails permanently.
/// Then everything that was read is committed, as far as possible, and confirmed. A truncate
/// empties the sink's table. Updates that leave large values alone keep those of the sink's table
/// (Source::report_unchanged()). With delivery = 'exactly_once' each change is applied once, across
/// crashes; otherwise unconfirmed changes are applied again, which leaves a table with a key the
/// same, except that an update which leaves values alone is rejected if a later change has removed
/// its row already. Without a sink_id its default is made of the connection, the table and the
/// slot, so that sessions of a killed process are terminated first.
///
/// With target_tables, each table of the source gets a sink of its own, with a sink_id made of the
/// given one and the table; buffer_bytes is shared by all of them. Each table is then as current as
/// its sink: rows of one transaction of the source in several tables are committed one by one.
/// create_table creates missing schemas and tables with the types and the primary key of the
/// source, and schema_evolution = 'add_columns' adds missing columns, both when a sink is opened.
Status replicate(Source& source, const SinkOptions& options, const std::function<bool()>& goes_on,
                 Env* env = nullptr, ReplicateWatch* watch = nullptr);

}  // namespace pgsink
