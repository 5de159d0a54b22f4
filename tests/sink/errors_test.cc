// docs/reference/errors.md has a section for every error code, and for nothing else.

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <pgproto/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsink {
namespace {

using ::testing::HasSubstr;

std::string read_source(const std::string& path) {
  const std::ifstream file(std::string(PGSINK_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The numbers of enum Errc, as the header gives them.
std::set<std::string> codes() {
  const std::string header = read_source("proto/include/pgproto/error.h");
  const size_t begin = header.find("enum class Errc");
  const std::string body = header.substr(begin, header.find("};", begin) - begin);
  std::set<std::string> found;
  const std::regex row(R"((k[A-Za-z]+) = ([0-9]{4}),)");
  for (auto it = std::sregex_iterator(body.begin(), body.end(), row); it != std::sregex_iterator();
       ++it) {
    EXPECT_TRUE(found.insert("PGS-" + (*it)[2].str()).second) << "given twice: " << (*it)[0];
  }
  return found;
}

/// Each section of docs/reference/errors.md by its number.
std::map<std::string, std::string> sections() {
  std::istringstream page(read_source("docs/reference/errors.md"));
  std::map<std::string, std::string> found;
  std::string line;
  std::string number;
  while (std::getline(page, line)) {
    if (line.starts_with("## ")) {
      number = line.substr(3, 8);
      EXPECT_GT(line.size(), 12U) << "a section needs a title: " << line;
      EXPECT_TRUE(found.emplace(number, "").second) << "two sections " << number;
    } else if (!number.empty()) {
      found[number] += line + "\n";
    }
  }
  return found;
}

TEST(ErrorCatalogue, HasASectionForEveryCodeAndNoOther) {
  std::set<std::string> documented;
  for (const auto& [number, text] : sections()) documented.insert(number);
  const std::set<std::string> numbers = codes();
  EXPECT_EQ(documented, numbers);
  EXPECT_TRUE(numbers.contains(pgproto::errc_name(pgproto::Errc::kSyntax)));
}

TEST(ErrorCatalogue, EverySectionSaysWhatItMeansWhyAndWhatToDo) {
  for (const auto& [number, text] : sections()) {
    for (const char* part :
         {"\n**Meaning.** ", "\n**Causes.** ", "\n**What to do.** ", "\n**Example.** "}) {
      EXPECT_THAT(text, HasSubstr(part)) << number;
    }
  }
}

}  // namespace
}  // namespace pgsink
