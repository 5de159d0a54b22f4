#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include <pgproto/framer.h>

namespace pgproto {
namespace {

constexpr size_t kHeaderBytes = 5;
// Room for many small messages in one read; the server sends 8 KiB at a time.
constexpr size_t kFirstInputCapacity = 16 * 1024;
// A larger buffer is freed as soon as it is empty, so that one large error text does not stay
// allocated in each connection of a pool.
constexpr size_t kKeptInputCapacityMax = 256 * 1024;
// With less room than this a read is not worth its system call: then the rest is moved to the
// front.
constexpr size_t kReadBytesMin = 4 * 1024;

}  // namespace

MutableBytes Framer::receive_space() {
  const size_t size = end_ - begin_;
  if (size == 0) {
    begin_ = end_ = 0;
    if (capacity_ > kKeptInputCapacityMax) {
      data_.reset();
      capacity_ = 0;
    }
  }
  if (capacity_ - end_ < kReadBytesMin) {
    if (capacity_ > 0 && size <= capacity_ / 2) {
      std::memmove(data_.get(), data_.get() + begin_, size);
    } else {
      const size_t capacity = std::max(kFirstInputCapacity, capacity_ * 2);
      std::unique_ptr<std::byte[]> grown(new (std::nothrow) std::byte[capacity]);
      if (grown == nullptr) return {};
      if (size > 0) std::memcpy(grown.get(), data_.get() + begin_, size);
      data_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = size;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void Framer::received(size_t size) {
  PGPROTO_ASSERT(size <= capacity_ - end_);
  end_ += size;
}

Result<std::optional<Frame>> Framer::next(size_t message_bytes_max) {
  const Bytes bytes = buffered();
  if (bytes.size() < kHeaderBytes) return std::nullopt;
  const char type = static_cast<char>(bytes[0]);
  // Unsigned, so that a negative length is a huge one and exceeds the limit.
  const size_t length = load_be<uint32_t>(bytes.data() + 1);
  if (length < 4) {
    return fail(Errc::kProtocol, "the server sent a message of length " + std::to_string(length) +
                                     ", less than the 4 bytes of the length itself; is this a "
                                     "PostgreSQL server?");
  }
  if (length + 1 > message_bytes_max) {
    return fail(Errc::kLimit, "the server announced a message of " + std::to_string(length) +
                                  " bytes; at most " + std::to_string(message_bytes_max) +
                                  " are accepted here");
  }
  if (bytes.size() < length + 1) return std::nullopt;
  begin_ += length + 1;
  return Frame{type, bytes.subspan(kHeaderBytes, length - 4)};
}

void Framer::skip(size_t size) {
  PGPROTO_ASSERT(size <= end_ - begin_);
  begin_ += size;
}

}  // namespace pgproto
