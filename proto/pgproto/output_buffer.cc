#include <algorithm>
#include <cstring>
#include <new>

#include <pgproto/output_buffer.h>

namespace pgproto {
namespace {

// Large enough for the startup and for small requests; it grows once for a lane's first chunk.
constexpr size_t kFirstOutputCapacity = 8 * 1024;
// Of what is needed, one part more is allocated: after a large message come small ones (Execute,
// Sync, …), the first of which would move it into a larger buffer, and the next large one may be a
// little larger. What is not used takes no memory.
constexpr size_t kSpareParts = 4;
// A larger buffer is freed once it is empty, so that one huge value does not stay allocated in each
// connection of a pool. Far above a lane's chunks, whose buffer is kept.
constexpr size_t kKeptOutputCapacityMax = 16 * 1024 * 1024;

}  // namespace

std::byte* OutputBuffer::reserve(size_t size) {
  const size_t unsent_size = end_ - begin_;
  if (data_ == nullptr || capacity_ - end_ < size) {
    const size_t needed = unsent_size + size;
    if (needed < size || needed + needed / kSpareParts < needed) return nullptr;
    if (data_ != nullptr && needed <= capacity_ && unsent_size <= begin_) {
      // The halves do not overlap, and at least as many bytes were sent as are moved: so moving
      // costs at most a constant per byte sent.
      std::memcpy(data_.get(), data_.get() + begin_, unsent_size);
    } else {
      const size_t capacity = std::max(
          {needed + needed / kSpareParts, capacity_ + capacity_ / 2, kFirstOutputCapacity});
      std::unique_ptr<std::byte[]> grown(new (std::nothrow) std::byte[capacity]);
      if (grown == nullptr) return nullptr;
      if (unsent_size > 0) std::memcpy(grown.get(), data_.get() + begin_, unsent_size);
      data_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = unsent_size;
  }
  reserved_ = size;
  return data_.get() + end_;
}

void OutputBuffer::append(size_t size) {
  PGPROTO_ASSERT(size <= reserved_);
  end_ += size;
  reserved_ = 0;
}

void OutputBuffer::mark_sent(size_t size) {
  PGPROTO_ASSERT(size <= end_ - begin_);
  begin_ += size;
  sent_position_ += size;
  // While reserved room is in use the offsets must not change: the caller is writing there.
  if (begin_ != end_ || reserved_ != 0) return;
  begin_ = end_ = 0;
  if (capacity_ > kKeptOutputCapacityMax) {
    data_.reset();
    capacity_ = 0;
  }
}

}  // namespace pgproto
