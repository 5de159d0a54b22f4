// A user's project of a few lines, built in every way the library can be had, run against a real
// server. The program is main.cc.

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = PGSINK_SOURCE_DIR;
const fs::path kConsumer = kSource / "tests/consumer";
const fs::path kWork = fs::path(PGSINK_BUILD_DIR) / "tests/consumer/work";

// Two of the projects compile the library too: fast, for only that it works is looked at.
const std::string kFastBuild =
    "-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG= -DPGSINK_FAST_BUILD=ON -DPGSINK_WERROR=ON ";

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> chunk{};
  for (size_t size; (size = fread(chunk.data(), 1, chunk.size(), pipe)) > 0;) {
    outcome.output.append(chunk.data(), size);
  }
  outcome.status = pclose(pipe);
  return outcome;
}

std::string quoted(const fs::path& path) { return "'" + path.string() + "'"; }

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Configures and builds the project tests/consumer/NAME; the folder with the program "consumer".
fs::path build(const std::string& name, const std::string& options) {
  const fs::path folder = kWork / name;
  fs::remove_all(folder);
  const Outcome configured =
      run("cmake -G Ninja -S " + quoted(kConsumer / name) + " -B " + quoted(folder) +
          (name == "c" ? " " : " -DCMAKE_CXX_COMPILER='" PGSINK_CXX_COMPILER "' ") + kFastBuild +
          options);
  EXPECT_EQ(configured.status, 0) << configured.output;
  const Outcome built = run("cmake --build " + quoted(folder));
  EXPECT_EQ(built.status, 0) << built.output;
  return folder;
}

// Runs the program on a table of its own and looks at what the server then holds.
void expect_loads_its_rows(const fs::path& program,
                           const std::string& rows = "1 10.25 XETRA, 2 99.50 NYSE") {
  PostgresServer& server = shared_server();
  const std::string database = server.create_database("consumer");
  server.sql("CREATE TABLE trades (id bigint PRIMARY KEY, price numeric(10,2), venue text)",
             database);
  const Outcome ran = run(quoted(program) + " '" + server.conninfo(database, Via::kTcp) + "'");
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_EQ(server.scalar("SELECT string_agg(concat_ws(' ', id, price, venue), ', ' ORDER BY id) "
                          "FROM trades",
                          database),
            rows);
}

// Installs into one prefix and moves it: what was installed must not remember where.
const fs::path& moved_prefix() {
  static const fs::path kMoved = [] {
    const fs::path installed = kWork / "installed", moved = kWork / "moved somewhere else";
    fs::remove_all(installed);
    fs::remove_all(moved);
    const Outcome outcome =
        run("cmake --install '" PGSINK_BUILD_DIR "' --component Development --prefix " +
            quoted(installed));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    fs::rename(installed, moved);
    return moved;
  }();
  return kMoved;
}

fs::path pkg_config_folder() {
  for (const auto& entry : fs::recursive_directory_iterator(moved_prefix())) {
    if (entry.path().filename() == "pgsink.pc") return entry.path().parent_path();
  }
  return {};
}

TEST(Consumer, InstalledFilesRememberNoFolder) {
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(moved_prefix())) {
    // What is compiled for a debugger knows its sources.
    const std::string name = entry.path().filename().string();
    const bool compiled = name.ends_with(".a") || name.find(".so") != std::string::npos;
    if (!entry.is_regular_file() || compiled) continue;
    ++files;
    const std::string text = contents(entry.path());
    EXPECT_EQ(text.find(kSource.string()), std::string::npos) << entry.path();
    EXPECT_EQ(text.find(PGSINK_BUILD_DIR), std::string::npos) << entry.path();
  }
  EXPECT_GT(files, 10u);
}

/// Paths of the files below a folder, relative to it.
std::set<std::string> files_below(const fs::path& folder) {
  std::set<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.insert(entry.path().lexically_relative(folder).string());
  }
  return paths;
}

TEST(Consumer, InstallsNoPrivateHeader) {
  std::set<std::string> wanted = files_below(kSource / "proto/include");
  wanted.merge(files_below(kSource / "src/include"));
  EXPECT_TRUE(wanted.contains("pgsink/sink.h"));
  EXPECT_EQ(files_below(moved_prefix() / "include"), wanted);
}

TEST(Consumer, FindPackageFromAMovedPrefixLoadsItsRows) {
  expect_loads_its_rows(build("find_package", "-DCMAKE_PREFIX_PATH=" + quoted(moved_prefix())) /
                        "consumer");
}

TEST(Consumer, AddSubdirectoryLoadsItsRows) {
  expect_loads_its_rows(build("add_subdirectory", "-DPGSINK_SOURCE=" + quoted(kSource)) /
                        "consumer");
}

TEST(Consumer, FetchContentLoadsItsRows) {
  expect_loads_its_rows(build("fetch_content", "-DPGSINK_SOURCE=" + quoted(kSource)) / "consumer");
}

TEST(Consumer, SubprojectBuildsNeitherTestsNorCommand) {
  const fs::path folder = kWork / "add_subdirectory";
  EXPECT_TRUE(fs::exists(folder / "pgsink"));
  EXPECT_FALSE(fs::exists(folder / "pgsink/tests"));
  EXPECT_FALSE(fs::exists(folder / "pgsink/src/shell"));
}

TEST(Consumer, AProgramInCFindsThePackage) {
  expect_loads_its_rows(build("c", "-DCMAKE_PREFIX_PATH=" + quoted(moved_prefix())) / "consumer",
                        "1 10.25, 2 99.50");
}

TEST(Consumer, AProgramInCFindsTheLibraryByPkgConfig) {
  fs::create_directories(kWork);
  const fs::path program = kWork / "c_with_pkg_config", pc = pkg_config_folder();
  const Outcome built = run(
      "eval cc -std=c11 -Wall -Wextra -pedantic -Werror " + quoted(kConsumer / "c/main.c") +
      " -o " + quoted(program) + " $(PKG_CONFIG_PATH=" + quoted(pc) +
      " pkg-config --cflags --libs pgsink_c) \"-Wl,-rpath,'" + pc.parent_path().string() + "'\"");
  EXPECT_EQ(built.status, 0) << built.output;
  expect_loads_its_rows(program, "1 10.25, 2 99.50");
}

// pkg-config knows no C++ standard and marks no folder as a system's: so our headers are compiled
// as the user's own code, with the user's warnings.
TEST(Consumer, PkgConfigStaticLoadsItsRowsWithoutAWarning) {
  fs::create_directories(kWork);
  const fs::path program = kWork / "with_pkg_config";
  const fs::path pc = pkg_config_folder();
  const Outcome built =
      run("eval '" PGSINK_CXX_COMPILER "' -std=c++23 -Wall -Wextra -Wpedantic -Wshadow -Werror " +
          quoted(kConsumer / "main.cc") + " -o " + quoted(program) +
          " $(PKG_CONFIG_PATH=" + quoted(pc) + " pkg-config --static --cflags --libs pgsink)");
  EXPECT_EQ(built.status, 0) << built.output;
  expect_loads_its_rows(program);
}

TEST(Consumer, OtherMinorVersionIsRefused) {
  const fs::path folder = kWork / "other_version";
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::ofstream(folder / "CMakeLists.txt")
      << "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES NONE)\n"
         "find_package(pgsink 0.0 CONFIG QUIET)\n"
         "if(pgsink_FOUND)\n  message(FATAL_ERROR found)\nendif()\n";
  const Outcome outcome = run("cmake -S " + quoted(folder) + " -B " + quoted(folder / "build") +
                              " -DCMAKE_PREFIX_PATH=" + quoted(moved_prefix()));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

}  // namespace
}  // namespace pgsink::test
