#include "tidy/words.h"

#include <algorithm>
#include <cctype>
#include <regex>
#include <set>

namespace tidy {
namespace {

// NOLINTBEGIN(bugprone-suspicious-missing-comma): long patterns take two lines
const std::vector<Phrase>& table() {
  static const std::vector<Phrase> kPhrases = {
      {.key = "behind",
       .pattern = R"(\bbehind\b)",
       .instead = "after",
       .guilty = "/// Offset behind the last token.",
       .innocent = "/// Behind a pooler each transaction may run in another backend.",
       .allowed = R"(behind (a pooler|a connection pooler|a$|pgbouncer))"},
      {.key = " no ",
       .pattern = R"(\b(is|are|was|were) no [a-z]+)",
       .instead = "'is not a …'",
       .guilty = "fail(\"the column is no key column\")",
       .innocent = "/// Null if there is no memory, or if the row is no longer needed.",
       .allowed = R"(\bthere (is|are|was|were) no\b|\bno (longer|more|less|other|better)\b)"},
      {.key = "who",
       .pattern = R"(\bends? (those |that )?who\b|(^|[.:;] )who(ever)? [a-z]+s\b)",
       .instead = "a noun: the writer, the caller, the session",
       .guilty = "// Who opens ends who was before.",
       .innocent = "// The writer who opened the sink last."},
      {.key = "for ever",
       .pattern = R"(\bfor ever\b)",
       .instead = "forever",
       .guilty = "// It waits for ever.",
       .innocent = "// It checks for every row."},
      {.key = "mend",
       .pattern = R"(\b(to|would|can|could|cannot|that) mends?\b)",
       .instead = "fix",
       .guilty = "\"To mend it: \"",
       .innocent = "faults.add(text, mend);"},
      {.key = "wanted",
       .pattern = R"(\bwanted (is|are)\b)",
       .instead = "expected",
       .guilty = "\"; wanted is a number\"",
       .innocent = "/// The wanted size."},
      {.key = "before",
       .pattern = R"(\bof before\b)",
       .instead = "previous",
       .guilty = "\"use the number of before\"",
       .innocent = "// The number of rows before it."},
      {.key = "all the time",
       .pattern = R"(\ball the time\b)",
       .instead = "'again and again' or 'keep doing'",
       .guilty = "\"is dropped by others all the time\"",
       .innocent = "// It takes all the timestamps."},
      {.key = "anew",
       .pattern = R"(\banew\b)",
       .instead = "again",
       .guilty = "// Begins anew.",
       .innocent = "// Sets a new value; janew is a name."},
      {.key = "made again",
       .pattern = R"(\bmade again\b)",
       .instead = "recreated",
       .guilty = "\"was dropped and made again\"",
       .innocent = "// Was unmade again."},
      {.key = "shall",
       .pattern = R"(\bshall\b)",
       .instead = "must, will or is to",
       .guilty = "// No row shall be lost.",
       .innocent = "// A shallow copy."},
      {.key = "asked for",
       .pattern = R"(\b(not|is|was|were) asked for\b)",
       .instead = "requested",
       .guilty = "\"an option that was not asked for\"",
       .innocent = "// The method that the server asked for."},
      {.key = "under way",
       .pattern = R"(\bunder way\b)",
       .instead = "current, running or in progress",
       .guilty = "// The COPY under way.",
       .innocent = "// Under waypoint."},
      {.key = "world",
       .pattern = R"(\bworlds\b)",
       .instead = "sequences or states",
       .guilty = "// It enumerates 600,000 worlds.",
       .innocent = "// hello, world"},
      {.key = "house",
       .pattern = R"(\bhouse\b)",
       .instead = "project",
       .guilty = "// A rule of the house.",
       .innocent = "table = 'warehouse'"},
      {.key = "stubborn",
       .pattern = R"(stubborn)",
       .instead = "always firing, persistent",
       .guilty = "kStubbornTriggers",
       .innocent = "kAlwaysFiringTriggers"},
      {.key = "nap",
       .pattern = R"(\b(nap|naps|napped)\b)",
       .instead = "sleep",
       .guilty = "// A nap between two attempts.",
       .innocent = "// The snapshot."},
      {.key = "letters",
       .pattern = R"(\bletters (are )?told\b|\btells? letters\b)",
       .instead = "dead letters are reported",
       .guilty = "// The letters told so far.",
       .innocent = "// Dead letters are rows."},
      {.key = "point",
       .pattern = R"(\bdigits? (behind|before|after) the point\b)",
       .instead = "the decimal point",
       .guilty = "\" digits after the point\"",
       .innocent = "\" digits after the decimal point\""},
      {.key = "farewell",
       .pattern = R"(\bfarewell\b)",
       .instead = "the name of the message: Terminate, close_notify",
       .guilty = "// Closes without a farewell.",
       .innocent = "// Closes without close_notify."},
  };
  return kPhrases;
}
// NOLINTEND(bugprone-suspicious-missing-comma)

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::regex compiled(std::string_view pattern) {
  return std::regex(std::string(pattern), std::regex::icase | std::regex::optimize);
}

struct CompiledPhrase {
  const Phrase* phrase;
  std::regex pattern, allowed;
};

const std::vector<CompiledPhrase>& compiled_table() {
  static const std::vector<CompiledPhrase> kCompiled = [] {
    std::vector<CompiledPhrase> all;
    for (const Phrase& phrase : table()) {
      all.push_back({&phrase, compiled(phrase.pattern), compiled(phrase.allowed)});
    }
    return all;
  }();
  return kCompiled;
}

// The comment of a C++ line without its marks; other lines as they are.
std::string without_marks(const std::string& line) {
  static const std::regex kMarks(R"(^\s*//[/!]?<?\s*)");
  return std::regex_replace(line, kMarks, "", std::regex_constants::format_first_only);
}

bool is_cpp(std::string_view path) { return path.ends_with(".h") || path.ends_with(".cc"); }

// What a line of a file may name other files in: a comment, or `code` on a page.
std::string naming_part(const SourceFile& file, size_t i) {
  const std::string& line = file.text[i];
  if (!is_cpp(file.path)) return line;
  const std::string& code = file.code[i];
  std::string comment = line;
  for (size_t at = 0; at < std::min(code.size(), comment.size()); ++at) {
    if (code[at] != ' ') comment[at] = ' ';
  }
  return comment;
}

bool names_files(std::string_view path) {
  if (path.starts_with("tests/tidy/") || path.starts_with("third_party/")) return false;
  return is_cpp(path) || path.ends_with("/README.md") || path == "CONTRIBUTING.md" ||
         path == "docs/explanation/architecture.md";
}

// Headers of the system and of the server, placeholders such as NAME_test.cc.
bool is_elsewhere(std::string_view name, char before, char after) {
  if (before == '<' || after == '(' || name == "immintrin.h") return true;
  if (name.starts_with("src/include/") && !name.starts_with("src/include/pgsink/")) return true;
  return std::any_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isupper(c) != 0; });
}

}  // namespace

std::span<const Phrase> banned_phrases() { return table(); }

std::vector<Finding> find_phrases(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 0; i < file.text.size(); ++i) {
    const std::string lowered = lower(file.text[i]);
    for (const CompiledPhrase& entry : compiled_table()) {
      if (lowered.find(entry.phrase->key) == std::string::npos) continue;
      std::string line = without_marks(file.text[i]);
      if (!entry.phrase->allowed.empty()) line = std::regex_replace(line, entry.allowed, "");
      std::smatch match;
      if (!std::regex_search(line, match, entry.pattern)) continue;
      found.push_back(
          {file.path, i + 1,
           "'" + match.str() + "': write " + std::string(entry.phrase->instead) + " instead"});
    }
  }
  return found;
}

std::vector<Finding> missing_files(std::span<const SourceFile> tree) {
  static const std::regex kName(R"([A-Za-z0-9_./-]*[A-Za-z0-9_]\.(h|cc)\b)");
  std::set<std::string, std::less<>> endings;  // each path, and each part of it after a '/'
  for (const SourceFile& file : tree) {
    endings.insert(file.path);
    for (size_t at = file.path.find('/'); at != std::string::npos;
         at = file.path.find('/', at + 1)) {
      endings.insert(file.path.substr(at + 1));
    }
  }
  std::vector<Finding> found;
  for (const SourceFile& file : tree) {
    if (!names_files(file.path)) continue;
    for (size_t i = 0; i < file.text.size(); ++i) {
      const std::string part = naming_part(file, i);
      if (part.find(".h") == std::string::npos && part.find(".cc") == std::string::npos) continue;
      for (std::sregex_iterator it(part.begin(), part.end(), kName), end; it != end; ++it) {
        std::string name = it->str();
        const auto first = static_cast<size_t>(it->position());
        const char before = first == 0 ? ' ' : part[first - 1];
        const size_t last = first + name.size();
        if (is_elsewhere(name, before, last < part.size() ? part[last] : ' ')) continue;
        while (name.starts_with("../")) name.erase(0, 3);
        if (endings.contains(name)) continue;
        found.push_back({file.path, i + 1, "there is no file " + name});
      }
    }
  }
  return found;
}

}  // namespace tidy
