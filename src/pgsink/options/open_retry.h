#pragma once
// Which failures to reach a server are retried when a sink or a source is opened, and the pauses.

#include <utility>

#include "pgsink/options/retry.h"

namespace pgsink {

/// OpenRetry tries again to connect. A server that is starting up or has no free connection is
/// tried again in any case. One that cannot be reached at all is tried again only if max_retries or
/// retry_timeout_ms was given: a wrong name or port should be told at once.
class OpenRetry {
 public:
  /// Both must outlive it.
  OpenRetry(const SinkOptions& options, Env& env);

  /// run calls `open`, which connects, until it succeeds, fails in another way, or was tried often
  /// enough. Fails with kInterrupted if SinkOptions::on_server_wait ends the waiting.
  template <typename Open>
  auto run(Open&& open) -> decltype(open()) {
    for (;;) {
      auto done = open();
      if (done) return done;
      if (auto again = wait_after(std::move(done.error())); !again) return fail(again.error());
    }
  }

  /// run_whole calls `open`, which connects by run() and then asks the server for more, again if
  /// the connection broke after it was there. The attempts of both count together.
  template <typename Open>
  auto run_whole(Open&& open) -> decltype(open()) {
    for (;;) {
      auto done = open();
      if (done || done.error().code != Errc::kConnectionLost) return done;
      if (auto again = wait_after(std::move(done.error())); !again) return fail(again.error());
    }
  }

  /// Whether run() would try again after the first such failure.
  bool allows(const Error& error) const;

 private:
  Status wait_after(Error error);
  Status pause(const Error& error, Duration length);

  const SinkOptions& options_;
  Env& env_;
  RetryPolicy policy_;
  bool persistent_;
  Backoff backoff_;
  RetryLimit limit_;
  TimePoint began_;
  uint32_t failures_ = 0;
  bool spent_ = false;  ///< An error says already how often it was tried.
};

/// not_retried is for checks, which do not wait: it adds to the error that open() would.
Error not_retried(const SinkOptions& options, Env& env, Error error);

}  // namespace pgsink
