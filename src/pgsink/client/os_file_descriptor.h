#pragma once
// FileDescriptor: a descriptor of the operating system that is closed with its owner.

#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgsink {

/// describe_errno is the text of an errno value.
inline std::string describe_errno(int number) {
  return std::error_code(number, std::generic_category()).message();
}

/// FileDescriptor owns a descriptor. Movable.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    reset();
    fd_ = other.release();
    return *this;
  }
  ~FileDescriptor() { reset(); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace pgsink
