#pragma once
// What the tests of the command share: the command itself, a folder of files, the one server that
// stands at localhost:5432 of the namespace that these tests run in (main_test.cc).

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/postgres_server.h"
#include "support/run_command.h"

namespace pgsink::test {

/// Runs the command. ${secret:password} and ${secret:pg_password} are set.
inline Captured pgsink(std::vector<std::string> arguments, RunOptions options = {}) {
  arguments.insert(arguments.begin(), PGSINK_COMMAND);
  options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw");
  options.environment.emplace_back("PGSINK_SECRET_PG_PASSWORD", "s3cret'pw");
  return run_command(arguments, options);
}

/// Runs statements given as text on standard input.
inline Captured pgsink_input(const std::string& script, std::vector<std::string> arguments = {},
                             RunOptions options = {}) {
  options.input = script;
  return pgsink(std::move(arguments), options);
}

/// TemporaryFolder is a folder of its own that goes away with its files.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pgsink-test.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The server at localhost:5432 with the specification's database `analytics` and its users `user`
/// and `laminar`, who need their passwords (SCRAM) and own what they write to.
PostgresServer& analytics_server();

/// Makes a fresh table in analytics, owned by "user" and open to laminar. `definition` is "(a int,
/// …)".
void create_table(const std::string& name, const std::string& definition);

/// CREATE CONNECTION as the specification writes it, to a table, followed by more options.
std::string connection(const std::string& name, const std::string& table,
                       const std::string& more = "");

}  // namespace pgsink::test
