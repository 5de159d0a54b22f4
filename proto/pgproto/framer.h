#pragma once
// Framer cuts the received bytes into messages: one type byte, a length of four bytes that counts
// itself, a body. It owns the receive buffer.

#include <cstddef>
#include <memory>
#include <optional>

#include <pgproto/bytes.h>
#include <pgproto/error.h>

namespace pgproto {

/// Frame is one message as received, a view into the framer's buffer: valid until receive_space().
struct Frame {
  char type = 0;
  Bytes body;  ///< Without type and length.
};

/// Framer holds what was received and not yet returned. The buffer grows with the bytes that
/// arrived, never by the length that a message declares, and shrinks once a large message is done.
class Framer {
 public:
  Framer() = default;
  Framer(const Framer&) = delete;
  Framer& operator=(const Framer&) = delete;

  /// receive_space returns room for at least one byte, empty if there is no memory. Invalidates all
  /// frames returned.
  MutableBytes receive_space();
  /// received says how many bytes of the room were filled. REQUIRES: no more than it had.
  void received(size_t size);

  /// next returns the next message; nullopt if it is not complete. Fails with kProtocol on a length
  /// below four, with kLimit if the whole message would be larger than `message_bytes_max`.
  Result<std::optional<Frame>> next(size_t message_bytes_max);
  /// buffered is what was received and not returned.
  Bytes buffered() const { return {data_.get() + begin_, end_ - begin_}; }
  /// skip drops the first `size` buffered bytes. REQUIRES: there are as many.
  void skip(size_t size);
  /// capacity is the size of the buffer in bytes.
  size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace pgproto
