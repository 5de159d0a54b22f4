// third_party/fetch_duckdb, with an npm and a curl that deliver something else than what is pinned.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class FetchDuckDb : public testing::Test {
 protected:
  /// A program of that name, first in the PATH.
  void fake(const std::string& name, const std::string& body) {
    const std::string file = folder_.write(name, "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(file, std::filesystem::perms(0755));
  }

  Captured fetch(const std::string& from = "") {
    RunOptions options;
    options.environment = {{"PATH", folder_.path() + ":/usr/bin:/bin"},
                           {"PGSINK_DUCKDB_FROM", from}};
    return run_command({PGSINK_SOURCE_DIR "/third_party/fetch_duckdb", target()}, options);
  }

  std::string target() const { return folder_.path() + "/download"; }

  void expect_nothing_left() const {
    EXPECT_TRUE(std::filesystem::is_empty(target())) << "something was installed or left behind";
  }

  TemporaryFolder folder_;
};

TEST_F(FetchDuckDb, WrongPackageIsRefused) {
  fake("npm", "echo evil > libduckdb.so; tar czf package.tgz libduckdb.so; rm libduckdb.so");
  const auto run = fetch("npm");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err,
              AllOf(HasSubstr("wrong sha512 checksum"), HasSubstr("Nothing was installed")));
  expect_nothing_left();
}

TEST_F(FetchDuckDb, WrongArchiveIsRefused) {
  fake("npm", "exit 1");
  fake("curl", "while [ \"$1\" != --output ]; do shift; done; echo evil > \"$2\"");
  const auto run = fetch();
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("npm could not fetch"), HasSubstr("wrong sha256 checksum"),
                             HasSubstr("set DUCKDB_ROOT"), HasSubstr("-DPGSINK_SHELL=OFF")));
  expect_nothing_left();
}

TEST_F(FetchDuckDb, WhatIsThereIsNotFetchedAgain) {
  fake("npm", "echo fetched >&2; exit 1");
  fake("curl", "echo fetched >&2; exit 1");
  for (const char* part : {"include/duckdb.h", "lib/libduckdb.so"}) {
    const std::filesystem::path file = target() + "/duckdb-1.4.4/" + part;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << "here";
  }
  const auto run = fetch();
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.out, target() + "/duckdb-1.4.4\n");
  EXPECT_EQ(run.err, "");
}

}  // namespace
}  // namespace pgsink::test
