// An owner that does anything and a server that says anything: the session breaks no rule of its
// own, a failure sticks, and what it holds is bounded by what it received and was asked to send.
//
// An input is one byte of configuration, then operations: see kOps. Operation kMessage makes a
// whole message out of a type, a size and a body, so that lengths need not be guessed.

#include <cstring>
#include <malloc.h>
#include <new>
#include <string>

#include <pgproto/session.h>

#include "check.h"

using namespace pgproto;

namespace {
size_t live_bytes = 0;
}

void* operator new(size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(memory);
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void* operator new[](size_t size) { return operator new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void operator delete(void* memory) noexcept {
  if (memory != nullptr) live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, size_t) noexcept { operator delete(memory); }

namespace {

enum Op : uint8_t {
  kQuery,
  kQueryCopy,
  kQueryBoth,
  kParse,
  kBind,
  kDescribeStatement,
  kDescribePortal,
  kExecute,
  kExecuteCopy,
  kClose,
  kSync,
  kFlush,
  kCopyData,
  kCopyDone,
  kCopyFail,
  kSendAll,
  kSendSome,
  kTerminate,
  kTlsAnswer,
  kEof,
  kMessage,
  kOps,
};

// Whole messages go out: type and length, after the messages without type.
class OutputCheck {
 public:
  void sent(Bytes bytes) {
    pending_.append(as_text(bytes));
    while (pending_.size() >= (typed_ ? 5U : 8U)) {
      const size_t at = typed_ ? 1 : 0;
      const size_t length = load_be<uint32_t>(as_bytes(pending_).data() + at);
      FUZZ_CHECK(length >= 4 && length < 100'000);
      if (pending_.size() < at + length) return;
      if (!typed_) typed_ = length > 8;  // An SSLRequest precedes the StartupMessage.
      pending_.erase(0, at + length);
    }
  }

 private:
  std::string pending_;
  bool typed_ = false;
};

class Run {
 public:
  Run(const uint8_t* data, size_t size) : before_(live_bytes), input_(data, size) {}

  void play() {
    configure(input_.byte());
    while (!input_.empty()) {
      step(input_.byte());
      drain();
      check_memory();
    }
  }

 private:
  // An event's list of views costs at most 32 bytes an element (of one byte or more); the receive
  // buffer may be four times what it holds.
  void check_memory() const {
    FUZZ_CHECK(live_bytes - before_ <= 64 * 1024 + 40 * (received_ + asked_));
  }

  void configure(uint8_t flags) {
    if ((flags & 1) != 0) session_.request_tls();
    if ((flags & 1) != 0) feed((flags & 2) != 0 ? "S" : "N");
    if ((flags & 1) != 0) (void)session_.tls_answer();
    StartupConfig config;
    config.user = "u";
    config.password = (flags & 4) != 0 ? "p" : "";
    config.scram_nonce = "n";
    config.over_tls = (flags & 3) == 3;
    if (config.over_tls) config.tls_server_end_point.resize(32);
    config.channel_binding = static_cast<ChannelBinding>((flags >> 4) % 3);
    config.protocol_version = (flags & 8) != 0 ? kProtocol32 : kProtocol30;
    FUZZ_CHECK(session_.startup(std::move(config)));
    if ((flags & 128) != 0) feed(std::string_view("R\0\0\0\x08\0\0\0\0Z\0\0\0\5I", 15));
    drain();
  }

  void feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const MutableBytes space = session_.receive_space();
      FUZZ_CHECK(!space.empty());
      const size_t count = std::min(space.size(), bytes.size());
      std::memcpy(space.data(), bytes.data(), count);
      session_.received(count);
      received_ += count;
      bytes.remove_prefix(count);
      drain();
    }
  }

  void drain() {
    while (true) {
      const auto event = session_.next_event();
      if (!event) {
        FUZZ_CHECK(!session_.next_event());
        FUZZ_CHECK(!session_.query("SELECT 1"));
        return;
      }
      if (!*event) return;
      check_memory();
      // Answers come in the order of the requests.
      const RequestId request = (*event)->request;
      FUZZ_CHECK(request == 0 || (request >= last_answered_ && request <= last_request_));
      if (request != 0) last_answered_ = request;
    }
  }

  void note(const Result<RequestId>& id) {
    asked_ += 256;
    if (!id) return;
    FUZZ_CHECK(*id == last_request_ + 1);
    last_request_ = *id;
    FUZZ_CHECK(session_.pending_requests() <= last_request_);
  }

  void send(size_t size) {
    const Bytes output = session_.output();
    size = std::min(size, output.size());
    output_.sent(output.first(size));
    session_.output_sent(size);
    FUZZ_CHECK(session_.sent_position() <= session_.appended_position());
  }

  void copy_data(size_t size) {
    const MutableBytes space = session_.copy_space(size + 3);
    asked_ += size + 256;
    if (space.empty()) return;
    FUZZ_CHECK(space.size() >= size + 3);
    std::memset(space.data(), 'x', space.size());
    session_.copy_commit(size);
  }

  void message() {
    const std::string_view type = input_.take(1);
    const std::string_view body = input_.take(input_.byte());
    std::string bytes(type.empty() ? "N" : type);
    bytes.resize(5);
    store_be(reinterpret_cast<std::byte*>(bytes.data()) + 1,
             static_cast<uint32_t>(body.size() + 4));
    feed(bytes.append(body));
  }

  void step(uint8_t op) {
    using enum Session::Copy;
    switch (op) {
      case kQuery:
        return note(session_.query("SELECT 1"));
      case kQueryCopy:
        return note(session_.query("COPY t FROM STDIN", kIn));
      case kQueryBoth:
        return note(session_.query("START_REPLICATION", kBoth));
      case kParse:
        return note(session_.parse("s", "SELECT $1", {}));
      case kBind:
        return note(session_.bind("", "s", {}));
      case kDescribeStatement:
        return note(session_.describe_statement("s"));
      case kDescribePortal:
        return note(session_.describe_portal(""));
      case kExecute:
        return note(session_.execute(""));
      case kExecuteCopy:
        return note(session_.execute("", 0, kIn));
      case kClose:
        return note(session_.close_statement("s"));
      case kSync:
        if (const RequestId id = session_.sync(); id != 0) note(id);
        return;
      case kFlush:
        return session_.flush();
      case kCopyData:
        return copy_data(input_.byte());
      case kCopyDone:
        return session_.copy_done();
      case kCopyFail:
        return session_.copy_fail("no");
      case kSendAll:
        return send(SIZE_MAX);
      case kSendSome:
        return send(input_.byte());
      case kTerminate:
        return session_.terminate();
      case kTlsAnswer:
        return (void)session_.tls_answer();
      case kEof:
        return (void)session_.received_eof();
      case kMessage:
        return message();
      default:
        return feed(input_.take(op));
    }
  }

  const size_t before_;
  FuzzInput input_;
  Session session_;
  OutputCheck output_;
  size_t received_ = 0;
  size_t asked_ = 0;
  RequestId last_request_ = 0;
  RequestId last_answered_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Run(data, size).play();
  return 0;
}
