#pragma once
// StreamClaimer: claims streams for a sink that is open, on a connection of its own.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"
#include "pgsink/delivery/stream_rows.h"
#include "pgsink/lane/stream_claims.h"
#include "pgsink/options/retry.h"

namespace pgsink {

class StreamClaimer {
 public:
  struct Setup {
    Env& env;
    const ConnectOptions& connect;
    pgproto::SaltedKeyCache* salted_keys = nullptr;
    std::string name;  ///< Of the connection, for messages.
    StreamRows rows;
    RetryPolicy retry;
    size_t lanes = 1;
  };
  explicit StreamClaimer(Setup setup);

  const StreamRows& rows() const { return setup_.rows; }
  StreamClaims& claims() { return claims_; }
  const StreamClaims& claims() const { return claims_; }
  /// As Sink::claim(). Repeats what fails because a connection is lost or cannot be opened. One
  /// caller at a time.
  Result<std::vector<StreamPosition>> claim(std::span<const StreamStart> streams);

  /// As Sink::release(); `drain` waits until all batches up to that number are durable.
  Status release(std::span<const std::string> streams, ReleaseMode mode,
                 const std::function<Status(uint64_t batch)>& drain);

 private:
  Result<std::vector<StreamRow>> claim_once(std::span<const StreamStart> streams);
  void pause(Duration delay) const;

  const Setup setup_;
  StreamClaims claims_;
  std::unique_ptr<Connection> connection_;  ///< Null until the first claim, and after an error.
};

}  // namespace pgsink
