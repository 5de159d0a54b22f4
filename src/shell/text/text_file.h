#pragma once
// Files read and written whole.

#include <cstddef>
#include <string>
#include <string_view>

#include <pgproto/error.h>

namespace pgsink::shell {

/// The content of a file, or of standard input for "-". Fails with kFile, also if it has more than
/// `bytes_max` bytes; then `hint` ends the message.
pgproto::Result<std::string> read_text_file(const std::string& path, size_t bytes_max,
                                            std::string_view hint = "");
/// A script, of at most 1 GiB.
pgproto::Result<std::string> read_script(const std::string& path);
/// Replaces the file's content.
pgproto::Status write_text_file(const std::string& path, std::string_view content);

}  // namespace pgsink::shell
