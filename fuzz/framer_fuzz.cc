// Bytes in any pieces: the framer cuts the same messages, and holds no more than it was given.

#include <cstring>
#include <string>

#include <pgproto/framer.h>

#include "check.h"

namespace {

// All messages as one text, and the error that ended them.
std::string cut(std::string_view bytes, size_t piece, size_t message_bytes_max) {
  pgproto::Framer framer;
  std::string seen;
  size_t received = 0;
  while (!bytes.empty()) {
    const pgproto::MutableBytes space = framer.receive_space();
    FUZZ_CHECK(!space.empty());
    FUZZ_CHECK(framer.capacity() <= 4 * received + 64 * 1024);
    const size_t count = std::min({piece, bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), count);
    framer.received(count);
    received += count;
    bytes.remove_prefix(count);
    while (true) {
      const auto frame = framer.next(message_bytes_max);
      if (!frame) return seen + "!" + frame.error().message;
      if (!*frame) break;
      FUZZ_CHECK((*frame)->body.size() + 5 <= message_bytes_max);
      seen += (*frame)->type;
      seen += std::to_string((*frame)->body.size()) + ":";
      seen += pgproto::as_text((*frame)->body);
    }
  }
  return seen + "?" + std::string(pgproto::as_text(framer.buffered()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const size_t piece = 1 + input.byte();
  const size_t limit = 5 + (size_t{input.byte()} << 8);
  const std::string_view bytes = input.take_rest();
  FUZZ_CHECK(cut(bytes, SIZE_MAX, limit) == cut(bytes, piece, limit));
  return 0;
}
