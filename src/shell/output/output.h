#pragma once
// Output: standard output, for results. A failed write (a closed pipe, a full disk) is recorded and
// reported once, instead of ending the command in the middle of a load.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <pgproto/error.h>

namespace pgsink::shell {

class Output {
 public:
  explicit Output(std::FILE* file) : file_(file) {}
  /// Writes all of it, or records why not.
  void write(std::string_view text) {
    if (failed_ || text.empty()) return;
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) fail();
  }
  /// Flushes to the system. Fails if any write so far failed.
  pgproto::Status flush() {
    if (!failed_ && std::fflush(file_) != 0) fail();
    if (!failed_) return {};
    return pgproto::fail(
        pgproto::Errc::kFile,
        std::string("cannot write the results to standard output: ") + std::strerror(errno_));
  }

 private:
  void fail() {
    failed_ = true;
    errno_ = errno;
  }

  std::FILE* file_;
  bool failed_ = false;
  int errno_ = 0;  ///< Of the first failure.
};

}  // namespace pgsink::shell
