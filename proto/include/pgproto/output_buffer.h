#pragma once
// OutputBuffer holds the bytes that wait to be sent, in one piece. They are appended at the end and
// sent from the front. When everything is sent, both offsets return to 0, so that in the steady
// state (write a chunk, send all of it) one allocation is reused and no byte is moved.

#include <cstddef>
#include <cstdint>
#include <memory>

#include <pgproto/bytes.h>

namespace pgproto {

/// OutputBuffer is a contiguous queue of bytes that is never zero-filled. Not thread-safe.
class OutputBuffer {
 public:
  OutputBuffer() = default;
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;

  /// reserve returns room for `size` bytes after what is written, nullptr without memory. Valid
  /// until the next call of reserve(), append() or clear(). It moves the unsent bytes only if they
  /// do not fit otherwise.
  std::byte* reserve(size_t size);
  /// append adds the first `size` bytes of the room given by reserve(). REQUIRES: as much was
  /// reserved.
  void append(size_t size);
  /// release gives up the room of a reserve() without appending.
  void release() { reserved_ = 0; }

  /// unsent is all that was appended and not marked as sent.
  Bytes unsent() const { return {data_.get() + begin_, end_ - begin_}; }
  /// mark_sent drops the first `size` bytes of unsent(). REQUIRES: there are as many.
  void mark_sent(size_t size);
  /// appended_position counts all bytes ever appended.
  uint64_t appended_position() const { return sent_position_ + (end_ - begin_); }
  /// sent_position counts all bytes ever marked as sent.
  uint64_t sent_position() const { return sent_position_; }
  /// capacity is the size of the allocation in bytes.
  size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t reserved_ = 0;
  uint64_t sent_position_ = 0;
};

}  // namespace pgproto
