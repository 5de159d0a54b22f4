#include "pgsink/lane/inbox.h"

#include <algorithm>
#include <limits>

namespace pgsink {
namespace {

constexpr uint64_t kUnsealed = std::numeric_limits<uint64_t>::max();

}  // namespace

Inbox::Inbox(Env& env, Limits limits, Router router)
    : env_(env),
      limits_(std::move(limits)),
      routing_(env.tasks.monitor()),
      router_(std::move(router)),
      monitor_(env.tasks.monitor()),
      durable_position_(limits_.epochs              ? limits_.epochs->position
                        : limits_.committed.empty() ? 0
                                                    : std::ranges::min(limits_.committed)),
      accepted_position_(durable_position_),
      queues_(router_.lanes()) {}

Result<bool> Inbox::push(RecordBatch& batch, bool may_wait) {
  if (!may_wait) {
    // Who waits holds routing_.
    const Monitor::Lock lock(*monitor_);
    if (waiting_for_memory_ > 0) return false;
  }
  const Monitor::Lock routing(*routing_);
  if (auto fits = check_position(batch.position); !fits) return fail(fits.error());
  if (auto room = wait_for_memory(batch, may_wait); !room || !*room) return room;
  auto accepted = std::make_unique<Accepted>();
  accepted->shares = router_.route(batch);
  accepted->batch = std::move(batch);
  routed_position_ = accepted->batch.position;
  std::shared_ptr<const Accepted> source;  // Goes after the lock.
  const Monitor::Lock lock(*monitor_);
  if (failure_) return fail(*failure_);
  if (closing_) return fail(Errc::kUsage, "write() after close()");
  source = accept(std::move(accepted));
  return true;
}

/// Exactly-once lives on positions: they say what a replay need not write again.
Status Inbox::check_position(uint64_t position) {
  if (limits_.committed.empty()) return {};
  if (position <= routed_position_) {
    return fail(Errc::kUsage,
                "write(): exactly-once needs a RecordBatch::position that grows with "
                "each batch; " +
                    std::to_string(position) + " follows " + std::to_string(routed_position_));
  }
  // Where the first batch begins only the host knows: right behind durable_position(), or anywhere
  // before with the batches cut as they were.
  for (const uint64_t committed : limits_.committed) {
    if (routed_position_ == 0 || committed <= routed_position_ || committed >= position) continue;
    return fail(Errc::kUsage, "write(): the batch up to position " + std::to_string(position) +
                                  " holds rows on both sides of " + std::to_string(committed) +
                                  ", up to where everything is committed: cut the batches of a "
                                  "replay as they were");
  }
  return {};
}

/// Waits until there is room for so much. False if only the end of an epoch makes room.
Result<bool> Inbox::wait_for_memory(const RecordBatch& batch, bool may_wait) {
  const size_t bytes = batch.memory_bytes();
  const Monitor::Lock lock(*monitor_);
  if (!failure_ && !closing_ && exceeds_epoch(batch)) return false;
  while (!failure_ && !closing_ && held_bytes_ > 0 && held_bytes_ + bytes > limits_.buffer_bytes) {
    if (limits_.epochs && limits_.epochs->one_transaction) return false;
    if (!may_wait) {
      refused_ = true;
      wake_all();
      return false;
    }
    ++waiting_for_memory_;
    wake_all();
    monitor_->wait(kNoDeadline);
    --waiting_for_memory_;
  }
  if (failure_) return fail(*failure_);
  if (closing_) return fail(Errc::kUsage, "write() after close()");
  return true;
}

std::shared_ptr<const Accepted> Inbox::accept(std::unique_ptr<Accepted> accepted) {
  const size_t bytes = accepted->batch.memory_bytes();
  accepted->number = ++accepted_batches_;
  accepted->first_row = accepted_rows_ + 1;
  accepted->accepted_at = env_.clock.now();
  held_bytes_ += bytes;
  refused_ = false;
  accepted_rows_ += accepted->batch.row_count();
  accepted_position_ = accepted->batch.position;
  epoch_rows_ += accepted->batch.row_count();
  epoch_bytes_ += bytes;
  positions_.push_back(accepted->batch.position);
  const auto give_back = [this, bytes](const Accepted* gone) {
    delete gone;
    const Monitor::Lock relock(*monitor_);
    held_bytes_ -= bytes;
    if (waiting_for_memory_ > 0) monitor_->notify_all();
  };
  std::shared_ptr<const Accepted> source(accepted.release(), give_back);
  for (size_t i = 0; i < source->shares.size(); ++i) {
    const Share& share = source->shares[i];
    const bool committed =
        !limits_.committed.empty() && source->batch.position <= limits_.committed[share.lane];
    if (committed) continue;
    Queue& queue = queues_[share.lane];
    // A lane may have several shares in a row; only the last ends the batch for it.
    const bool last =
        std::none_of(source->shares.begin() + static_cast<ptrdiff_t>(i) + 1, source->shares.end(),
                     [&](const Share& later) { return later.lane == share.lane; });
    Piece piece{.source = source,
                .rows = {.begin = share.begin,
                         .count = share.count,
                         .indexes = share.indexes.empty() ? nullptr : share.indexes.data()},
                .last = last};
    const bool first = queue.pieces.empty();
    queue.rows += share.count;
    queue.bytes += piece.memory_bytes();
    if (queue.pending.empty() || queue.pending.back() != source->number) {
      queue.pending.push_back(source->number);
    }
    queue.pieces.push_back(std::move(piece));
    if (first || queue.rows >= limits_.batch_rows || queue.bytes >= limits_.batch_bytes) {
      wake(queue);
    }
  }
  advance();
  return source;
}

Status Inbox::flush() {
  const Monitor::Lock lock(*monitor_);
  return wait_durable(accepted_batches_);
}

Status Inbox::close() {
  const Monitor::Lock lock(*monitor_);
  closing_ = true;
  monitor_->notify_all();
  Status durable = wait_durable(accepted_batches_);
  while (running_ > 0) monitor_->wait(kNoDeadline);
  return durable;
}

Status Inbox::wait_durable(uint64_t number) {
  flush_through_ = std::max(flush_through_, number);
  wake_all();
  while (!failure_ && durable_batches_ < number) {
    awaited_ = std::min(awaited_, number);
    monitor_->wait(kNoDeadline);
  }
  if (failure_) return fail(*failure_);
  return {};
}

void Inbox::abort() {
  const Monitor::Lock lock(*monitor_);
  closing_ = true;
  aborted_ = true;
  monitor_->notify_all();
  for (const Queue& queue : queues_) {
    if (queue.wake) queue.wake();
  }
}

bool Inbox::rows_due(const Queue& queue, TimePoint now) const {
  if (queue.pieces.empty()) return false;
  return queue.rows >= limits_.batch_rows || queue.bytes >= limits_.batch_bytes ||
         queue.pieces.front().source->number <= flush_through_ || closing_ || failure_ ||
         memory_wanted() || now - queue.oldest() >= limits_.batch_timeout;
}

/// As many of the first rows as fit; the last one may go beyond `bytes_max`, so that it is reached.
size_t Inbox::rows_within(const Piece& piece, size_t rows_max, size_t bytes_max) {
  const size_t bytes = piece.memory_bytes();
  const size_t rows = std::min(rows_max, piece.rows.count);
  if (bytes <= bytes_max) return rows;
  const size_t row_bytes = bytes / piece.rows.count;
  return std::min(rows, (bytes_max + row_bytes - 1) / row_bytes);
}

Inbox::Taken Inbox::take(size_t lane, size_t rows_max, size_t bytes_max,
                         std::optional<TimePoint> transaction_open_since) {
  Taken taken;
  const Monitor::Lock lock(*monitor_);
  Queue& queue = queues_[lane];
  const TimePoint now = env_.clock.now();
  if (!transaction_open_since && !queue.pieces.empty()) {
    queue.taken = queue.pieces.front().source->number;
  }
  if (!queue.pieces.empty()) taken.oldest = queue.oldest();
  if (rows_due(queue, now)) take_rows(queue, rows_max, bytes_max, taken.pieces);
  // If another lane failed, this one writes what it has and ends. An epoch is of no use in part.
  const bool closing = closing_ || failure_.has_value();
  taken.closing = closing && queue.pieces.empty();
  taken.aborted = aborted_ || (limits_.epochs && failure_);
  taken.memory_wanted = memory_wanted();

  if (transaction_open_since || !taken.pieces.empty()) {
    if (limits_.epochs) {
      // Nobody sees its rows before the epoch's end: age is no reason.
      const uint64_t end = epoch_end(queue.taken);
      taken.end_transaction =
          end != kUnsealed && (queue.pieces.empty() || queue.pieces.front().source->number > end);
    } else {
      const Deadline due = transaction_open_since.value_or(taken.oldest) + limits_.batch_timeout;
      const bool flushed =
          flush_through_ > queue.durable &&
          (queue.pieces.empty() || queue.pieces.front().source->number > flush_through_);
      const bool ending = closing && queue.pieces.empty();
      taken.end_transaction = flushed || now >= due || ending;
      taken.trigger = ending    ? BatchTrigger::kEnd
                      : flushed ? BatchTrigger::kFlush
                                : BatchTrigger::kTime;
      taken.wake_at = due;
    }
  }
  if (!queue.pieces.empty()) {
    const Deadline due = rows_due(queue, now) ? now : queue.oldest() + limits_.batch_timeout;
    taken.wake_at = std::min(taken.wake_at, due);
  }
  queue.sleeps = taken.pieces.empty() && !taken.end_transaction;
  return taken;
}

void Inbox::take_rows(Queue& queue, size_t rows_max, size_t bytes_max,
                      std::vector<Piece>& pieces) const {
  const uint64_t end = epoch_end(queue.taken);
  const auto has_room = [&] { return rows_max > 0 && bytes_max > 0; };
  while (!queue.pieces.empty() && (has_room() || queue.pieces.front().rows.count == 0)) {
    Piece& front = queue.pieces.front();
    if (front.source->number > end) break;
    queue.taken = front.source->number;
    Piece part = front;
    if (!limits_.whole_batches) part.rows.count = rows_within(front, rows_max, bytes_max);
    part.last = front.last && part.rows.count == front.rows.count;
    queue.rows -= part.rows.count;
    queue.bytes -= std::min(queue.bytes, part.memory_bytes());
    rows_max -= std::min(rows_max, part.rows.count);
    bytes_max -= std::min(bytes_max, part.memory_bytes());
    front.rows.begin += part.rows.count;
    front.rows.count -= part.rows.count;
    const bool exhausted = front.rows.count == 0;
    pieces.push_back(std::move(part));
    if (exhausted) queue.pieces.pop_front();
  }
  if (queue.pieces.empty()) queue.bytes = 0;
}

void Inbox::durable(size_t lane, uint64_t number) {
  const Monitor::Lock lock(*monitor_);
  Queue& queue = queues_[lane];
  queue.durable = std::max(queue.durable, number);
  while (!queue.pending.empty() && queue.pending.front() <= number) queue.pending.pop_front();
  advance();
}

/// Up to which batch every lane has made all of its rows durable, or prepared them.
uint64_t Inbox::lanes_through() const {
  uint64_t number = accepted_batches_;
  for (const Queue& queue : queues_) {
    if (!queue.pending.empty()) number = std::min(number, queue.pending.front() - 1);
  }
  return number;
}

void Inbox::advance() {
  const uint64_t through = lanes_through();
  const uint64_t number = limits_.epochs ? committed_through_ : through;
  if (limits_.epochs) monitor_->notify_all();  // wait_prepared()
  if (number <= durable_batches_) return;
  for (; durable_batches_ < number; ++durable_batches_) {
    durable_position_ = positions_.front();
    positions_.pop_front();
  }
  // To wake a flush for each flight would cost as much as the flight's own system calls.
  if (durable_batches_ < awaited_) return;
  awaited_ = kNothing;
  monitor_->notify_all();
}

void Inbox::stop(Error error) {
  const Monitor::Lock lock(*monitor_);
  if (!failure_) failure_ = std::move(error);
  monitor_->notify_all();
  wake_all();
}

void Inbox::started() {
  const Monitor::Lock lock(*monitor_);
  ++running_;
}

void Inbox::ended() {
  const Monitor::Lock lock(*monitor_);
  --running_;
  monitor_->notify_all();
}

void Inbox::wait_ended() {
  const Monitor::Lock lock(*monitor_);
  while (running_ > 0) monitor_->wait(kNoDeadline);
}

void Inbox::set_waker(size_t lane, std::function<void()> wake) {
  const Monitor::Lock lock(*monitor_);
  queues_[lane].wake = std::move(wake);
}

void Inbox::wake(Queue& queue) {
  if (!queue.sleeps) return;
  queue.sleeps = false;
  monitor_->notify_all();
  if (queue.wake) queue.wake();
}

void Inbox::wake_all() {
  for (Queue& queue : queues_) wake(queue);
}

void Inbox::wait(size_t lane, Deadline deadline) {
  const Monitor::Lock lock(*monitor_);
  while (queues_[lane].sleeps && !aborted_) {
    if (!monitor_->wait(deadline)) return;
  }
}

// ---- epochs ------------------------------------------------------------------------------------

bool Inbox::exceeds_epoch(const RecordBatch& batch) const {
  if (!limits_.epochs || epochs_taken_over_ || epoch_rows_ == 0) return false;
  return epoch_rows_ + batch.row_count() > limits_.epochs->rows_max ||
         epoch_bytes_ + batch.memory_bytes() > limits_.epochs->bytes_max;
}

uint64_t Inbox::epoch_end(uint64_t number) const {
  const auto end = std::ranges::lower_bound(seals_, number);
  return end == seals_.end() ? kUnsealed : *end;
}

Inbox::Sealed Inbox::seal() {
  const Monitor::Lock lock(*monitor_);
  const Sealed sealed{accepted_batches_, accepted_position_, accepted_batches_ == sealed_through_};
  if (!sealed.empty) seals_.push_back(accepted_batches_);
  sealed_through_ = accepted_batches_;
  epoch_rows_ = 0;
  epoch_bytes_ = 0;
  flush_through_ = std::max(flush_through_, sealed_through_);
  wake_all();
  return sealed;
}

Status Inbox::wait_prepared(uint64_t through_batch) {
  const Monitor::Lock lock(*monitor_);
  while (!failure_ && lanes_through() < through_batch) monitor_->wait(kNoDeadline);
  if (failure_) return fail(*failure_);
  return {};
}

void Inbox::committed(uint64_t through_batch) {
  const Monitor::Lock lock(*monitor_);
  while (!seals_.empty() && seals_.front() <= through_batch) seals_.pop_front();
  committed_through_ = std::max(committed_through_, through_batch);
  advance();
  wake_all();
}

bool Inbox::take_over_epochs(uint64_t position) {
  const Monitor::Lock lock(*monitor_);
  if (accepted_batches_ > 0) return false;
  epochs_taken_over_ = true;
  accepted_position_ = position;
  durable_position_ = position;
  return true;
}

uint64_t Inbox::accepted_batches() const {
  const Monitor::Lock lock(*monitor_);
  return accepted_batches_;
}

bool Inbox::has_unsealed() const {
  const Monitor::Lock lock(*monitor_);
  return accepted_batches_ > sealed_through_;
}

uint64_t Inbox::durable_position() const {
  const Monitor::Lock lock(*monitor_);
  return durable_position_;
}

void Inbox::read_gauges(SinkMetrics& metrics) const {
  const Monitor::Lock lock(*monitor_);
  metrics.rows_accepted = accepted_rows_;
  metrics.buffered_bytes = held_bytes_;
}

}  // namespace pgsink
