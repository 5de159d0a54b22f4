// What README.md shows is what is tested.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = PGSINK_SOURCE_DIR;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The first block of README.md in that language.
std::string readme_block(const std::string& language) {
  const std::string readme = contents(kSource / "README.md");
  const std::string fence = "```" + language + "\n";
  const size_t begin = readme.find(fence);
  if (begin == std::string::npos) return "";
  const size_t end = readme.find("```\n", begin + fence.size());
  return readme.substr(begin + fence.size(), end - begin - fence.size());
}

TEST(Readme, ShowsTheProgramThatIsTested) {
  EXPECT_EQ(readme_block("cpp"), contents(kSource / "tests/consumer/main.cc"));
}

TEST(Readme, ShowsTheProjectThatIsTested) {
  EXPECT_EQ(readme_block("cmake"),
            contents(kSource / "tests/consumer/find_package/CMakeLists.txt"));
}

TEST(Readme, LinksOnlyToWhatIsThere) {
  for (const char* file : {"README.md", "CONTRIBUTING.md", "docs/explanation/architecture.md"}) {
    const std::string text = contents(kSource / file);
    const std::regex link(R"(\]\(([^):#]+)\))");
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      const fs::path target = (kSource / file).parent_path() / (*it)[1].str();
      EXPECT_TRUE(fs::exists(target)) << file << " links to " << target;
    }
  }
}

#ifdef PGSINK_COMMAND
TEST(Readme, ShowsAScriptThatLoadsItsRows) {
  PostgresServer& server = shared_server();
  server.create_role("user", "PASSWORD 'readme'");
  server.sql("DROP DATABASE IF EXISTS analytics");
  server.sql("CREATE DATABASE analytics OWNER \"user\"");
  server.sql(
      "CREATE TABLE clicks (id bigint PRIMARY KEY, kind text, happened_at timestamptz);"
      "ALTER TABLE clicks OWNER TO \"user\"",
      "analytics");

  // Only the port is another one than in the README.
  const std::string script = std::regex_replace(readme_block("sql"), std::regex("port = 5432"),
                                                "port = " + std::to_string(server.port()));
  const fs::path file = fs::path(PGSINK_BUILD_DIR) / "tests/consumer/readme.sql";
  fs::create_directories(file.parent_path());
  std::ofstream(file) << script;
  const std::string command =
      "PGSINK_SECRET_PASSWORD=readme '" PGSINK_COMMAND "' -f '" + file.string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(server.scalar("SELECT concat_ws(' ', count(*), count(DISTINCT id), max(id), min(kind), "
                          "max(happened_at) AT TIME ZONE 'UTC') FROM clicks",
                          "analytics"),
            "1000000 1000000 999999 click 2024-05-01 12:00:00");
}
#endif

}  // namespace
}  // namespace pgsink::test
