#include "pgsink/sink/inbox.h"

#include <algorithm>

namespace pgsink {

Inbox::Inbox(Env& env, Limits limits, Router router)
    : env_(env),
      limits_(std::move(limits)),
      routing_(env.tasks.monitor()),
      router_(std::move(router)),
      monitor_(env.tasks.monitor()),
      durable_position_(limits_.committed.empty() ? 0 : std::ranges::min(limits_.committed)),
      queues_(router_.lanes()) {}

Status Inbox::push(RecordBatch batch) {
  const Monitor::Lock routing(*routing_);
  if (auto fits = check_position(batch.position); !fits) return fits;
  if (auto room = wait_for_memory(batch.memory_bytes()); !room) return room;
  auto accepted = std::make_unique<Accepted>();
  accepted->shares = router_.route(batch);
  accepted->batch = std::move(batch);
  routed_position_ = accepted->batch.position;
  std::shared_ptr<const Accepted> source;  // Goes after the lock.
  const Monitor::Lock lock(*monitor_);
  if (failure_) return fail(*failure_);
  if (closing_) return fail(Errc::kUsage, "write() after close()");
  source = accept(std::move(accepted));
  return {};
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

Status Inbox::wait_for_memory(size_t bytes) {
  const Monitor::Lock lock(*monitor_);
  while (!failure_ && !closing_ && held_bytes_ > 0 && held_bytes_ + bytes > limits_.buffer_bytes) {
    ++waiting_for_memory_;
    wake_all();
    monitor_->wait(kNoDeadline);
    --waiting_for_memory_;
  }
  if (failure_) return fail(*failure_);
  if (closing_) return fail(Errc::kUsage, "write() after close()");
  return {};
}

std::shared_ptr<const Accepted> Inbox::accept(std::unique_ptr<Accepted> accepted) {
  const size_t bytes = accepted->batch.memory_bytes();
  accepted->number = ++accepted_batches_;
  accepted->first_row = accepted_rows_ + 1;
  held_bytes_ += bytes;
  accepted_rows_ += accepted->batch.row_count();
  positions_.push_back(accepted->batch.position);
  const auto give_back = [this, bytes](const Accepted* gone) {
    delete gone;
    const Monitor::Lock relock(*monitor_);
    held_bytes_ -= bytes;
    monitor_->notify_all();
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
    if (first) queue.oldest = env_.clock.now();
    queue.rows += share.count;
    queue.bytes += piece.memory_bytes();
    queue.pushed = source->number;
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
  while (!failure_ && durable_batches_ < number) monitor_->wait(kNoDeadline);
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
         waiting_for_memory_ > 0 || now - queue.oldest >= limits_.batch_timeout;
}

Inbox::Taken Inbox::take(size_t lane, size_t rows_max,
                         std::optional<TimePoint> transaction_open_since) {
  Taken taken;
  const Monitor::Lock lock(*monitor_);
  Queue& queue = queues_[lane];
  const TimePoint now = env_.clock.now();
  if (rows_due(queue, now)) take_rows(queue, rows_max, taken.pieces);
  // If another lane failed, this one writes what it has and ends.
  const bool closing = closing_ || failure_.has_value();
  taken.closing = closing && queue.pieces.empty();
  taken.aborted = aborted_;
  taken.memory_wanted = waiting_for_memory_ > 0;

  if (transaction_open_since || !taken.pieces.empty()) {
    const Deadline due = transaction_open_since.value_or(now) + limits_.batch_timeout;
    const bool flushed =
        flush_through_ > queue.durable &&
        (queue.pieces.empty() || queue.pieces.front().source->number > flush_through_);
    taken.end_transaction = flushed || now >= due || (closing && queue.pieces.empty());
    taken.wake_at = due;
  }
  if (!queue.pieces.empty()) {
    const Deadline due = rows_due(queue, now) ? now : queue.oldest + limits_.batch_timeout;
    taken.wake_at = std::min(taken.wake_at, due);
  }
  queue.sleeps = taken.pieces.empty() && !taken.end_transaction;
  return taken;
}

void Inbox::take_rows(Queue& queue, size_t rows_max, std::vector<Piece>& pieces) const {
  while (!queue.pieces.empty() && (rows_max > 0 || queue.pieces.front().rows.count == 0)) {
    Piece& front = queue.pieces.front();
    Piece part = front;
    part.rows.count =
        limits_.whole_batches ? front.rows.count : std::min(rows_max, front.rows.count);
    part.last = front.last && part.rows.count == front.rows.count;
    queue.rows -= part.rows.count;
    queue.bytes -= std::min(queue.bytes, part.memory_bytes());
    rows_max -= std::min(rows_max, part.rows.count);
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
  queues_[lane].durable = std::max(queues_[lane].durable, number);
  advance();
}

/// Up to which batch every lane has made all of its rows durable.
uint64_t Inbox::durable_batches() const {
  uint64_t number = accepted_batches_;
  for (const Queue& queue : queues_) {
    if (queue.durable < queue.pushed) number = std::min(number, queue.durable);
  }
  return number;
}

void Inbox::advance() {
  const uint64_t number = durable_batches();
  if (number <= durable_batches_) return;
  for (; durable_batches_ < number; ++durable_batches_) {
    durable_position_ = positions_.front();
    positions_.pop_front();
  }
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
