#pragma once
// The specification's SQL blocks, as they are written.

#include <stdexcept>
#include <string>
#include <vector>

#include "shell/shell_support.h"

namespace pgsink::test {

inline std::string specification() {
  return read_file(PGSINK_SOURCE_DIR "/tests/shell/spec/postgresql-sink.md");
}

/// The first ```sql block below a heading, exactly as it is written.
inline std::string block(const std::string& heading) {
  const std::string text = specification();
  const size_t section = text.find("\n### " + heading + "\n");
  if (section == std::string::npos) throw std::runtime_error("no section " + heading);
  const size_t begin = text.find("```sql\n", section) + 7;
  return text.substr(begin, text.find("\n```", begin) + 1 - begin);
}

/// The headings of all blocks, in their order. Throws if a heading has two, or none.
inline std::vector<std::string> block_headings() {
  const std::string text = specification();
  std::vector<std::string> headings;
  for (size_t at = text.find("```sql\n"); at != std::string::npos;
       at = text.find("```sql\n", at + 1)) {
    const size_t begin = text.rfind("\n### ", at) + 5;
    headings.push_back(text.substr(begin, text.find('\n', begin) - begin));
    if (headings.size() > 1 && headings.back() == headings[headings.size() - 2]) {
      throw std::runtime_error("two blocks below " + headings.back());
    }
  }
  return headings;
}

}  // namespace pgsink::test
