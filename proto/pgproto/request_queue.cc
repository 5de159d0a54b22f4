#include <pgproto/bytes.h>
#include <pgproto/request_queue.h>

namespace pgproto {

using session_table::Phase;

Phase RequestQueue::next_phase() const {
  return pending_.empty() ? Phase::kIdle : pending_.front().kind;
}

RequestId RequestQueue::add(PendingRequest request) {
  request.id = ++last_;
  if (request.copy_announced) {
    copy_ = request.id;
    copy_refused_ = skipping_;
  }
  if (request.kind == Phase::kSync) skipping_ = false;
  if (!skipping_) pending_.push_back(request);
  return request.id;
}

void RequestQueue::copy_started() {
  if (!pending_.empty()) pending_.front().copy_announced = false;
}

void RequestQueue::refuse_open_copy() {
  if (front_copy_is_open()) copy_refused_ = true;
}

void RequestQueue::finish_front() {
  PGPROTO_ASSERT(!pending_.empty());
  refuse_open_copy();
  pending_.pop_front();
}

void RequestQueue::skip_to_sync() {
  do {
    finish_front();
  } while (!pending_.empty() && pending_.front().kind != Phase::kSync);
  skipping_ = pending_.empty();
}

}  // namespace pgproto
