#include "pgsink/sink/inbox.h"

#include <algorithm>

namespace pgsink {

Inbox::Inbox(Env& env, Limits limits) : env_(env), limits_(limits), monitor_(env.tasks.monitor()) {}

Status Inbox::push(RecordBatch batch) {
  const size_t bytes = batch.memory_bytes();
  const size_t rows = batch.row_count();
  const Monitor::Lock lock(*monitor_);
  while (!failure_ && !closing_ && held_bytes_ > 0 && held_bytes_ + bytes > limits_.buffer_bytes) {
    ++waiting_for_memory_;
    wake_lane();
    monitor_->wait(kNoDeadline);
    --waiting_for_memory_;
  }
  if (failure_) return fail(*failure_);
  if (closing_) return fail(Errc::kUsage, "write() after close()");

  held_bytes_ += bytes;
  accepted_rows_ += rows;
  const auto give_back = [this, bytes](const RecordBatch* gone) {
    delete gone;
    const Monitor::Lock relock(*monitor_);
    held_bytes_ -= bytes;
    monitor_->notify_all();
  };
  Piece piece{
      .batch = std::shared_ptr<const RecordBatch>(new RecordBatch(std::move(batch)), give_back),
      .rows = {.begin = 0, .count = rows},
      .number = ++accepted_batches_,
      .last_of_batch = true};
  if (queue_.empty()) oldest_ = env_.clock.now();
  queued_rows_ += rows;
  queued_bytes_ += bytes;
  const bool first = queue_.empty();
  queue_.push_back(std::move(piece));
  if (first || queued_rows_ >= limits_.batch_rows || queued_bytes_ >= limits_.batch_bytes)
    wake_lane();
  return {};
}

Status Inbox::flush() {
  const Monitor::Lock lock(*monitor_);
  return wait_durable(accepted_batches_);
}

Status Inbox::close() {
  const Monitor::Lock lock(*monitor_);
  closing_ = true;
  monitor_->notify_all();
  return wait_durable(accepted_batches_);
}

Status Inbox::wait_durable(uint64_t number) {
  flush_through_ = std::max(flush_through_, number);
  wake_lane();
  while (!failure_ && durable_batches_ < number) monitor_->wait(kNoDeadline);
  if (failure_) return fail(*failure_);
  return {};
}

void Inbox::abort() {
  const Monitor::Lock lock(*monitor_);
  closing_ = true;
  aborted_ = true;
  monitor_->notify_all();
  if (wake_) wake_();
}

bool Inbox::rows_due(TimePoint now) const {
  if (queue_.empty()) return false;
  return queued_rows_ >= limits_.batch_rows || queued_bytes_ >= limits_.batch_bytes ||
         queue_.front().number <= flush_through_ || closing_ || waiting_for_memory_ > 0 ||
         now - oldest_ >= limits_.batch_timeout;
}

Inbox::Taken Inbox::take(size_t rows_max, std::optional<TimePoint> transaction_open_since) {
  Taken taken;
  const Monitor::Lock lock(*monitor_);
  const TimePoint now = env_.clock.now();
  if (rows_due(now)) take_rows(rows_max, taken.pieces);
  taken.closing = closing_;
  taken.aborted = aborted_;
  taken.memory_wanted = waiting_for_memory_ > 0;

  if (transaction_open_since || !taken.pieces.empty()) {
    const Deadline due = transaction_open_since.value_or(now) + limits_.batch_timeout;
    const bool flushed = flush_through_ > durable_batches_ &&
                         (queue_.empty() || queue_.front().number > flush_through_);
    taken.end_transaction = flushed || now >= due || (closing_ && queue_.empty());
    taken.wake_at = due;
  }
  if (!queue_.empty()) {
    taken.wake_at = std::min(taken.wake_at, rows_due(now) ? now : oldest_ + limits_.batch_timeout);
  }
  lane_sleeps_ = taken.pieces.empty() && !taken.end_transaction;
  return taken;
}

void Inbox::take_rows(size_t rows_max, std::vector<Piece>& pieces) {
  while (!queue_.empty() && (rows_max > 0 || queue_.front().rows.count == 0)) {
    Piece& front = queue_.front();
    Piece part = front;
    part.rows.count = std::min(rows_max, front.rows.count);
    part.last_of_batch = front.last_of_batch && part.rows.count == front.rows.count;
    queued_rows_ -= part.rows.count;
    queued_bytes_ -= std::min(queued_bytes_, part.memory_bytes());
    rows_max -= part.rows.count;
    front.rows.begin += part.rows.count;
    front.rows.count -= part.rows.count;
    const bool exhausted = front.rows.count == 0;
    pieces.push_back(std::move(part));
    if (exhausted) queue_.pop_front();
  }
  if (queue_.empty()) queued_bytes_ = 0;
}

void Inbox::durable(uint64_t number, uint64_t position) {
  const Monitor::Lock lock(*monitor_);
  if (number <= durable_batches_) return;
  durable_batches_ = number;
  durable_position_ = position;
  monitor_->notify_all();
}

void Inbox::stop(Error error) {
  const Monitor::Lock lock(*monitor_);
  if (!failure_) failure_ = std::move(error);
  monitor_->notify_all();
}

void Inbox::set_waker(std::function<void()> wake) {
  const Monitor::Lock lock(*monitor_);
  wake_ = std::move(wake);
}

void Inbox::wake_lane() {
  if (!lane_sleeps_) return;
  lane_sleeps_ = false;
  monitor_->notify_all();
  if (wake_) wake_();
}

void Inbox::wait(Deadline deadline) {
  const Monitor::Lock lock(*monitor_);
  while (lane_sleeps_ && !aborted_) {
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
