// What README.md shows is what is tested. The script that it shows runs in
// tests/shell/walkthrough_test.cc.

#include <string>

#include <gtest/gtest.h>

#include "consumer/markdown.h"

namespace pgsink::test {
namespace {

// The first block of README.md in that language.
std::string readme_block(const std::string& language) {
  const auto blocks = blocks_of(read_source("README.md"), language);
  return blocks.empty() ? "" : blocks.front();
}

TEST(Readme, ShowsTheProgramThatIsTested) {
  EXPECT_EQ(readme_block("cpp"), read_source("tests/consumer/main.cc"));
}

TEST(Readme, ShowsTheProjectThatIsTested) {
  EXPECT_EQ(readme_block("cmake"), read_source("tests/consumer/find_package/CMakeLists.txt"));
}

TEST(Readme, ShowsTheFigureThatWasMeasured) {
  const std::string readme = read_source("README.md");
  const std::string page = read_source("docs/reference/benchmarks.md");
  const std::regex figure(R"(\*\*([0-9,]+) rows a second\*\*[^.]*, ([0-9.]+) times)");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(readme, found, figure));
  EXPECT_TRUE(
      std::regex_search(page, std::regex("\\| pgsink, in_flight_max = 16 \\| " + found[1].str() +
                                         " \\|.* " + found[2].str() + " \\|\n")))
      << found[0];
}

}  // namespace
}  // namespace pgsink::test
