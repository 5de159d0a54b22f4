#pragma once
// DeadLetterFile: rejected rows as gzip NDJSON. Each append is a separate gzip member and is on
// disk when it returns; consecutive members are one gzip file to every reader. An incomplete end
// that a crash left is cut off when the file is opened: it was never acknowledged.

#include <memory>
#include <span>
#include <string>

#include <pgsink/dead_letter.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// letter_as_json is one line of the file, without its end.
std::string letter_as_json(const DeadLetter& letter);

class DeadLetterFile {
 public:
  /// A file of this size is renamed, to its name followed by the next free number, and a new one is
  /// started.
  static constexpr uint64_t kFileBytesMax = uint64_t{64} << 20;

  /// Opens or creates the file, readable by its owner only, and locks it against other processes.
  /// Fails with kFile; also if the existing file is not a gzip file.
  static Result<std::unique_ptr<DeadLetterFile>> open(std::string path, Env& env,
                                                      uint64_t file_bytes_max = kFileBytesMax);
  /// Appends dead letters. After an error it always fails, because the file's content is unknown
  /// then.
  Status append(std::span<const DeadLetter> letters);

 private:
  DeadLetterFile(std::string path, Env& env, uint64_t file_bytes_max)
      : path_(std::move(path)), env_(env), file_bytes_max_(file_bytes_max) {}
  Status open_file();
  Status rotate();

  const std::string path_;
  Env& env_;
  const uint64_t file_bytes_max_;
  std::unique_ptr<OutputFile> file_;
  uint64_t bytes_ = 0;
};

}  // namespace pgsink
