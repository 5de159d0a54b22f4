#pragma once
// Reading the documentation: files of the source tree, and the blocks of code in them.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace pgsink::test {

inline std::string read_source(const std::filesystem::path& path) {
  std::ifstream file(PGSINK_SOURCE_DIR / path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The contents of the blocks ```language … ``` of a page, in their order.
inline std::vector<std::string> blocks_of(const std::string& page, const std::string& language) {
  const std::string fence = "```" + language + "\n";
  std::vector<std::string> blocks;
  for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    const size_t end = page.find("```\n", at);
    blocks.push_back(page.substr(at, end - at));
    at = end;
  }
  return blocks;
}

}  // namespace pgsink::test
