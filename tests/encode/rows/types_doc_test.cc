// docs/reference/types.md holds the table of conversions; it must be the one that the encoder has.

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include <pgsink/encode/rows/type_table.h>

#include <gtest/gtest.h>

namespace pgsink::encode {
namespace {

constexpr std::string_view kBegin =
    "<!-- the table: made by tests/encode/rows/types_doc_test.cc -->\n";
constexpr std::string_view kEnd = "<!-- the end of the table -->\n";

/// One row a target and rule, the sources that share it together.
std::string table() {
  std::string text = "| column type | source | accepted |\n|---|---|---|\n";
  for (size_t kind = 0; kind < kTargetKindCount; ++kind) {
    const auto target = static_cast<TargetKind>(kind);
    std::vector<std::pair<std::string_view, std::string>> rules;  // rule, sources
    for (const Conversion& pair : conversions()) {
      if (pair.target != target) continue;
      const auto known = std::find_if(rules.begin(), rules.end(),
                                      [&](const auto& r) { return r.first == pair.rule; });
      if (known == rules.end()) {
        rules.emplace_back(pair.rule, source_class_name(pair.source));
      } else {
        known->second += ", " + std::string(source_class_name(pair.source));
      }
    }
    for (const auto& [rule, sources] : rules) {
      text += "| " + std::string(target_kind_name(target)) + " | " + sources + " | " +
              std::string(rule) + " |\n";
    }
  }
  return text;
}

TEST(TypesDoc, ShowsTheTableOfTheEncoder) {
  std::ifstream file(PGSINK_SOURCE_DIR "/docs/reference/types.md");
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const size_t begin = text.find(kBegin);
  const size_t end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t from = begin + kBegin.size();
  const std::string shown = text.substr(from, end - from);
  if (shown == table()) return;
  const std::string made = PGSINK_BUILD_DIR "/types.md";
  std::ofstream(made) << text.substr(0, from) << table() << text.substr(end);
  ADD_FAILURE() << "docs/reference/types.md shows another table than the encoder has; it should be "
                << made;
}

}  // namespace
}  // namespace pgsink::encode
