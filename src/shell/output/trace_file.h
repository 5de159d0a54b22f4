#pragma once
// TraceFile: the file of --trace.

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <pgproto/error.h>

#include <pgsink/options.h>

namespace pgsink::shell {

/// TraceFile writes the messages of all connections into one file, a line each: the time in UTC,
/// the number of the connection in the order of opening, and the line as TraceLines has it. Only
/// its owner may read the file. Thread-safe.
class TraceFile {
 public:
  /// Replaces the file. Fails with kFile.
  static pgproto::Result<std::unique_ptr<TraceFile>> create(const std::string& path);
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  /// For SinkOptions::on_trace. The file must outlive what calls it.
  TraceCallback callback();

 private:
  explicit TraceFile(std::FILE* file) : file_(file) {}
  void write(uint64_t connection, std::string_view line);

  std::mutex mutex_;
  std::FILE* file_;
  std::atomic<uint64_t> connections_ = 0;
};

}  // namespace pgsink::shell
