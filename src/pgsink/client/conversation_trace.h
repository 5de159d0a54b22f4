#pragma once
// ConversationTrace turns the bytes of one connection into the lines of pgproto::Tracer, and gives
// each to a callback. TracedTransport does that for a transport.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <pgproto/trace.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// TraceTaker is called for each connection with its endpoint: what it returns takes its lines, if
/// not null. Called by any thread; the lines of one connection come one after the other.
struct TraceTaker {
  std::function<std::function<void(std::string_view line)>(std::string_view endpoint)> open;
};

class ConversationTrace {
 public:
  explicit ConversationTrace(std::function<void(std::string_view line)> take)
      : take_(std::move(take)) {}
  /// The bytes that left, and those that came. Of TLS: those inside of it.
  void moved(Bytes sent, Bytes received);

 private:
  void pass_lines();

  std::function<void(std::string_view line)> take_;
  pgproto::Tracer tracer_;
  std::string text_;  // lines of the current call
};

/// open_trace is the trace of a new connection; null if nobody takes its lines.
std::shared_ptr<ConversationTrace> open_trace(const TraceTaker* taker, std::string_view endpoint);

/// TracedTransport passes everything on to another transport, and traces what it moves.
class TracedTransport : public Transport {
 public:
  TracedTransport(std::unique_ptr<Transport> inner, std::shared_ptr<ConversationTrace> trace)
      : inner_(std::move(inner)), trace_(std::move(trace)) {}

  Result<Moved> exchange(Bytes out, MutableBytes in, Deadline deadline) override;
  void interrupt() override { inner_->interrupt(); }
  void end_stream() override { inner_->end_stream(); }
  void close() override { inner_->close(); }

 private:
  std::unique_ptr<Transport> inner_;
  std::shared_ptr<ConversationTrace> trace_;
};

}  // namespace pgsink
