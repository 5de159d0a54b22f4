#include "pgsink/lane/slot_confirmer.h"

#include <algorithm>
#include <new>
#include <utility>
#include <variant>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

SlotConfirmer::SlotConfirmer(Setup setup)
    : env_(setup.env), setup_(std::move(setup)), monitor_(env_.tasks.monitor()) {}

Status SlotConfirmer::start() {
  if (auto connected = connect(); !connected) return connected;
  auto task = env_.tasks.spawn("pgsink slot", [this] { run(); });
  if (!task) return fail(task.error());
  task_ = std::move(*task);
  return {};
}

void SlotConfirmer::durable(size_t lane, uint64_t number) {
  const Monitor::Lock lock(*monitor_);
  reports_.push_back({lane, number});
  monitor_->notify_all();
  if (stream_ != nullptr) stream_->interrupt();
}

void SlotConfirmer::close() {
  {
    const Monitor::Lock lock(*monitor_);
    closing_ = true;
    monitor_->notify_all();
    if (stream_ != nullptr) stream_->interrupt();
  }
  if (task_) task_->join();
  task_.reset();
}

bool SlotConfirmer::closing() const {
  const Monitor::Lock lock(*monitor_);
  return closing_;
}

// ---- the task ----------------------------------------------------------------------------------

void SlotConfirmer::run() {
  Backoff backoff(setup_.retry, env_.random.next_u64());
  RetryLimit limit(setup_.retry);
  uint32_t failures = 0;
  for (;;) {
    progress_ = false;
    Status ended;
    try {
      if (stream_ == nullptr) ended = connect();
      if (ended) ended = read();
    } catch (const std::bad_alloc&) {
      ended = fail(Errc::kOutOfMemory, "out of memory");
    }
    drop_connection();
    if (ended || closing()) return;
    if (progress_) {
      failures = 0;
      limit.succeeded();
    }
    const Status counted = limit.failed(++failures, ended.error(), env_.clock.now());
    if (!counted ||
        !(setup_.retry.rule.allows_reconnect(ended.error()) || is_transient(ended.error()))) {
      Error error = counted ? ended.error() : counted.error();
      error.message =
          "connection \"" + setup_.name + "\": confirm_slot: " + error.message +
          "; rows that were committed since the slot was last read are in the table, and "
          "are not reported as durable";
      return setup_.inbox.stop(std::move(error));
    }
    const Deadline until = env_.clock.now() + backoff.delay(failures);
    const Monitor::Lock lock(*monitor_);
    while (!closing_ && env_.clock.now() < until) monitor_->wait(until);
  }
}

Status SlotConfirmer::connect() {
  auto asking = Connection::open(env_, setup_.connect);
  if (!asking) return fail(asking.error());
  if (former_.pid != 0) {
    if (auto gone = fence(**asking, former_, soon()); !gone) return fail(gone.error());
    former_ = {};
  }
  auto opened = open_replication(env_, setup_.connect);
  if (!opened) return fail(opened.error());
  former_ = opened->connection->server().backend;
  const auto started = start_replication(*opened->connection, setup_.slot, setup_.publication, 0);
  if (!started) return started;
  asking_ = std::move(*asking);
  status_ = {.due = kAtOnce, .interval = opened->status_interval};
  in_transaction_ = false;
  seen_ = 0;  // It may be another server, with another log.
  const Monitor::Lock lock(*monitor_);
  reports_.insert(reports_.begin(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  stream_ = std::move(opened->connection);
  return {};
}

void SlotConfirmer::drop_connection() {
  asking_.reset();
  std::unique_ptr<Connection> gone;
  const Monitor::Lock lock(*monitor_);
  gone = std::move(stream_);
}

Status SlotConfirmer::read() {
  for (;;) {
    if (env_.clock.now() >= status_.due) {
      if (auto said = say_status(); !said) return said;
    }
    if (closing()) {
      if (say_status()) end_replication(*stream_, env_.clock);
      return {};
    }
    if (waiting_.empty()) {
      if (auto asked = ask_target(); !asked) return asked;
    }
    if (!waiting_.empty() && seen_ >= target_) {
      if (auto said = say_status(); !said) return said;
      pass_on();
      continue;
    }
    const auto event = stream_->next_event(status_.due);
    if (!event && event.error().code != Errc::kTimeout) return fail(event.error());
    if (!event || !*event) continue;
    if (auto taken = take((*event)->message); !taken) return taken;
  }
}

/// How far the slot must come before the reports that are here now are passed on.
Status SlotConfirmer::ask_target() {
  {
    const Monitor::Lock lock(*monitor_);
    waiting_.swap(reports_);
  }
  if (waiting_.empty()) return {};
  const auto flushed = asking_->query(sql_text(Sql::kFlushedLsn), soon());
  if (!flushed) return fail(flushed.error());
  const auto lsn = pgproto::parse_lsn(flushed->scalar());
  if (!lsn) return fail(Errc::kProtocol, "the server gave no position of its log");
  target_ = *lsn;
  return {};
}

void SlotConfirmer::pass_on() {
  for (const Report& report : waiting_) setup_.inbox.durable(report.lane, report.number);
  waiting_.clear();
}

Status SlotConfirmer::take(const pgproto::BackendMessage& message) {
  const auto read = read_replication(message);
  if (!read) return fail(read.error());
  if (!*read) return {};
  progress_ = true;
  if (const auto* alive = std::get_if<pgproto::PrimaryKeepalive>(&**read)) {
    if (alive->reply_requested) status_.due = kAtOnce;
    if (!in_transaction_) seen_ = std::max(seen_, alive->wal_end);
    return {};
  }
  const pgproto::Bytes change = std::get<pgproto::XLogData>(**read).data;
  if (change.empty()) return fail(Errc::kProtocol, "the replication stream holds an empty message");
  // Rows are not looked at, so only the frame of a transaction is worth decoding.
  switch (static_cast<char>(change.front())) {
    case 'B':
      in_transaction_ = true;
      return {};
    case 'C': {
      const auto commit = pgproto::pgoutput::decode(change);
      if (!commit) return fail(commit.error());
      in_transaction_ = false;
      seen_ = std::max(seen_, std::get<pgproto::pgoutput::Commit>(*commit).end_lsn);
      return {};
    }
    default:
      return {};
  }
}

Status SlotConfirmer::say_status() {
  status_.due = env_.clock.now() + status_.interval;
  return send_status(*stream_, seen_, seen_, env_.clock);
}

}  // namespace pgsink
