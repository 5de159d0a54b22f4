#pragma once
// RequestQueue holds the requests whose answers the server still owes, oldest first, and drops
// those that the server will not answer.

#include <cstddef>
#include <cstdint>
#include <deque>

#include <pgproto/session_config.h>
#include <pgproto/session_table.h>

namespace pgproto {

/// PendingRequest is a request that awaits its answer, or the rest of it.
struct PendingRequest {
  RequestId id = 0;
  session_table::Phase kind{};  ///< The phase in which its answer begins.
  bool copy_announced = false;  ///< CopyData follow it, and the server has not started the COPY
                                ///< yet.
  uint64_t position = 0;        ///< Its position in the output.
};

/// RequestQueue numbers requests, attributes answers to the oldest, and drops those that the server
/// discards after an error: all before the next Sync. It also follows the one COPY whose data the
/// client may be sending.
class RequestQueue {
 public:
  bool empty() const { return pending_.empty(); }
  size_t size() const { return pending_.size(); }
  /// The id of the request that the next message answers; 0 if none is pending.
  RequestId front_id() const { return pending_.empty() ? 0 : pending_.front().id; }
  /// Whether the oldest request announced a COPY that the server has not started yet.
  bool front_announces_copy() const { return !pending_.empty() && pending_.front().copy_announced; }
  /// Whether the client is still sending the data of the oldest request's COPY.
  bool front_copy_is_open() const { return copy_ != 0 && front_id() == copy_; }
  /// Whether a part of the oldest request is among the first `sent` bytes of the output.
  bool front_is_sent(uint64_t sent) const {
    return !pending_.empty() && sent > pending_.front().position;
  }
  /// The phase in which the answer to the oldest request begins; kIdle if none is pending.
  session_table::Phase next_phase() const;

  /// Adds a request, which `request` describes but for its number, and returns that. It is not
  /// pending if the server discards it.
  RequestId add(PendingRequest request);
  /// The client ended its side of the COPY, or the connection.
  void end_copy() { copy_ = 0; }
  /// The server started the COPY of the oldest request.
  void copy_started();
  /// The server answered the oldest request with an error, or completely: if its COPY is still
  /// open for sending, the server does not take the data.
  void refuse_open_copy();
  /// Whether the server refused the last COPY that was announced.
  bool copy_refused() const { return copy_refused_; }

  /// The oldest request is answered. REQUIRES: !empty().
  void finish_front();
  /// The oldest request failed: the server discards every further one up to the next Sync, also
  /// those that are yet to be sent. REQUIRES: !empty().
  void skip_to_sync();

 private:
  std::deque<PendingRequest> pending_;
  RequestId last_ = 0;
  RequestId copy_ = 0;  ///< The request whose COPY is open for sending; 0: none.
  bool copy_refused_ = false;
  bool skipping_ = false;  ///< The server discards everything sent before the next Sync.
};

}  // namespace pgproto
