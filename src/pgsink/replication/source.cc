// Source: a task reads the snapshot and the stream into a queue of bounded size, tells the server
// what is confirmed, and reconnects when the connection is lost.

#include "pgsink/source.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <new>
#include <tuple>
#include <utility>

#include "pgsink/client/identity.h"
#include "pgsink/options/retry.h"
#include "pgsink/options/server.h"
#include "pgsink/replication/change_stream.h"
#include "pgsink/replication/replication_session.h"
#include "pgsink/replication/source_record.h"
#include "pgsink/replication/source_setup.h"
#include "pgsink/replication/source_slots.h"
#include "pgsink/replication/source_watch.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// Positions below this are numbers of batches of the snapshot: no log begins so early.
constexpr uint64_t kFirstLsn = uint64_t{1} << 24;
constexpr size_t kSnapshotBatchRows = 10'000;
/// The parts of buffer_bytes that a batch of the snapshot and a transaction may hold.
constexpr size_t kSnapshotBatchesInBuffer = 8;
constexpr size_t kTransactionsInBuffer = 2;
/// The publication is checked this often while the source streams.
constexpr Duration kWatchPause = std::chrono::seconds(1);
/// Confirmations are sent to the server at most this often, and if they are remembered in the
/// target first, less often.
constexpr Duration kStatusPause = std::chrono::milliseconds(100);
constexpr Duration kRecordPause = std::chrono::seconds(1);

class SourceImpl final : public Source {
 public:
  SourceImpl(std::unique_ptr<OsEnv> own_env, Env& env, SinkOptions options, SourceSetup setup)
      : own_env_(std::move(own_env)),
        env_(env),
        options_(std::move(options)),
        setup_(std::move(setup)),
        warnings_(setup_.warnings),
        slots_(options_.replication_slot, env_.clock),
        record_(options_),
        schema_(make_schema(setup_.table)),
        monitor_(env_.tasks.monitor()),
        buffer_bytes_(static_cast<size_t>(options_.buffer_bytes)) {}
  ~SourceImpl() override { close(); }

  const std::shared_ptr<const Schema>& schema() const override { return schema_; }
  std::string_view replication_slot() const override { return options_.replication_slot; }
  std::vector<std::string> warnings() const override { return warnings_; }

  Status start(uint64_t after, std::unique_ptr<SourceMemory> memory) override {
    if (task_) {
      return fail(Errc::kUsage, "Source::start(): the source is already started; call it once");
    }
    if (auto loaded = record_.load(std::move(memory), warnings_); !loaded) {
      return fail_at(options_, loaded.error());
    }
    queued_ = confirmed_ = after;
    stream_.emplace(setup_.table, schema_, after, buffer_bytes_ / kTransactionsInBuffer);
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
    if (queue_.empty()) {
      if (failure_) return fail(*failure_);
      return std::nullopt;
    }
    SourceBatch batch = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= batch.rows.memory_bytes();
    monitor_->notify_all();
    return batch;
  }

  void confirm(uint64_t position) override {
    const Monitor::Lock lock(*monitor_);
    if (position <= confirmed_) return;
    confirmed_ = position;
    monitor_->notify_all();
    if (connection_ != nullptr) connection_->interrupt();
  }
  uint64_t confirmed_position() const override {
    const Monitor::Lock lock(*monitor_);
    return confirmed_;
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
  static std::shared_ptr<const Schema> make_schema(const SourceTable& table) {
    std::vector<std::string> names;
    names.reserve(table.columns.size() + 3);
    for (const auto& column : table.columns) names.push_back(column.name);
    for (const auto name : {kOperationColumn, kLsnColumn, kCommitTimeColumn}) {
      names.emplace_back(name);
    }
    return text_schema(names);
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
    auto opened = Connection::open(env_, setup_.connect);
    if (!opened) return opened;
    if (former_.pid != 0) {
      if (auto gone = fence(**opened, former_, soon()); !gone) return fail(gone.error());
      former_ = {};
    }
    return opened;
  }

  /// The session that streams; it also runs SQL, but only as simple queries.
  Status connect() {
    auto opened = open_replication(env_, setup_.connect);
    if (!opened) return fail(opened.error());
    former_ = opened->connection->server().backend;
    // For the snapshot; the stream is watched by its messages.
    const Duration silence = std::chrono::milliseconds(options_.silence_timeout_ms);
    opened->connection->watch_silence(
        {.env = &env_, .options = &setup_.connect, .salted_keys = nullptr, .longest = silence});
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
    if (auto same = check_slot(*there); !same) return same;
    if (auto same = check_publication(**asking); !same) return same;
    asking_ = std::move(*asking);
    if (auto none = check_record(*there); !none) return none;
    if (auto connected = connect(); !connected) return connected;
    if (!there->slot) {
      if (auto may = may_begin(); !may) return may;
      if (options_.snapshot) {
        const auto taken = take_snapshot(there->interim);
        if (!taken || !*taken) return taken ? Status() : fail(taken.error());
      } else if (auto made = slots_.create(*connection_); !made) {
        return made;
      }
    } else if (there->interim) {
      std::ignore =
          // Its copy exists; if this fails, the next start drops it.
          slots_.drop_interim(*connection_);
    }
    had_slot_ = true;
    if (slot_at_ == 0) {
      const auto made = slots_.find(*asking_);
      if (!made) return fail(made.error());
      slot_at_ = made->confirmed;
    }
    if (!recorded_) {
      const auto& server = asking_->server().incarnation.system_identifier;
      if (auto kept = record_.begin(server, setup_.published, slot_at_); !kept) return kept;
      recorded_ = true;
    }
    return stream();
  }

  /// Whether nothing was lost since the last run.
  Status check_record(const SourceSlots::There& there) {
    if (recorded_ || had_slot_) return {};
    return record_.check(there, asking_->server().incarnation.system_identifier, setup_.published,
                         queued_ >= kFirstLsn ? queued_ : 0);
  }

  /// Once this source has read from the slot, only it may move the slot.
  Status check_slot(const SourceSlots::There& there) {
    if (!there.slot) return {};
    if (streamed_ && there.confirmed > slot_at_) {
      return fail(Errc::kReplication,
                  "replication_slot \"" + options_.replication_slot + "\" is at " +
                      pgproto::format_lsn(there.confirmed) + ", and this source left it at " +
                      pgproto::format_lsn(slot_at_) +
                      ": somebody else recreated, advanced or read it, and the changes "
                      "between these are lost." +
                      how_to_go_on(record_.is_kept(), there.confirmed));
    }
    slot_at_ = std::max(slot_at_, there.confirmed);
    return {};
  }

  /// Whether the publication still shows what it showed when the source was opened.
  Status check_publication(Connection& asking) {
    const auto now = read_publication(asking, options_.publication, setup_.table.oid, soon());
    if (!now) return fail(now.error());
    checked_ = env_.clock.now();
    const std::string change = difference(setup_.published, *now, options_.publication);
    if (change.empty()) {
      checked_lsn_ = std::max({checked_lsn_, received_, slot_at_});
      return {};
    }
    return fail(Errc::kReplication,
                "table " + setup_.table.full_name() + ": " + change +
                    lost_after(checked_lsn_, record_.is_kept(), std::max(received_, slot_at_)));
  }

  /// If the slot existed and is gone, the changes that it retained are lost.
  Status may_begin() {
    if (!had_slot_ && queued_ < kFirstLsn) return {};
    return fail(Errc::kReplication,
                "replication_slot \"" + options_.replication_slot +
                    "\" is gone, and with it the changes after " + pgproto::format_lsn(queued_) +
                    ", the position that the target has reached: empty the target and give the "
                    "sink another sink_id, then open both again");
  }

  // ---- the snapshot ----------------------------------------------------------------------------

  /// True when all of it is confirmed and the slot has its final name; false if the source was
  /// closed.
  Result<bool> take_snapshot(bool interim) {
    const auto begun = connection_->query(sql_text(Sql::kSnapshotBegin), soon());
    if (!begun) return fail(begun.error());
    if (!interim) {
      if (auto made = slots_.create_interim(*connection_); !made) {
        return fail(made.error());
      }
    }
    auto read = read_snapshot();
    if (!read || !*read) return read;
    const auto ended = connection_->query(sql_text(Sql::kCommit), soon());
    if (!ended) return fail(ended.error());
    {
      const Monitor::Lock lock(*monitor_);
      while (!closing_ && confirmed_ < queued_) monitor_->wait(kNoDeadline);
      if (confirmed_ < queued_) return false;
    }
    if (auto kept = slots_.keep(*connection_); !kept) return fail(kept.error());
    progress_ = true;
    return true;
  }

  Result<bool> read_snapshot() {
    Quoted quoted;
    std::string columns;
    for (const auto& column : setup_.table.columns) {
      columns += (columns.empty() ? "" : ", ") + quoted.identifier(column.name);
    }
    // Rows of tables that inherit from it are published under their own names.
    const std::string table = std::string(setup_.partitioned ? "" : "ONLY ") +
                              quoted.identifier(setup_.table.schema) + "." +
                              quoted.identifier(setup_.table.name);
    if (!quoted.status()) return fail(quoted.status().error());
    const std::string filter = setup_.filter.empty() ? "" : " WHERE " + setup_.filter;
    const auto sent =
        connection_->session().query(sql_text(Sql::kSnapshotRows, {columns, table, filter}));
    if (!sent) return fail(sent.error());
    const size_t bytes_max = std::min(static_cast<size_t>(options_.batch_bytes),
                                      buffer_bytes_ / kSnapshotBatchesInBuffer);
    ChangeRows rows(schema_);
    std::optional<Error> error;
    for (;;) {
      const auto event = connection_->next_event(kNoDeadline);
      if (!event) return fail(event.error());
      if (closing()) return false;
      if (!*event) continue;
      const pgproto::BackendMessage& message = (*event)->message;
      if (const auto* row = std::get_if<pgproto::DataRow>(&message)) {
        for (const auto& value : row->values) {
          rows.add(value ? std::optional(pgproto::as_text(*value)) : std::nullopt);
        }
        rows.add("I");
        rows.add(std::nullopt);
        rows.add(std::nullopt);
        if (rows.rows() < kSnapshotBatchRows && rows.bytes() < bytes_max) continue;
        if (!push_snapshot(rows)) return false;
      } else if (const auto* refused = std::get_if<pgproto::ErrorResponse>(&message)) {
        error = refused->to_error();
      } else if (std::holds_alternative<pgproto::ReadyForQuery>(message)) {
        if (error) return fail(*std::move(error));
        return rows.rows() == 0 || push_snapshot(rows);
      }
    }
  }

  bool push_snapshot(ChangeRows& rows) {
    const uint64_t position = queued_ + 1;
    SourceBatch batch{.rows = rows.take(position), .position = position, .snapshot = true};
    const Monitor::Lock lock(*monitor_);
    while (!closing_ && !has_room()) monitor_->wait(kNoDeadline);
    if (closing_) return false;
    enqueue(std::move(batch));
    return true;
  }

  // ---- the queue; with the monitor locked ------------------------------------------------------

  bool has_room() const { return queue_.empty() || queued_bytes_ < buffer_bytes_; }
  void enqueue(SourceBatch batch) {
    queued_ = std::max(queued_, batch.position);
    queued_bytes_ += batch.rows.memory_bytes();
    queue_.push_back(std::move(batch));
    monitor_->notify_all();
  }

  // ---- the stream ------------------------------------------------------------------------------

  Status stream() {
    const auto started =
        start_replication(*connection_, options_.replication_slot, options_.publication,
                          std::max(queued_ >= kFirstLsn ? queued_ : 0, record_.begins_at()));
    if (!started) return started;
    stream_->begin_connection();
    status_sent_ = heard_ = env_.clock.now();
    for (;;) {
      if (auto heard = check_silence(); !heard) return heard;
      if (auto said = send_status(); !said) return said;
      if (closing()) return say_goodbye();
      if (env_.clock.now() >= checked_ + kWatchPause) {
        if (auto same = check_publication(*asking_); !same) {
          if (same.error().code != Errc::kReplication) return same;
          give_up(std::move(same.error()));
          return confirm_rest();
        }
      }
      if (!wait_for_room()) continue;
      const auto event =
          connection_->next_event(std::min<Deadline>(next_status(), checked_ + kWatchPause));
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
    return pgsink::send_status(*connection_, received_, flushed_sent_, env_.clock, true);
  }

  /// Nothing more comes, but what was queued before is still taken and confirmed.
  Status confirm_rest() {
    for (;;) {
      if (auto said = send_status(); !said) return said;
      const Deadline until = next_status();
      const Monitor::Lock lock(*monitor_);
      if (closing_ || confirmed_ >= queued_) break;
      monitor_->wait(until);
    }
    return say_goodbye();
  }

  /// False if something else must be done first.
  bool wait_for_room() {
    const Deadline until = next_status();
    const Monitor::Lock lock(*monitor_);
    if (has_room()) return true;
    monitor_->wait(until);
    heard_ = env_.clock.now();  // It may have said something.
    return has_room();
  }

  Status take(const pgproto::BackendMessage& message) {
    const auto read = read_replication(message);
    if (!read) return explain(read.error());
    if (!*read) return {};
    progress_ = streamed_ = true;
    heard_ = env_.clock.now();
    if (const auto* alive = std::get_if<pgproto::PrimaryKeepalive>(&**read)) {
      received_ = std::max(received_, alive->wal_end);
      stream_->take_keepalive(alive->wal_end);
      if (alive->reply_requested) status_due_ = true;
      return {};
    }
    const auto& log = std::get<pgproto::XLogData>(**read);
    received_ = std::max({received_, log.start, log.wal_end});
    if (auto taken = stream_->take(log.data); !taken) return taken;
    const Monitor::Lock lock(*monitor_);
    for (auto& ready = stream_->ready(); !ready.empty(); ready.pop_front()) {
      enqueue(std::move(ready.front()));
    }
    return {};
  }

  /// Before 18, the server ends the stream where it decodes changes and there is no publication.
  std::unexpected<Error> explain(const Error& error) const {
    constexpr std::string_view kNoSuchObject = "42704";
    if (error.sqlstate != kNoSuchObject) return fail(error);
    return fail(Errc::kReplication,
                "table " + setup_.table.full_name() + ": " + error.message +
                    lost_after(checked_lsn_, record_.is_kept(), std::max(received_, slot_at_)));
  }

  /// What the server may discard: what is confirmed; and if nothing waits to be confirmed, what was
  /// seen.
  uint64_t flushed() const {
    const Monitor::Lock lock(*monitor_);
    if (confirmed_ < queued_) return confirmed_ >= kFirstLsn ? confirmed_ : 0;
    return std::max(confirmed_ >= kFirstLsn ? confirmed_ : 0, stream_->seen());
  }
  Deadline next_status() const {
    if (status_due_) return kAtOnce;
    const uint64_t safe = flushed();
    if (safe <= flushed_sent_) return status_sent_ + status_interval_;
    return status_sent_ + (record_.writes(safe) ? kRecordPause : kStatusPause);
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
    if (!record_.keep(safe)) safe = flushed_sent_;
    status_due_ = false;
    status_sent_ = env_.clock.now();
    flushed_sent_ = safe;
    slot_at_ = std::max(slot_at_, safe);
    return pgsink::send_status(*connection_, received_, safe, env_.clock);
  }
  Status say_goodbye() {
    if (auto said = say_status(); !said) return {};
    end_replication(*connection_, env_.clock);
    return {};
  }

  std::unique_ptr<OsEnv> own_env_;
  Env& env_;
  const SinkOptions options_;
  const SourceSetup setup_;
  std::vector<std::string> warnings_;
  const SourceSlots slots_;
  SourceRecord record_;
  const std::shared_ptr<const Schema> schema_;
  const std::unique_ptr<Monitor> monitor_;
  const size_t buffer_bytes_;

  // Guarded by monitor_; only the task changes connection_ and queued_, and reads them freely.
  std::deque<SourceBatch> queue_;
  size_t queued_bytes_ = 0;
  uint64_t queued_ = 0;  ///< Position of the last batch ever queued.
  uint64_t confirmed_ = 0;
  std::optional<Error> failure_;
  bool closing_ = false;
  std::unique_ptr<Connection> connection_;

  // Used by the task only.
  std::optional<ChangeStream> stream_;
  BackendIdentity former_;  ///< The session that streamed last and may still hold the slot.
  bool had_slot_ = false, recorded_ = false;
  bool progress_ = false;
  bool status_due_ = false;
  Duration status_interval_{};
  TimePoint status_sent_{};
  TimePoint heard_{}, asked_{};  ///< The server's last message; when it was requested.
  uint64_t received_ = 0, flushed_sent_ = 0;
  bool streamed_ = false;  ///< The server has sent something from the slot.
  uint64_t slot_at_ = 0;   ///< The furthest place of the slot that this source knows of; 0: none.
  std::unique_ptr<Connection> asking_;  ///< Asks for the publication while the other one streams.
  TimePoint checked_{};                 ///< When the publication was last read.
  uint64_t checked_lsn_ = 0;            ///< Up to here it was as it should be.

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

Status Source::test(const SinkOptions& options, Env* env) {
  try {
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    const auto found = find_source(options, *env, false);
    return found ? Status() : fail_at(options, found.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
