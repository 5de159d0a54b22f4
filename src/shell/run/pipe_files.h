#pragma once
// Files that can be read only once: pipes, standard input among them, and devices. The engine opens
// a file to find its types and again to read its rows; of a pipe it would find nothing the second
// time, and wait for a writer or say that there are no rows.

#include <optional>
#include <string>
#include <string_view>

#include <pgsink/ddl.h>

namespace pgsink::shell {

/// PipeFile is the place of a file's name in a statement.
struct PipeFile {
  std::string path;
  SourcePosition place;
  size_t size = 0;
};

/// find_pipe_file finds a file that a statement for the engine reads, as FROM 'name' or an argument
/// of read_csv('name') and its kin, and that is a pipe or a device. Nullopt if there is none.
std::optional<PipeFile> find_pipe_file(std::string_view statement, SourcePosition begin);

}  // namespace pgsink::shell
