#include "pgsink/lane/inbox.h"

#include <algorithm>
#include <new>
#include <utility>

namespace pgsink {

using pgproto::make_error;

namespace {

/// The position up to which everything is durable at open.
HostPosition first_position(const Inbox::Limits& limits) {
  if (limits.epochs) return limits.epochs->position;
  return limits.committed.empty() ? 0 : std::ranges::min(limits.committed);
}

/// Up to which batch every lane has made all of its rows durable, or prepared them.
uint64_t lanes_through(std::span<const LaneQueue> queues, uint64_t accepted) {
  uint64_t number = accepted;
  for (const LaneQueue& queue : queues) {
    if (queue.first_pending() > 0) number = std::min(number, queue.first_pending() - 1);
  }
  return number;
}

/// Wakes a lane that sleeps. REQUIRES: its monitor is held.
void wake(LaneQueue& queue, Monitor& monitor) {
  if (!queue.sleeps()) return;
  queue.set_sleeping(false);
  monitor.notify_all();
  queue.call_waker();
}

}  // namespace

Inbox::Inbox(Env& env, Limits limits, Router router)
    : env_(env),
      limits_(std::move(limits)),
      lanes_(env),
      routing_(env.tasks.monitor()),
      router_(std::move(router), limits_.committed, limits_.streams),
      monitor_(env.tasks.monitor()),
      ledger_(first_position(limits_)),
      epochs_(limits_.epochs),
      queues_(router_.lanes()) {}

Result<bool> Inbox::push(RecordBatch& batch, bool may_wait) {
  if (!may_wait) {
    // A waiting producer holds routing_.
    const Monitor::Lock lock(*monitor_);
    if (memory_.waiting > 0) return false;
  }
  const Monitor::Lock routing(*routing_);
  if (auto fits = router_.check(batch.position); !fits) return fail(fits.error());
  if (auto apart = wait_apart(batch, may_wait); !apart || !*apart) return apart;
  if (auto room = wait_for_memory(batch, may_wait); !room || !*room) return room;
  const std::shared_ptr<Accepted> accepted = make_accepted(batch);  // Goes after the lock.
  const Monitor::Lock lock(*monitor_);
  if (failure_) return fail(*failure_);
  if (stage_ != Stage::kOpen) return fail(Errc::kUsage, "write(): the sink is closed");
  if (auto taken = accept(accepted); !taken) return fail(taken.error());
  return true;
}

/// Waits until everything is durable, if the batch has rows that move from one lane's keys to
/// another's, or the batch before had. False if only the end of an epoch makes it so.
Result<bool> Inbox::wait_apart(const RecordBatch& batch, bool may_wait) {
  const bool moves = router_.moves(batch);
  if (!moves && !apart_) return true;
  const Monitor::Lock lock(*monitor_);
  const bool waits = ledger_.durable() < ledger_.accepted();
  if (waits && epochs_.enabled()) return false;
  if (waits && !may_wait) {
    flush_through_ = ledger_.accepted();
    wake_all();
    return false;
  }
  if (auto durable = wait_durable(ledger_.accepted()); !durable) return fail(durable.error());
  apart_ = moves;
  return true;
}

/// Waits until there is room for so much. False if only the end of an epoch makes room.
Result<bool> Inbox::wait_for_memory(const RecordBatch& batch, bool may_wait) {
  const size_t bytes = batch.memory_bytes();
  const Monitor::Lock lock(*monitor_);
  const auto goes_on = [&] { return !failure_ && stage_ == Stage::kOpen; };
  if (goes_on() && epochs_.is_full_for(batch)) return false;
  while (goes_on() && memory_.held_bytes > 0 && memory_.held_bytes + bytes > limits_.buffer_bytes) {
    if (epochs_.one_transaction()) return false;
    if (!may_wait) {
      memory_.refused = true;
      wake_all();
      return false;
    }
    ++memory_.waiting;
    wake_all();
    monitor_->wait(kNoDeadline);
    --memory_.waiting;
  }
  if (failure_) return fail(*failure_);
  if (stage_ != Stage::kOpen) return fail(Errc::kUsage, "write(): the sink is closed");
  return true;
}

std::shared_ptr<Accepted> Inbox::make_accepted(RecordBatch& batch) {
  auto made = std::make_unique<Accepted>();
  made->shares = router_.route(batch);
  made->batch = std::move(batch);
  const auto give_back = [this](const Accepted* gone) {
    const size_t bytes = gone->held_bytes;
    delete gone;
    if (bytes == 0) return;
    const Monitor::Lock lock(*monitor_);
    memory_.held_bytes -= bytes;
    if (memory_.waiting > 0) monitor_->notify_all();
  };
  return {made.release(), give_back};
}

Status Inbox::accept(const std::shared_ptr<Accepted>& accepted) {
  if (limits_.streams != nullptr) {
    auto taken = limits_.streams->accept(accepted->batch, ledger_.accepted() + 1);
    if (!taken) return fail(taken.error());
    accepted->claim = std::move(taken->claim);
    accepted->stream_from = taken->from;
  }
  accepted->first_row = ledger_.accepted_rows() + 1;
  accepted->accepted_at = env_.clock.now();
  ledger_.accept(accepted->batch);
  accepted->number = ledger_.accepted();
  epochs_.count(accepted->batch);
  accepted->held_bytes = accepted->batch.memory_bytes();
  if (memory_.held_bytes == 0) memory_.held_since_wall_us = env_.clock.wall_us();
  memory_.held_bytes += accepted->held_bytes;
  memory_.refused = false;
  try {
    queue_pieces(accepted);
  } catch (const std::bad_alloc&) {
    // It counts as accepted, and a part of it is missing.
    fail_all(make_error(Errc::kOutOfMemory, "out of memory"));
    return fail(*failure_);
  }
  advance();
  return {};
}

void Inbox::queue_pieces(const std::shared_ptr<const Accepted>& source) {
  for (size_t i = 0; i < source->shares.size(); ++i) {
    const Share& share = source->shares[i];
    if (router_.is_committed(share.lane, *source)) continue;
    LaneQueue& queue = queues_[share.lane];
    // A lane may have several shares in a row; only the last ends the batch for it.
    const bool last =
        std::none_of(source->shares.begin() + static_cast<ptrdiff_t>(i) + 1, source->shares.end(),
                     [&](const Share& later) { return later.lane == share.lane; });
    const bool first = queue.empty();
    queue.add({.source = source,
               .rows = {.begin = share.begin,
                        .count = share.count,
                        .indexes = share.indexes.empty() ? nullptr : share.indexes.data()},
               .last = last});
    if (first || queue.holds(limits_.batch_rows, limits_.batch_bytes)) wake(queue, *monitor_);
  }
}

Status Inbox::flush() {
  const Monitor::Lock lock(*monitor_);
  return wait_durable(ledger_.accepted());
}

Status Inbox::flush_through(uint64_t batch) {
  const Monitor::Lock lock(*monitor_);
  return wait_durable(batch);
}

Status Inbox::close() {
  Status durable;
  {
    const Monitor::Lock lock(*monitor_);
    stage_ = std::max(stage_, Stage::kClosing);
    monitor_->notify_all();
    durable = wait_durable(ledger_.accepted());
  }
  lanes_.wait_none();
  return durable;
}

Status Inbox::wait_durable(uint64_t number) {
  flush_through_ = std::max(flush_through_, number);
  wake_all();
  while (!failure_ && ledger_.durable() < number) {
    awaited_ = std::min(awaited_, number);
    monitor_->wait(kNoDeadline);
  }
  if (failure_) return fail(*failure_);
  return {};
}

void Inbox::abort() {
  const Monitor::Lock lock(*monitor_);
  stage_ = Stage::kAborted;
  monitor_->notify_all();
  for (const LaneQueue& queue : queues_) queue.call_waker();
}

void Inbox::interrupt(Duration patience) {
  lanes_.limit_waits(env_.clock.now() + patience);
  stop(make_error(Errc::kInterrupted, "interrupted"));
  abort();
}

bool Inbox::rows_due(const LaneQueue& queue, TimePoint now) const {
  if (queue.empty()) return false;
  return queue.holds(limits_.batch_rows, limits_.batch_bytes) ||
         queue.first_batch() <= flush_through_ || stage_ != Stage::kOpen || failure_ ||
         memory_.is_wanted() || now - queue.oldest() >= limits_.batch_timeout;
}

Inbox::Taken Inbox::take(size_t lane, size_t rows_max, size_t bytes_max,
                         std::optional<TimePoint> transaction_open_since) {
  Taken taken;
  const Monitor::Lock lock(*monitor_);
  LaneQueue& queue = queues_[lane];
  const TimePoint now = env_.clock.now();
  if (!transaction_open_since) queue.begin_transaction();
  if (!queue.empty()) taken.oldest = queue.oldest();
  if (rows_due(queue, now)) {
    taken.pieces = queue.take({.rows_max = rows_max,
                               .bytes_max = bytes_max,
                               .through_batch = epochs_.epoch_end(queue.taken()),
                               .whole_batches = limits_.whole_batches});
  }
  // If another lane failed, this one writes what it has and ends. An epoch is of no use in part.
  const bool closing = stage_ != Stage::kOpen || failure_.has_value();
  taken.closing = closing && queue.empty();
  taken.aborted = stage_ == Stage::kAborted || (epochs_.enabled() && failure_);
  taken.memory_wanted = memory_.is_wanted();

  if (transaction_open_since || !taken.pieces.empty()) {
    if (epochs_.enabled()) {
      // Its rows are not visible before the epoch's end: age is not a reason to end it.
      const uint64_t end = epochs_.epoch_end(queue.taken());
      taken.end_transaction =
          end != InboxEpochs::kUnsealed && (queue.empty() || queue.first_batch() > end);
    } else {
      const Deadline due = limits_.ends_by_age ? transaction_open_since.value_or(taken.oldest) +
                                                     limits_.batch_timeout
                                               : kNoDeadline;
      const bool flushed = flush_through_ > queue.durable() &&
                           (queue.empty() || queue.first_batch() > flush_through_);
      const bool ending = closing && queue.empty();
      taken.end_transaction = flushed || now >= due || ending;
      taken.trigger = ending    ? BatchTrigger::kEnd
                      : flushed ? BatchTrigger::kFlush
                                : BatchTrigger::kTime;
      taken.wake_at = due;
    }
  }
  if (!queue.empty()) {
    const Deadline due = rows_due(queue, now) ? now : queue.oldest() + limits_.batch_timeout;
    taken.wake_at = std::min(taken.wake_at, due);
  }
  queue.set_sleeping(taken.pieces.empty() && !taken.end_transaction);
  return taken;
}

void Inbox::durable(size_t lane, uint64_t number) {
  const Monitor::Lock lock(*monitor_);
  queues_[lane].settle(number);
  advance();
}

void Inbox::advance() {
  uint64_t number = lanes_through(queues_, ledger_.accepted());
  if (epochs_.enabled()) {
    number = epochs_.committed_through();
    monitor_->notify_all();  // wait_prepared()
  }
  // To wake a flush for each flight would cost as much as the flight's own system calls.
  const bool more = ledger_.settle(number);
  if (more && limits_.streams != nullptr) limits_.streams->settle(number);
  if (!more || number < awaited_) return;
  awaited_ = kNothing;
  monitor_->notify_all();
}

void Inbox::stop(Error error) {
  const Monitor::Lock lock(*monitor_);
  fail_all(std::move(error));
}

void Inbox::fail_all(Error error) {
  if (!failure_) failure_ = std::move(error);
  monitor_->notify_all();
  wake_all();
}

void Inbox::stop(const Error& cause, const StopReport& report) {
  {
    const Monitor::Lock lock(*monitor_);
    if (!failure_) cause_ = StopCause{cause, report};
  }
  stop(describe_stop(cause, report));
}

void Inbox::set_waker(size_t lane, std::function<void()> wake) {
  const Monitor::Lock lock(*monitor_);
  queues_[lane].set_waker(std::move(wake));
}

void Inbox::wake_all() {
  for (LaneQueue& queue : queues_) wake(queue, *monitor_);
}

void Inbox::wait(size_t lane, Deadline deadline) {
  const Monitor::Lock lock(*monitor_);
  while (queues_[lane].sleeps() && stage_ != Stage::kAborted) {
    if (!monitor_->wait(deadline)) return;
  }
}

// ---- epochs ------------------------------------------------------------------------------------

Inbox::Sealed Inbox::seal() {
  const Monitor::Lock lock(*monitor_);
  const uint64_t last = ledger_.accepted();
  const bool empty = !epochs_.seal(last);
  flush_through_ = std::max(flush_through_, last);
  wake_all();
  return {last, ledger_.accepted_position(), empty};
}

Status Inbox::wait_prepared(uint64_t through_batch) {
  const Monitor::Lock lock(*monitor_);
  while (!failure_ && lanes_through(queues_, ledger_.accepted()) < through_batch) {
    monitor_->wait(kNoDeadline);
  }
  if (failure_) return fail(*failure_);
  return {};
}

void Inbox::committed(uint64_t through_batch) {
  const Monitor::Lock lock(*monitor_);
  epochs_.commit(through_batch);
  advance();
  wake_all();
}

bool Inbox::take_over_epochs(HostPosition position) {
  const Monitor::Lock lock(*monitor_);
  if (ledger_.accepted() > 0) return false;
  epochs_.let_host_decide();
  ledger_.restart(std::move(position));
  return true;
}

uint64_t Inbox::accepted_batches() const {
  const Monitor::Lock lock(*monitor_);
  return ledger_.accepted();
}

bool Inbox::has_unsealed() const {
  const Monitor::Lock lock(*monitor_);
  return ledger_.accepted() > epochs_.sealed_through();
}

Status Inbox::status() const {
  const Monitor::Lock lock(*monitor_);
  if (failure_) return fail(*failure_);
  return {};
}

std::optional<Inbox::StopCause> Inbox::stop_cause() const {
  const Monitor::Lock lock(*monitor_);
  return cause_;
}

uint64_t Inbox::durable_position() const {
  const Monitor::Lock lock(*monitor_);
  return ledger_.durable_position();
}

void Inbox::read_gauges(SinkMetrics& metrics) const {
  const Monitor::Lock lock(*monitor_);
  metrics.rows_accepted = ledger_.accepted_rows();
  metrics.buffered_bytes = memory_.held_bytes;
  metrics.waiting_since_wall_us = memory_.held_bytes > 0 ? memory_.held_since_wall_us : 0;
  metrics.sinks_stopped = failure_ ? 1 : 0;
}

}  // namespace pgsink
