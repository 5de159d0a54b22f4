// The documentation holds together: links lead somewhere, every page is in the index, the paths and
// the programs that pages show exist.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "consumer/markdown.h"

namespace pgsink::test {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = PGSINK_SOURCE_DIR;

/// All pages, as paths below the source tree.
std::vector<fs::path> pages() {
  std::vector<fs::path> found{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"};
  for (const auto& entry : fs::recursive_directory_iterator(kSource / "docs")) {
    if (entry.path().extension() == ".md") found.push_back(fs::relative(entry.path(), kSource));
  }
  std::ranges::sort(found);
  return found;
}

/// The lines of a page outside of blocks of code.
std::vector<std::string> prose(const std::string& page) {
  std::vector<std::string> lines;
  std::istringstream text(page);
  bool code = false;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("```")) {
      code = !code;
      lines.emplace_back();
    } else {
      lines.push_back(code ? "" : line);
    }
  }
  return lines;
}

/// What GitHub makes of a heading: lower case, blanks as hyphens, no punctuation.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '_' || c == '-') {
      anchor += static_cast<char>(std::tolower(byte));
    } else if (c == ' ') {
      anchor += '-';
    }
  }
  return anchor;
}

std::set<std::string> anchors_of(const fs::path& page) {
  std::set<std::string> anchors;
  for (const std::string& line : prose(read_source(page))) {
    const size_t text = line.find_first_not_of('#');
    if (line.starts_with('#') && text != std::string::npos && line[text] == ' ') {
      anchors.insert(anchor_of(line.substr(text + 1)));
    }
  }
  return anchors;
}

TEST(Docs, LinksLeadSomewhere) {
  const std::regex link(R"(\]\(([^)\s]+)\))");
  size_t anchors = 0;
  for (const fs::path& page : pages()) {
    for (const std::string& line : prose(read_source(page))) {
      for (std::sregex_iterator it(line.begin(), line.end(), link), end; it != end; ++it) {
        const std::string target = (*it)[1];
        if (target.find("://") != std::string::npos) continue;
        const size_t hash = std::min(target.find('#'), target.size());
        const fs::path file =
            hash == 0 ? page : (page.parent_path() / target.substr(0, hash)).lexically_normal();
        EXPECT_TRUE(fs::exists(kSource / file)) << page << " links to " << target;
        if (hash == target.size() || file.extension() != ".md") continue;
        ++anchors;
        EXPECT_TRUE(anchors_of(file).contains(target.substr(hash + 1)))
            << page << " links to " << target << ", and there is no such heading";
      }
    }
  }
  EXPECT_GT(anchors, 50U);
}

TEST(Docs, TheIndexNamesEveryPage) {
  const std::string index = read_source("docs/README.md");
  for (const fs::path& page : pages()) {
    const std::string below_docs = page.lexically_relative("docs").string();
    if (below_docs.starts_with("..") || below_docs == "README.md") continue;
    EXPECT_NE(index.find("(" + below_docs + ")"), std::string::npos) << page;
  }
}

TEST(Docs, TheTutorialShowsTheProgramThatIsTested) {
  const std::string program = read_source("examples/embed_structs.cc");
  const auto blocks = blocks_of(read_source("docs/tutorials/first-program.md"), "cpp");
  EXPECT_GT(blocks.size(), 4U);
  for (const std::string& block : blocks) {
    EXPECT_NE(program.find(block), std::string::npos) << block;
  }
}

TEST(Docs, ThePageForCShowsTheProgramThatIsTested) {
  const std::string page = read_source("docs/how-to/c.md");
  for (const auto& [language, file] : {std::pair("c", "main.c"), {"cmake", "CMakeLists.txt"}}) {
    const std::string program = read_source(fs::path("tests/consumer/c") / file);
    const auto blocks = blocks_of(page, language);
    EXPECT_GT(blocks.size(), 0U);
    std::istringstream lines;
    for (const std::string& block : blocks) {
      lines = std::istringstream(block);
      for (std::string line; std::getline(lines, line);) {
        EXPECT_NE(program.find(line + "\n"), std::string::npos) << line;
      }
    }
  }
}

// A path of the source tree or of src/pgsink: `lane/lane.cc`, `src/include/pgsink/options.h`.
TEST(Docs, TheArchitectureNamesFilesThatExist) {
  const std::regex path(R"(`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:h|cc))`)");
  const std::regex folder(R"(`((?:src|tests|proto|fuzz|bench|docs)/[a-z_/0-9]+)`)");
  size_t named = 0;
  const auto exists = [&](const std::string& name) {
    ++named;
    const bool found = fs::exists(kSource / name) || fs::exists(kSource / "src/pgsink" / name) ||
                       fs::exists(kSource / "src" / name) || fs::exists(kSource / "proto" / name);
    EXPECT_TRUE(found) << "architecture.md names " << name;
  };
  for (const std::string& line : prose(read_source("docs/explanation/architecture.md"))) {
    for (const std::regex& kind : {path, folder}) {
      for (std::sregex_iterator it(line.begin(), line.end(), kind), end; it != end; ++it) {
        exists((*it)[1]);
      }
    }
  }
  EXPECT_GT(named, 40U);
}

// What one cannot read at a glance holds more than one thing.
TEST(Docs, TheArchitectureHasShortParagraphs) {
  constexpr size_t kLinesMax = 8;
  size_t lines = 0;
  for (const std::string& line : prose(read_source("docs/explanation/architecture.md"))) {
    const bool text = !line.empty() && line[0] != '|' && line[0] != '#';
    const bool begins =
        line.starts_with("- ") || std::regex_search(line, std::regex("^[0-9]+\\. "));
    lines = !text ? 0 : begins ? 1 : lines + 1;
    EXPECT_LE(lines, kLinesMax) << line;
  }
}

}  // namespace
}  // namespace pgsink::test
