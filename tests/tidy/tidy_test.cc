// The project's rules, checked against the tree as it stands, and each against a line that it must
// find: a rule that cannot fail is no rule.

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tidy/rooms.h"
#include "tidy/rules.h"
#include "tidy/words.h"

namespace tidy {
namespace {

std::string listed(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += "\n" + finding.path + ":" + std::to_string(finding.line) + ": " + finding.what;
  }
  return text;
}

const std::vector<SourceFile>& tree() {
  static const std::vector<SourceFile> kTree = read_tree(PGSINK_SOURCE_DIR);
  return kTree;
}

class TidyRule : public testing::TestWithParam<Rule> {};

TEST_P(TidyRule, FindsWhatItForbids) {
  const Rule& rule = GetParam();
  EXPECT_FALSE(apply(rule, source_file(std::string(rule.guilty_path), rule.guilty)).empty());
}

TEST_P(TidyRule, LetsPassWhatItAllows) {
  const Rule& rule = GetParam();
  const auto found = apply(rule, source_file(std::string(rule.innocent_path), rule.innocent));
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST_P(TidyRule, HoldsInTheTree) {
  const Rule& rule = GetParam();
  std::vector<Finding> found;
  for (const SourceFile& file : tree()) {
    const auto more = apply(rule, file);
    found.insert(found.end(), more.begin(), more.end());
  }
  EXPECT_TRUE(found.empty()) << rule.why << listed(found);
}

INSTANTIATE_TEST_SUITE_P(Table, TidyRule, testing::ValuesIn(rules().begin(), rules().end()),
                         [](const auto& rule) { return std::string(rule.param.name); });

TEST(Tidy, NamesEachRuleOnce) {
  std::set<std::string_view> names;
  for (const Rule& rule : rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_FALSE(rule.why.empty()) << rule.name;
    EXPECT_NE(rule.words.empty(), rule.check == nullptr) << rule.name;
  }
}

TEST(Tidy, ReadsTheWholeTree) {
  std::set<std::string> paths;
  for (const SourceFile& file : tree()) paths.insert(file.path);
  EXPECT_TRUE(paths.contains("CMakeLists.txt"));
  EXPECT_TRUE(paths.contains("proto/include/pgproto/session.h"));
  EXPECT_TRUE(paths.contains("src/include/pgsink/sink.h"));
  EXPECT_TRUE(paths.contains("tests/tidy/tidy_test.cc"));
  EXPECT_TRUE(paths.contains(".ci/run"));
  for (const std::string& path : paths) EXPECT_FALSE(path.starts_with("build/")) << path;
}

TEST(Tidy, FilesAndFunctionsStayShort) {
  std::vector<Ratchet> ratchets;
  for (const SourceFile& file : tree()) {
    if (file.path == "tests/tidy/ratchet.txt") ratchets = read_ratchets(file);
  }
  const auto found = check_lengths(tree(), ratchets);
  EXPECT_TRUE(found.empty()) << listed(found);
}

// ---- the rooms --------------------------------------------------------------------------------

/// A file of the room `from` that includes something of the room `to`.
SourceFile file_that_includes(const Room& from, const Room& to) {
  return source_file(std::string(from.folders[0]) + "/a.cc",
                     "#include \"" + std::string(to.name) + "/a.h\"\n");
}

TEST(Rooms, ComeAfterTheRoomsThatTheyInclude) {
  std::set<std::string_view> before;
  for (const Room& room : rooms()) {
    for (const std::string_view below : room.below) {
      EXPECT_TRUE(before.contains(below)) << room.name << " may include " << below;
    }
    EXPECT_TRUE(before.insert(room.name).second) << room.name << " has two rows";
  }
}

TEST(Rooms, IncludeOnlyWhatTheirRowNames) {
  for (const Room& from : rooms()) {
    for (const Room& to : rooms()) {
      const bool allowed = &from == &to || std::find(from.below.begin(), from.below.end(),
                                                     to.name) != from.below.end();
      const auto found = includes_that_run_up(file_that_includes(from, to));
      EXPECT_EQ(found.empty(), allowed) << from.name << " includes " << to.name << listed(found);
    }
  }
}

TEST(Rooms, NameNoRoomThatNothingNeeds) {
  std::set<std::pair<std::string_view, std::string_view>> used;
  std::set<std::string_view> inhabited;
  for (const SourceFile& file : tree()) {
    const Room* from = room_of(file.path);
    if (from == nullptr) continue;
    inhabited.insert(from->name);
    for (const std::string& path : includes_of(file)) {
      const Room* to = room_of(path);
      if (to != nullptr) used.insert({from->name, to->name});
    }
  }
  for (const Room& room : rooms()) {
    EXPECT_TRUE(inhabited.contains(room.name)) << room.name << " is empty";
    for (const std::string_view below : room.below) {
      if (below == "pgproto") continue;  // everybody may speak of errors and bytes
      EXPECT_TRUE(used.contains({room.name, below})) << room.name << " needs no " << below;
    }
  }
}

TEST(Rooms, KnowWhatIsPublic) {
  for (const SourceFile& file : tree()) {
    if (!file.path.starts_with("src/include/")) continue;
    EXPECT_NE(room_of(file.path), nullptr) << file.path << " is declared for no room";
  }
}

TEST(Circles, AreFoundThroughOthers) {
  const std::vector<SourceFile> files = {
      source_file("src/pgsink/lane/a.h", "#include \"pgsink/lane/b.h\"\n"),
      source_file("src/pgsink/lane/b.cc", "#include \"pgsink/lane/c.h\"\n"),
      source_file("src/pgsink/lane/c.cc", "#include \"pgsink/lane/a.h\"\n"),
      source_file("src/pgsink/lane/d.cc", "#include \"pgsink/lane/a.h\"\n"),
      source_file("src/pgsink/lane/d.h", "#include \"pgsink/lane/d.h\"\n"),
  };
  const std::vector<Circle> wanted = {{"pgsink/lane/a", "pgsink/lane/b", "pgsink/lane/c"}};
  EXPECT_EQ(circles_between(files), wanted);
  EXPECT_TRUE(circles_between(std::span(files).first(2)).empty());
}

TEST(Circles, AreOnlyThoseThatAreKnown) {
  const std::vector<Circle> found = circles_between(tree());
  const std::vector<Circle>& known = known_circles();
  const auto names = [](const Circle& circle) {
    std::string text;
    for (const std::string& unit : circle) text += " " + unit;
    return text;
  };
  for (const Circle& circle : found) {
    EXPECT_NE(std::find(known.begin(), known.end(), circle), known.end())
        << "these include each other in a circle:" << names(circle);
  }
  for (const Circle& circle : known) {
    EXPECT_NE(std::find(found.begin(), found.end(), circle), found.end())
        << "no circle any more, take it out of known_circles():" << names(circle);
  }
}

TEST(Rooms, HaveAReadmeThatSaysWhatTheyMayInclude) {
  const auto found = wrong_readmes(tree());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Rooms, MissingAndWrongReadmesAreFound) {
  const auto faults = [](std::string_view readme) {
    const std::vector<SourceFile> files = {
        source_file("src/pgsink/ddl/README.md", readme),
    };
    const auto found = wrong_readmes(files);
    return std::count_if(found.begin(), found.end(), [](const Finding& finding) {
      return finding.path.starts_with("src/pgsink/ddl");
    });
  };
  EXPECT_EQ(faults("May include: `pgproto`,\n`pgsink/options`.\n\nBegin with `lexer.h`."), 0);
  EXPECT_EQ(faults("May include: `pgproto`.\n\nBegin with `pgsink/options`."), 1);
  EXPECT_EQ(faults("May include: `pgproto`, `pgsink/options`, `pgsink/lane`."), 2);
  EXPECT_EQ(wrong_readmes({}).size(), rooms().size());
}

// ---- words -------------------------------------------------------------------------------------

TEST(Phrases, EachFindsWhatItForbidsAndNothingElse) {
  for (const Phrase& phrase : banned_phrases()) {
    const auto names = [&](std::string_view line) {
      const auto found = find_phrases(source_file("src/a.h", line));
      return std::any_of(found.begin(), found.end(), [&](const Finding& finding) {
        return finding.what.find(phrase.instead) != std::string::npos;
      });
    };
    EXPECT_TRUE(names(phrase.guilty)) << phrase.pattern;
    EXPECT_FALSE(names(phrase.innocent)) << phrase.pattern;
  }
}

TEST(NamedFiles, Exist) {
  const auto found = missing_files(tree());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(NamedFiles, AreFoundInCommentsAndPages) {
  const auto missing = [](std::string path, std::string_view text) {
    const std::vector<SourceFile> files = {
        source_file(std::move(path), text),
        source_file("src/pgsink/lane/lane.h", ""),
    };
    return missing_files(files).size();
  };
  EXPECT_EQ(missing("src/a.h", "// See gone.h and lane/gone.cc."), 2U);
  EXPECT_EQ(missing("src/a.h", "int a;  ///< As in gone.h."), 1U);
  EXPECT_EQ(missing("src/pgsink/lane/README.md", "Begin with `gone.h`."), 1U);
  EXPECT_EQ(missing("src/a.h", "// See lane.h, lane/lane.h, pgsink/lane/lane.h, <string.h>."), 0U);
  EXPECT_EQ(missing("src/a.h", "#include \"gone.h\"\nauto x = y.h;"), 0U);
  EXPECT_EQ(missing("src/a.h", "// Source: src/include/access/transam.h of the server."), 0U);
}

// ---- the views and the lengths themselves -----------------------------------------------------

TEST(SourceFile, BlanksCommentsAndQuotesInTheirViews) {
  const SourceFile file = source_file(
      "a.cc", "int a = 1'000; // \"one\n/* two\n three */ f(\"s // \\\" x\", '\"', R\"(a \"b)\");");
  ASSERT_EQ(file.code.size(), 3u);
  EXPECT_EQ(file.code[0], "int a = 1'000;        ");
  EXPECT_EQ(file.code[1], "      ");
  EXPECT_EQ(file.code[2], "          f(\"s // \\\" x\", '\"', R\"(a \"b)\");");
  EXPECT_EQ(file.bare[2], "          f(\"         \", ' ', R\"(    )\");");
  EXPECT_EQ(file.text[1], "/* two");
}

TEST(FunctionLengths, FindsFunctionsAmongOtherBraces) {
  const SourceFile file = source_file("a.cc", R"(namespace a {
struct S {
  S(int x) : a_{x}, b_{{1, 2}} {
    f();
  }
  int get() const { return a_; }
  std::vector<int> b_{1};
};
enum class E : int { kA, kB };
constexpr int kTable[] = {f(1), 2};
template <typename T, class U = V<T>>
std::vector<T> g(T x = {}, U y = U{}) {
  if (x) {
    return {1};
  }
  return {};
}
bool operator==(const S& a, const S& b) {
  return true;
}
}  // namespace a
)");
  const auto lengths = function_lengths(file);
  ASSERT_EQ(lengths.size(), 4u);
  EXPECT_EQ(lengths[0].name, "S");
  EXPECT_EQ(lengths[0].lines, 3u);
  EXPECT_EQ(lengths[1].name, "get");
  EXPECT_EQ(lengths[2].name, "g");
  EXPECT_EQ(lengths[2].line, 12u);
  EXPECT_EQ(lengths[2].lines, 6u);
  EXPECT_EQ(lengths[3].lines, 3u);
}

std::vector<SourceFile> tree_with_function_of(size_t lines) {
  std::string text = "void f() {\n";
  for (size_t i = 2; i < lines; ++i) text += "  g();\n";
  return {source_file("src/pgsink/a.cc", text + "}\n")};
}

TEST(Ratchet, FindsAFunctionThatIsTooLong) {
  EXPECT_EQ(check_lengths(tree_with_function_of(kFunctionLinesMax), {}).size(), 0u);
  EXPECT_EQ(check_lengths(tree_with_function_of(kFunctionLinesMax + 1), {}).size(), 1u);
}

TEST(Ratchet, FindsAFileThatIsTooLong) {
  std::string text;
  for (size_t i = 0; i < kFileLinesMax; ++i) text += "int a;\n";
  EXPECT_EQ(check_lengths(std::vector{source_file("proto/a.cc", text)}, {}).size(), 0u);
  EXPECT_EQ(check_lengths(std::vector{source_file("proto/a.cc", text + "\n")}, {}).size(), 1u);
}

TEST(Ratchet, OnlyTurnsOneWay) {
  const std::vector<Ratchet> ratchets =
      read_ratchets(source_file("r.txt", "# path function lines\nsrc/pgsink/a.cc f 90\n"));
  EXPECT_EQ(check_lengths(tree_with_function_of(90), ratchets).size(), 0u);
  EXPECT_EQ(check_lengths(tree_with_function_of(91), ratchets).size(), 1u);
  EXPECT_EQ(check_lengths(tree_with_function_of(89), ratchets).size(), 1u);
  EXPECT_EQ(check_lengths({}, ratchets).size(), 1u);
}

}  // namespace
}  // namespace tidy
