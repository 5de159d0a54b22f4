#pragma once
// DeadLetterFile: rejected rows as gzip NDJSON. Each append is a gzip member of its own and on disk
// when it returns; members one behind the other are one gzip file to every reader. What a crash
// left half written at the end is cut off when the file is opened: it was never acknowledged.

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
  /// A file of this size is renamed, to its name with the next free number behind it, and a new one
  /// begun.
  static constexpr uint64_t kFileBytesMax = uint64_t{64} << 20;

  /// Opens or creates the file, readable by its owner only, and locks it against other processes.
  /// Fails with kFile; also if what is there is no gzip file.
  static Result<std::unique_ptr<DeadLetterFile>> open(std::string path, Env& env,
                                                      uint64_t file_bytes_max = kFileBytesMax);
  /// Appends letters; after an error it fails for ever, since what is in the file is not known.
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
