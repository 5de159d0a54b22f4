#include "shell/output/trace_file.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgsink::shell {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Result;

Result<std::unique_ptr<TraceFile>> TraceFile::create(const std::string& path) {
  constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOwnerOnly);
  std::FILE* const file = descriptor < 0 ? nullptr : ::fdopen(descriptor, "w");
  if (file == nullptr) {
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    return fail(Errc::kFile, "--trace " + path + ": " + std::strerror(error));
  }
  return std::unique_ptr<TraceFile>(new TraceFile(file));
}

TraceFile::~TraceFile() { std::fclose(file_); }

TraceCallback TraceFile::callback() {
  return [this](std::string_view endpoint) -> TraceLines {
    const uint64_t connection = ++connections_;
    write(connection, "connects to " + std::string(endpoint));
    return [this, connection](std::string_view line) { write(connection, line); };
  };
}

void TraceFile::write(uint64_t connection, std::string_view line) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char time[32];
  const size_t length = std::strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &parts);
  const std::lock_guard lock(mutex_);
  std::fprintf(file_, "%.*s.%06ldZ %llu ", static_cast<int>(length), time, now.tv_nsec / 1000,
               static_cast<unsigned long long>(connection));
  std::fwrite(line.data(), 1, line.size(), file_);
  std::fputc('\n', file_);
  std::fflush(file_);  // A trace is also read while the command hangs, and after it was killed.
}

}  // namespace pgsink::shell
