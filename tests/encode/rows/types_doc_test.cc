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
constexpr std::string_view kPairsBegin =
    "<!-- the pairs: made by tests/encode/rows/types_doc_test.cc -->\n";
constexpr std::string_view kPairsEnd = "<!-- the end of the pairs -->\n";

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

/// What becomes of a pair: "=" every value arrives, "c" what the other table says, "–" an error.
std::string_view mark(SourceClass source, TargetKind target) {
  const auto pairs = conversions();
  const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const Conversion& pair) {
    return pair.source == source && pair.target == target;
  });
  if (found == pairs.end()) return "–";
  return found->rule == "every value" ? "=" : "c";
}

/// One row a target, one column a source.
std::string pairs() {
  constexpr size_t kSources = static_cast<size_t>(SourceClass::kMap) + 1;
  std::string text = "| column type |";
  std::string line = "|---|";
  for (size_t source = 1; source < kSources; ++source) {
    text.append(" ").append(source_class_name(static_cast<SourceClass>(source))).append(" |");
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (size_t kind = 0; kind < kTargetKindCount; ++kind) {
    const auto target = static_cast<TargetKind>(kind);
    text.append("| ").append(target_kind_name(target)).append(" |");
    for (size_t source = 1; source < kSources; ++source) {
      text.append(" ").append(mark(static_cast<SourceClass>(source), target)).append(" |");
    }
    text += "\n";
  }
  return text;
}

/// Puts `made` between the two marks; false if one of them is missing.
bool replace_between(std::string& text, std::string_view begin, std::string_view end,
                     const std::string& made) {
  const size_t from = text.find(begin);
  const size_t to = text.find(end);
  if (from == std::string::npos || to == std::string::npos) return false;
  text.replace(from + begin.size(), to - from - begin.size(), made);
  return true;
}

TEST(TypesDoc, ShowsTheTablesOfTheEncoder) {
  std::ifstream file(PGSINK_SOURCE_DIR "/docs/reference/types.md");
  std::stringstream content;
  content << file.rdbuf();
  std::string wanted = content.str();
  ASSERT_TRUE(replace_between(wanted, kBegin, kEnd, table()));
  ASSERT_TRUE(replace_between(wanted, kPairsBegin, kPairsEnd, pairs()));
  if (wanted == content.str()) return;
  const std::string made = PGSINK_BUILD_DIR "/types.md";
  std::ofstream(made) << wanted;
  ADD_FAILURE() << "docs/reference/types.md shows other tables than the encoder has; it should be "
                << made;
}

}  // namespace
}  // namespace pgsink::encode
