// Source: a task reads the snapshot and the stream into a queue of bounded size, tells the server
// what is confirmed, and reconnects when the connection is lost.

#include "pgsink/source.h"

#include <algorithm>
#include <deque>
#include <new>
#include <span>
#include <utility>

#include "pgsink/client/identity.h"
#include "pgsink/options/retry.h"
#include "pgsink/options/server.h"
#include "pgsink/replication/batch_queue.h"
#include "pgsink/replication/new_tables.h"
#include "pgsink/replication/replication_session.h"
#include "pgsink/replication/source_checks.h"
#include "pgsink/replication/source_setup.h"
#include "pgsink/replication/source_slots.h"
#include "pgsink/replication/source_snapshot.h"
#include "pgsink/replication/tables_stream.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// Positions below this are numbers of batches of the snapshot: no log begins so early.
constexpr uint64_t kFirstLsn = uint64_t{1} << 24;
/// The parts of buffer_bytes that a batch of the snapshot and a transaction may hold.
constexpr size_t kSnapshotBatchesInBuffer = 8;
constexpr size_t kTransactionsInBuffer = 2;
/// The publication is checked this often while the source streams.
constexpr Duration kWatchPause = std::chrono::seconds(1);
/// Confirmations are sent to the server at most this often, and if they are remembered in the
/// target first, less often.
constexpr Duration kStatusPause = std::chrono::milliseconds(100);
constexpr Duration kRecordPause = std::chrono::seconds(1);

class SourceImpl final : public Source, SnapshotRows {
 public:
  SourceImpl(std::unique_ptr<OsEnv> own_env, Env& env, SinkOptions options, SourceSetup setup)
      : own_env_(std::move(own_env)),
        env_(env),
        options_(std::move(options)),
        connect_(std::move(setup.connect)),
        many_(!options_.tables.empty()),
        stops_at_large_values_(std::move(setup.stops_at_large_values)),
        warnings_(std::move(setup.warnings)),
        slots_(options_.replication_slot, env_.clock),
        monitor_(env_.tasks.monitor()),
        buffer_bytes_(static_cast<size_t>(options_.buffer_bytes)),
        tables_(std::move(setup.tables)),
        schema_(tables_.empty() ? nullptr : tables_.front().schema),
        queue_(buffer_bytes_),
        checks_(options_, env_.clock),
        new_tables_(options_, env_.clock),
        stream_(buffer_bytes_ / kTransactionsInBuffer) {
    if (!stops_at_large_values_.empty()) warnings_.push_back(stops_at_large_values_);
  }
  ~SourceImpl() override { close(); }

  const std::shared_ptr<const Schema>& schema() const override { return schema_; }
  std::string_view replication_slot() const override { return options_.replication_slot; }
  std::vector<std::string> warnings() const override {
    const Monitor::Lock lock(*monitor_);
    return warnings_;
  }
  std::vector<SourceTableInfo> tables() const override {
    const Monitor::Lock lock(*monitor_);
    std::vector<SourceTableInfo> infos;
    infos.reserve(tables_.size());
    for (const TableSetup& setup : tables_) infos.push_back(info_of(setup));
    return infos;
  }

  void report_unchanged() override {
    const Monitor::Lock lock(*monitor_);
    if (task_) return;
    reports_unchanged_ = true;
    for (TableSetup& setup : tables_) setup.schema = source_schema(setup.table, true);
    if (!tables_.empty()) schema_ = tables_.front().schema;
    std::erase(warnings_, stops_at_large_values_);
  }

  Status start(std::span<const uint64_t> after, std::unique_ptr<SourceMemory> memory) override {
    if (task_) {
      return fail(Errc::kUsage, "Source::start(): the source is already started; call it once");
    }
    if (after.size() != tables_.size() || (many_ && !memory)) {
      return fail(Errc::kUsage,
                  "Source::start(): a source with the option tables needs a position for each of "
                  "tables(), and a SourceMemory");
    }
    if (auto loaded = checks_.record().load(std::move(memory), warnings_); !loaded) {
      return fail_at(options_, loaded.error());
    }
    for (size_t i = 0; i < tables_.size(); ++i) add_to_stream(i, after[i]);
    // Every table has what was queued for it; how far the others are, the slot knows.
    if (!many_ && reached_ >= kFirstLsn) queued_ = reached_;
    auto task = env_.tasks.spawn("pgsink source", [this] { run(); });
    if (!task) return fail(task.error());
    task_ = std::move(*task);
    return {};
  }

  Result<std::optional<SourceBatch>> next(std::chrono::milliseconds timeout) override {
    const Deadline deadline = env_.clock.now() + timeout;
    const Monitor::Lock lock(*monitor_);
    while (queue_.empty() && !failure_ && !closing_ && env_.clock.now() < deadline) {
      monitor_->wait(deadline);
    }
    auto batch = queue_.pop();
    if (!batch) {
      if (failure_) return fail(*failure_);
      return std::nullopt;
    }
    monitor_->notify_all();
    return batch;
  }

  using Source::confirm;
  using Source::start;
  void confirm(uint64_t position, size_t table) override {
    const Monitor::Lock lock(*monitor_);
    if (table >= queue_.tables() || position <= queue_.confirmed(table)) return;
    queue_.confirm(table, position);
    monitor_->notify_all();
    if (connection_ != nullptr) connection_->interrupt();
  }
  void join(size_t table, uint64_t after) override {
    const Monitor::Lock lock(*monitor_);
    if (table == queue_.tables()) joins_after_ = after;
    monitor_->notify_all();
  }
  uint64_t confirmed_position() const override {
    const Monitor::Lock lock(*monitor_);
    return queue_.tables() == 0 ? 0 : queue_.confirmed(0);
  }

  void close() override {
    {
      const Monitor::Lock lock(*monitor_);
      closing_ = true;
      monitor_->notify_all();
      if (connection_ != nullptr) connection_->interrupt();
    }
    if (task_) task_->join();
    task_.reset();
  }

 private:
  /// The consumer has everything of the table up to `after`.
  void add_to_stream(size_t table, uint64_t after) {
    const Monitor::Lock lock(*monitor_);
    queue_.add_table(after);
    joined_.push_back(false);
    reached_ = std::max(reached_, after);
    stream_.add_table(tables_[table].table, tables_[table].schema, after);
  }

  // ---- the task --------------------------------------------------------------------------------

  void run() {
    const RetryPolicy policy = RetryPolicy::from(options_);
    Backoff backoff(policy, env_.random.next_u64());
    RetryLimit limit(policy);
    uint32_t failures = 0;
    while (!closing()) {
      progress_ = false;
      Status ended = guarded_session();
      drop_connection();
      if (std::exchange(again_, false) && ended) continue;
      if (closing() || ended || failed()) break;
      if (progress_) {
        failures = 0;
        limit.succeeded();
      }
      const Error& error = ended.error();
      const Status counted = limit.failed(++failures, error, env_.clock.now());
      if (!counted || !(policy.rule.allows_reconnect(error) || is_transient(error))) {
        give_up(counted ? error : counted.error());
        break;
      }
      pause(backoff.delay(failures));
    }
  }

  Status guarded_session() {
    try {
      return run_session();
    } catch (const std::bad_alloc&) {
      return fail(Errc::kOutOfMemory, "out of memory");
    }
  }

  void give_up(Error error) {
    const Monitor::Lock lock(*monitor_);
    error.message = "connection \"" + options_.connection_name + "\": " + error.message;
    failure_ = std::move(error);
    monitor_->notify_all();
  }

  bool closing() const {
    const Monitor::Lock lock(*monitor_);
    return closing_;
  }
  bool failed() const {
    const Monitor::Lock lock(*monitor_);
    return failure_.has_value();
  }
  void pause(Duration length) {
    const Monitor::Lock lock(*monitor_);
    const Deadline until = env_.clock.now() + length;
    while (!closing_ && env_.clock.now() < until) monitor_->wait(until);
  }
  Deadline soon() const { return env_.clock.now() + kAskTimeout; }

  /// An ordinary session, after fencing a former one that may still hold the slot.
  Result<std::unique_ptr<Connection>> ask() {
    auto opened = Connection::open(env_, connect_);
    if (!opened) return opened;
    if (former_.pid != 0) {
      if (auto gone = fence(**opened, former_, soon()); !gone) return fail(gone.error());
      former_ = {};
    }
    return opened;
  }

  /// The session that streams; it also runs SQL, but only as simple queries.
  Status connect() {
    auto opened = open_replication(env_, connect_);
    if (!opened) return fail(opened.error());
    former_ = opened->connection->server().backend;
    // For the snapshot; the stream is watched by its messages.
    const Duration silence = std::chrono::milliseconds(options_.silence_timeout_ms);
    opened->connection->watch_silence(
        {.env = &env_, .options = &connect_, .salted_keys = nullptr, .longest = silence});
    status_interval_ = opened->status_interval;
    const Monitor::Lock lock(*monitor_);
    connection_ = std::move(opened->connection);
    return {};
  }
  void drop_connection() {
    std::unique_ptr<Connection> gone;
    const Monitor::Lock lock(*monitor_);
    gone = std::move(connection_);
    asking_.reset();
  }

  Status run_session() {
    auto asking = ask();
    if (!asking) return fail(asking.error());
    auto there = slots_.find(**asking);
    if (!there) return fail(there.error());
    if (auto same = checks_.check_slot(*there); !same) return same;
    if (auto same = checks_.check_publication(**asking, tables_); !same) return same;
    asking_ = std::move(*asking);
    if (!recorded_ && !had_slot_) {
      const Status none = checks_.check_record(*there, *asking_, tables_, queued_);
      if (!none) return none;
    }
    if (many_) {
      const auto added = add_new_tables();
      if (!added || !*added) return added ? Status() : fail(added.error());
    }
    if (auto connected = connect(); !connected) return connected;
    const auto joined = join_tables(*there);
    if (!joined || !*joined) return joined ? Status() : fail(joined.error());
    had_slot_ = true;
    return stream();
  }

  /// Every table gets its snapshot, unless it had it before. False if the source was closed.
  Result<bool> join_tables(const SourceSlots::There& there) {
    if (!there.slot) {
      const uint64_t last = std::max(queued_, reached_);
      if (had_slot_ || last >= kFirstLsn) return fail(checks_.slot_is_gone(last));
    } else {
      for (size_t i = 0; i < tables_.size(); ++i) {
        if (!many_ || checks_.record().has_table(tables_[i].table.oid)) joined_[i] = true;
      }
    }
    std::vector<SnapshotTable> news;
    for (size_t i = 0; i < tables_.size(); ++i) {
      if (joined_[i]) continue;
      const uint64_t reached = stream_.after(i);
      if (many_ && reached >= kFirstLsn) return fail(checks_.was_not_read(tables_[i], reached));
      news.push_back({i, &tables_[i]});
    }
    if (!there.slot && !options_.snapshot) {
      if (auto made = slots_.create(*connection_); !made) return fail(made.error());
    } else if (!there.slot || (options_.snapshot && !news.empty())) {
      const auto taken = take_snapshot(there, news);
      if (!taken || !*taken) return taken;
    }
    // Its copy exists; if this fails, the next start drops it.
    if (there.slot && there.interim) std::ignore = slots_.drop_interim(*connection_);
    if (checks_.slot_at() == 0) {
      const auto made = slots_.find(*asking_);
      if (!made) return fail(made.error());
      checks_.slot_moves(made->confirmed);
    }
    if (!recorded_ || !news.empty()) {
      if (auto kept = remember_tables(); !kept) return fail(kept.error());
    }
    joined_.assign(joined_.size(), true);
    return true;
  }

  Status remember_tables() {
    std::vector<PublicationState> published;
    published.reserve(tables_.size());
    for (const TableSetup& setup : tables_) published.push_back(setup.published);
    const auto& server = asking_->server().incarnation.system_identifier;
    const Status kept = checks_.record().begin(server, published, checks_.slot_at());
    recorded_ = recorded_ || kept.has_value();
    return kept;
  }

  /// Tables that match the patterns and are not read yet. False if the source was closed.
  Result<bool> add_new_tables() {
    std::vector<std::string> said;
    const auto names = new_tables_.look(*asking_, tables_, said);
    if (!names) return fail(names.error());
    for (const TableName& name : *names) {
      auto setup = read_new_table(options_, name, reports_unchanged_, *asking_, soon(), said);
      if (!setup) return fail(setup.error());
      uint64_t after = 0;
      {
        const Monitor::Lock lock(*monitor_);
        warnings_.insert(warnings_.end(), said.begin(), said.end());
        said.clear();
        tables_.push_back(std::move(*setup));
        queue_.announce(tables_.size() - 1, tables_.back().schema);
        joins_after_.reset();
        monitor_->notify_all();
        while (!closing_ && !joins_after_) monitor_->wait(kNoDeadline);
        if (!joins_after_) return false;
        after = *joins_after_;
      }
      add_to_stream(tables_.size() - 1, after);
    }
    return true;
  }

  // ---- the snapshot ----------------------------------------------------------------------------

  /// True when all of it is confirmed and the slot has its final name; false if the source was
  /// closed.
  Result<bool> take_snapshot(const SourceSlots::There& there,
                             const std::vector<SnapshotTable>& news) {
    const auto begun = connection_->query(sql_text(Sql::kSnapshotBegin), soon());
    if (!begun) return fail(begun.error());
    if (!there.slot && !there.interim) {
      if (auto made = slots_.create_interim(*connection_); !made) {
        return fail(made.error());
      }
    }
    const SnapshotLimits limits{.parallel = static_cast<size_t>(options_.snapshot_parallelism),
                                .batch_bytes = std::min(static_cast<size_t>(options_.batch_bytes),
                                                        buffer_bytes_ / kSnapshotBatchesInBuffer)};
    auto read = read_snapshot(env_, connect_, *connection_, news, limits, *this);
    if (!read || !*read) return read;
    const auto ended = connection_->query(sql_text(Sql::kCommit), soon());
    if (!ended) return fail(ended.error());
    {
      const Monitor::Lock lock(*monitor_);
      while (!closing_ && !queue_.all_confirmed()) monitor_->wait(kNoDeadline);
      if (!queue_.all_confirmed()) return false;
    }
    if (!there.slot) {
      if (auto kept = slots_.keep(*connection_); !kept) return fail(kept.error());
    }
    progress_ = true;
    return true;
  }

  bool push(size_t table, ChangeRows& rows) override {
    const Monitor::Lock lock(*monitor_);
    while (!closing_ && !queue_.has_room()) monitor_->wait(kNoDeadline);
    if (closing_) return false;
    const uint64_t position = queue_.queued(table) + 1;
    queue_.push(
        {.table = table, .rows = rows.take(position), .position = position, .snapshot = true}, 0);
    monitor_->notify_all();
    return true;
  }
  bool goes_on() const override { return !closing(); }

  // ---- the stream ------------------------------------------------------------------------------

  Status stream() {
    const auto started =
        start_replication(*connection_, options_.replication_slot, options_.publication,
                          std::max(queued_, checks_.record().begins_at()));
    if (!started) return started;
    stream_.begin_connection();
    status_sent_ = heard_ = env_.clock.now();
    for (;;) {
      if (auto heard = check_silence(); !heard) return heard;
      if (auto said = send_status(); !said) return said;
      if (closing()) return say_goodbye();
      if (env_.clock.now() >= checks_.checked() + kWatchPause) {
        if (auto same = watch(); !same) {
          if (same.error().code != Errc::kReplication) return same;
          give_up(std::move(same.error()));
          return confirm_rest();
        }
        if (again_) return say_goodbye();
      }
      if (!wait_for_room()) continue;
      const auto event = connection_->next_event(
          std::min<Deadline>(next_status(), checks_.checked() + kWatchPause));
      if (!event) {
        if (event.error().code == Errc::kTimeout) continue;
        return fail(event.error());
      }
      if (!*event) continue;
      auto taken = take((*event)->message);
      if (taken) continue;
      if (taken.error().code != Errc::kReplication) return taken;
      give_up(std::move(taken.error()));
      return confirm_rest();
    }
  }

  /// Looks at the publication and, for new tables, at the database.
  Status watch() {
    if (auto same = checks_.check_publication(*asking_, tables_); !same || !many_) return same;
    std::vector<std::string> said;
    const auto news = new_tables_.look(*asking_, tables_, said);
    if (!news) return fail(news.error());
    again_ = !news->empty();
    const Monitor::Lock lock(*monitor_);
    warnings_.insert(warnings_.end(), said.begin(), said.end());
    return {};
  }

  /// The server is asked to say something when half of the time is over.
  Status check_silence() {
    const Duration longest = std::chrono::milliseconds(options_.silence_timeout_ms);
    const Duration silent = env_.clock.now() - heard_;
    if (longest == Duration{} || silent < longest / 2) return {};
    if (silent >= longest) {
      return fail(Errc::kConnectionLost, "the server said nothing for " +
                                             std::to_string(options_.silence_timeout_ms) +
                                             " ms, though it was asked to (silence_timeout_ms)");
    }
    if (asked_ >= heard_) return {};
    asked_ = env_.clock.now();
    return pgsink::send_status(*connection_, checks_.received(), flushed_sent_, env_.clock, true);
  }

  /// Nothing more comes, but what was queued before is still taken and confirmed.
  Status confirm_rest() {
    for (;;) {
      if (auto said = send_status(); !said) return said;
      const Deadline until = next_status();
      const Monitor::Lock lock(*monitor_);
      if (closing_ || queue_.all_confirmed()) break;
      monitor_->wait(until);
    }
    return say_goodbye();
  }

  /// False if something else must be done first.
  bool wait_for_room() {
    const Deadline until = next_status();
    const Monitor::Lock lock(*monitor_);
    if (queue_.has_room()) return true;
    monitor_->wait(until);
    heard_ = env_.clock.now();  // It may have said something.
    return queue_.has_room();
  }

  Status take(const pgproto::BackendMessage& message) {
    const auto read = read_replication(message);
    if (!read) return fail(checks_.explain(read.error(), tables_));
    if (!*read) return {};
    progress_ = true;
    heard_ = env_.clock.now();
    if (const auto* alive = std::get_if<pgproto::PrimaryKeepalive>(&**read)) {
      checks_.streamed(alive->wal_end);
      stream_.take_keepalive(alive->wal_end);
      if (alive->reply_requested) status_due_ = true;
      return {};
    }
    const auto& log = std::get<pgproto::XLogData>(**read);
    checks_.streamed(std::max(log.start, log.wal_end));
    if (auto taken = stream_.take(log.data); !taken) return taken;
    const Monitor::Lock lock(*monitor_);
    for (auto& ready = stream_.ready(); !ready.empty(); ready.pop_front()) {
      queued_ = std::max(queued_, ready.front().batch.position);
      queue_.push(std::move(ready.front().batch), ready.front().before);
    }
    monitor_->notify_all();
    return {};
  }

  /// What the server may discard.
  uint64_t flushed() {
    const Monitor::Lock lock(*monitor_);
    return queue_.safe(stream_.seen());
  }
  Deadline next_status() {
    if (status_due_) return kAtOnce;
    const uint64_t safe = flushed();
    if (safe <= flushed_sent_) return status_sent_ + status_interval_;
    return status_sent_ + (checks_.record().writes(safe) ? kRecordPause : kStatusPause);
  }

  /// Sends the status to the server if it is due. So keepalives are answered in time also while no
  /// batches are taken.
  Status send_status() {
    if (env_.clock.now() < next_status()) return {};
    return say_status();
  }
  Status say_status() {
    uint64_t safe = flushed();
    // If that fails, the sink or the next attempt will say why.
    if (!checks_.record().keep(safe)) safe = flushed_sent_;
    status_due_ = false;
    status_sent_ = env_.clock.now();
    flushed_sent_ = safe;
    checks_.slot_moves(safe);
    return pgsink::send_status(*connection_, checks_.received(), safe, env_.clock);
  }
  Status say_goodbye() {
    if (auto said = say_status(); !said) return {};
    end_replication(*connection_, env_.clock);
    return {};
  }

  std::unique_ptr<OsEnv> own_env_;
  Env& env_;
  const SinkOptions options_;
  const ConnectOptions connect_;
  const bool many_;                          ///< Whether the option `tables` says which tables.
  const std::string stops_at_large_values_;  ///< One of warnings_; "": there is none.
  std::vector<std::string> warnings_;
  const SourceSlots slots_;
  const std::unique_ptr<Monitor> monitor_;
  const size_t buffer_bytes_;

  // Guarded by monitor_; only the task changes connection_ and tables_, and reads them freely.
  std::vector<TableSetup> tables_;
  std::shared_ptr<const Schema> schema_;  ///< Of the first table; constant once it is started.
  bool reports_unchanged_ = false;        ///< As schema_.
  BatchQueue queue_;
  std::optional<uint64_t> joins_after_;  ///< The consumer's answer for the table that is added.
  std::optional<Error> failure_;
  bool closing_ = false;
  std::unique_ptr<Connection> connection_;

  // Used by the task only.
  SourceChecks checks_;
  NewTables new_tables_;
  TablesStream stream_;
  std::vector<bool> joined_;  ///< By table: it has its snapshot.
  uint64_t queued_ = 0;       ///< Position of the last transaction that was queued.
  uint64_t reached_ = 0;      ///< The furthest position that the consumer had at the start.
  bool again_ = false;        ///< The session ended because there is a new table.
  BackendIdentity former_;    ///< The session that streamed last and may still hold the slot.
  bool had_slot_ = false, recorded_ = false;
  bool progress_ = false;
  bool status_due_ = false;
  Duration status_interval_{};
  TimePoint status_sent_{};
  TimePoint heard_{}, asked_{};  ///< The server's last message; when it was requested.
  uint64_t flushed_sent_ = 0;
  std::unique_ptr<Connection> asking_;  ///< Asks for the publication while the other one streams.

  std::unique_ptr<Task> task_;
};

Result<std::unique_ptr<Source>> open_source(SinkOptions options, Env* env) {
  std::unique_ptr<OsEnv> own_env;
  if (env == nullptr) {
    own_env = std::make_unique<OsEnv>();
    env = &own_env->env();
  }
  auto found = find_source(options, *env, true);
  if (!found) return fail_at(options, found.error());
  return std::make_unique<SourceImpl>(std::move(own_env), *env, std::move(options),
                                      std::move(*found));
}

}  // namespace

Result<std::unique_ptr<Source>> Source::open(SinkOptions options, Env* env) {
  try {
    return open_source(std::move(options), env);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
