#include "shell/text/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace pgsink::shell {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::unexpected<pgproto::Error> failed(const std::string& what, const std::string& path) {
  return pgproto::fail(pgproto::Errc::kFile, what + " " + path + ": " + std::strerror(errno));
}

}  // namespace

pgproto::Result<std::string> read_text_file(const std::string& path, size_t bytes_max,
                                            std::string_view hint) {
  const File owned(path == "-" ? nullptr : std::fopen(path.c_str(), "rb"), std::fclose);
  std::FILE* file = path == "-" ? stdin : owned.get();
  if (file == nullptr) return failed("cannot read", path);
  std::string content;
  char part[1 << 16];
  for (size_t bytes = sizeof part; bytes == sizeof part;) {
    bytes = std::fread(part, 1, sizeof part, file);
    content.append(part, bytes);
    if (content.size() > bytes_max) {
      return pgproto::fail(
          pgproto::Errc::kFile,
          path + " has more than " + std::to_string(bytes_max) + " bytes" + std::string(hint));
    }
  }
  if (std::ferror(file) != 0) return failed("cannot read", path);
  return content;
}

pgproto::Result<std::string> read_script(const std::string& path) {
  constexpr size_t kScriptBytesMax = size_t{1} << 30;
  return read_text_file(path, kScriptBytesMax,
                        ", which is too much for a script: rows are read from a data file by a "
                        "query, for example with read_csv() or read_parquet()");
}

pgproto::Status write_text_file(const std::string& path, std::string_view content) {
  File file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (file == nullptr) return failed("cannot write", path);
  const bool written = std::fwrite(content.data(), 1, content.size(), file.get()) == content.size();
  if (!written || std::fclose(file.release()) != 0) return failed("cannot write", path);
  return {};
}

}  // namespace pgsink::shell
