#include "pgsink/lane/intake.h"

#include <algorithm>
#include <utility>

namespace pgsink {

void Intake::take(FlightQueue& flights, FlightLog& log, TimePoint now, size_t rows_max,
                  const std::function<bool()>& nothing_to_send) {
  rows_max = std::min(rows_max, limits_.transaction_rows);
  for (;;) {
    const Flight* const before = flights.open();
    const auto left = [](size_t limit, size_t used) { return limit - std::min(limit, used); };
    const size_t rows = left(rows_max, before != nullptr ? before->rows : 0);
    const size_t bytes =
        left(limits_.transaction_bytes, before != nullptr ? before->memory_bytes : 0);
    const auto since = before != nullptr ? std::optional(before->opened_at) : std::nullopt;
    news_ = inbox_.take(lane_, rows, bytes, since);
    const bool took = !news_.pieces.empty();
    if (took) add(flights, log, now);
    Flight* const open = flights.open();
    auto why = open != nullptr ? closes(*open, flights.size(), rows_max) : std::nullopt;
    if (open != nullptr && !took && !why && nothing_to_send()) why = due_by(*open);
    if (why) {
      open->state = FlightState::kClosed;
      open->trigger = *why;
    }
    // Only a take() that found nothing to do arms the waker.
    if (!took && !why) return;
  }
}

void Intake::add(FlightQueue& flights, FlightLog& log, TimePoint now) {
  Flight* open = flights.open();
  if (open == nullptr) {
    log.step(FlightLog::Added{}, now);
    open = &flights.add(log.last_added(), news_.oldest);
  }
  for (Piece& piece : std::exchange(news_.pieces, {})) open->add(std::move(piece));
}

/// Why the rows of a flight were due that ends because no more are.
BatchTrigger Intake::due_by(const Flight& open) const {
  if (open.rows >= limits_.batch_rows) return BatchTrigger::kRows;
  return news_.memory_wanted ? BatchTrigger::kMemory : BatchTrigger::kBytes;
}

/// What ends the open flight now, if anything.
std::optional<BatchTrigger> Intake::closes(const Flight& open, size_t flights,
                                           size_t rows_max) const {
  if (open.rows >= rows_max) return BatchTrigger::kRows;
  if (open.memory_bytes >= limits_.transaction_bytes) return BatchTrigger::kBytes;
  if (news_.end_transaction) return news_.trigger;
  if (limits_.ends_for_memory && news_.memory_wanted && flights == 1) return BatchTrigger::kMemory;
  return std::nullopt;
}

}  // namespace pgsink
