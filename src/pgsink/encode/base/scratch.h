#pragma once
// Scratch: bytes that grow and are reused; it holds computed values between measure and write.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include <pgproto/bytes.h>

namespace pgsink::encode {

/// Scratch keeps its capacity over clear(), so that a column allocates only in its first blocks.
class Scratch {
 public:
  void clear() { size_ = 0; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::byte* data() { return bytes_.get(); }
  const std::byte* data() const { return bytes_.get(); }
  pgproto::Bytes bytes_from(size_t at) const { return {bytes_.get() + at, size_ - at}; }
  void truncate(size_t size) { size_ = size; }

  /// Room for `bytes` more, uninitialised, counted as used.
  std::byte* grow(size_t bytes) {
    if (capacity_ - size_ < bytes) reserve_more(bytes);
    std::byte* const at = bytes_.get() + size_;
    size_ += bytes;
    return at;
  }
  /// Makes room for `capacity` bytes in all, so that to grow so far moves nothing.
  void reserve(size_t capacity) {
    if (capacity > capacity_) enlarge(capacity);
  }
  /// grow(), of which only `used` bytes are kept.
  void shrink_last(size_t grown, size_t used) { size_ -= grown - used; }

  template <std::integral T>
  void put(T value) {
    pgproto::store_be(grow(sizeof(T)), value);
  }
  void put_bytes(const void* from, size_t size) {
    if (size != 0) std::memcpy(grow(size), from, size);
  }
  void put_text(std::string_view text) { put_bytes(text.data(), text.size()); }

  /// Begins a field: leaves room for its length, to be passed to end_field().
  size_t begin_field() {
    grow(sizeof(int32_t));
    return size_;
  }
  void end_field(size_t begin) {
    pgproto::store_be(bytes_.get() + begin - sizeof(int32_t), static_cast<int32_t>(size_ - begin));
  }
  void put_null_field() { put<int32_t>(-1); }

 private:
  void reserve_more(size_t bytes) {
    size_t capacity = capacity_ < 4096 ? 4096 : capacity_;
    while (capacity - size_ < bytes) capacity *= 2;
    enlarge(capacity);
  }
  void enlarge(size_t capacity) {
    auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (size_ != 0) std::memcpy(larger.get(), bytes_.get(), size_);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }

  std::unique_ptr<std::byte[]> bytes_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace pgsink::encode
