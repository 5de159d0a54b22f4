#include "pgsink/client/conversation_trace.h"

#include <utility>

namespace pgsink {

void ConversationTrace::moved(Bytes sent, Bytes received) {
  text_.clear();
  tracer_.frontend(sent, text_);
  tracer_.backend(received, text_);
  pass_lines();
}

void ConversationTrace::pass_lines() {
  std::string_view rest = text_;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    take_(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
}

std::shared_ptr<ConversationTrace> open_trace(const TraceTaker* taker, std::string_view endpoint) {
  if (taker == nullptr) return nullptr;
  auto take = taker->open(endpoint);
  return take ? std::make_shared<ConversationTrace>(std::move(take)) : nullptr;
}

Result<Transport::Moved> TracedTransport::exchange(Bytes out, MutableBytes in, Deadline deadline) {
  auto moved = inner_->exchange(out, in, deadline);
  if (moved) trace_->moved(out.first(moved->sent), Bytes(in.data(), moved->received));
  return moved;
}

}  // namespace pgsink
