#include "tidy/source.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

namespace tidy {
namespace {

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::vector<std::string> lines_of(std::string_view contents) {
  std::vector<std::string> lines;
  while (!contents.empty()) {
    const size_t end = std::min(contents.find('\n'), contents.size());
    lines.emplace_back(contents.substr(0, end));
    contents.remove_prefix(std::min(end + 1, contents.size()));
  }
  return lines;
}

// Blanks comments, and with `quoted` also what stands between quotes, keeping every line and
// column.
std::string blanked(std::string_view contents, bool quoted) {
  std::string out(contents);
  const auto blank = [&out](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (out[i] != '\n') out[i] = ' ';
    }
  };
  const size_t size = contents.size();
  size_t i = 0;
  while (i < size) {
    const std::string_view rest = contents.substr(i);
    if (rest.starts_with("//")) {
      const size_t end = std::min(contents.find('\n', i), size);
      blank(i, end);
      i = end;
    } else if (rest.starts_with("/*")) {
      const size_t close = contents.find("*/", i + 2);
      const size_t end = close == std::string_view::npos ? size : close + 2;
      blank(i, end);
      i = end;
    } else if (rest.starts_with("R\"") && (i == 0 || !is_identifier(contents[i - 1]))) {
      const size_t open = std::min(contents.find('(', i), size - 1);
      const std::string close = ")" + std::string(contents.substr(i + 2, open - i - 2)) + "\"";
      const size_t end = std::min(contents.find(close, open), size);
      if (quoted) blank(open + 1, end);
      i = std::min(end + close.size(), size);
    } else if (rest[0] == '"' || (rest[0] == '\'' && (i == 0 || !is_identifier(contents[i - 1])))) {
      size_t end = i + 1;
      while (end < size && contents[end] != rest[0] && contents[end] != '\n') {
        end += contents[end] == '\\' ? 2 : 1;
      }
      end = std::min(end, size);
      if (quoted) blank(i + 1, end);
      i = std::min(end + 1, size);
    } else {
      ++i;
    }
  }
  return out;
}

bool is_cpp(std::string_view path) { return path.ends_with(".h") || path.ends_with(".cc"); }

// What .gitignore names, in the two forms that this repository uses: "/folder/" and "name".
bool is_ignored(const std::filesystem::path& root, const std::filesystem::path& path) {
  static const std::vector<std::string> kIgnored = [&root] {
    std::ifstream file(root / ".gitignore");
    return lines_of(std::string(std::istreambuf_iterator<char>(file), {}));
  }();
  const std::string relative = "/" + path.lexically_relative(root).generic_string();
  return std::any_of(kIgnored.begin(), kIgnored.end(), [&](const std::string& entry) {
    return relative == entry || relative + "/" == entry || path.filename() == entry;
  });
}

// The text before a function's "{", from the last ";", "{" or "}", decides what the braces hold.
enum class Braces { kNames, kFunction, kValue };
Braces what_opens(std::string_view head) {
  while (!head.empty() && std::isspace(static_cast<unsigned char>(head.front()))) {
    head.remove_prefix(1);
  }
  while (head.starts_with("template")) {
    size_t depth = 0, i = head.find('<');
    for (; i < head.size(); ++i) {
      if (head[i] == '<') ++depth;
      if (head[i] == '>' && --depth == 0) break;
    }
    head.remove_prefix(std::min(i + 1, head.size()));
    while (!head.empty() && std::isspace(static_cast<unsigned char>(head.front()))) {
      head.remove_prefix(1);
    }
  }
  for (const std::string_view word : {"namespace", "class", "struct", "union", "extern"}) {
    if (head.starts_with(word) && head.size() > word.size() && !is_identifier(head[word.size()])) {
      return Braces::kNames;
    }
  }
  if (head.starts_with("inline namespace") || head.starts_with("enum")) return Braces::kNames;
  const size_t parenthesis = head.find('(');
  if (parenthesis == std::string_view::npos) return Braces::kValue;
  // `a_{1}` in a constructor's list has no blank before the brace; `f(T x = {})` is still open.
  if (is_identifier(head.back()) || head.back() == '>' ||
      std::count(head.begin(), head.end(), '(') != std::count(head.begin(), head.end(), ')')) {
    return Braces::kValue;
  }
  return head.substr(0, parenthesis).find('=') == std::string_view::npos ||
                 head.find("operator") < parenthesis
             ? Braces::kFunction
             : Braces::kValue;
}

std::string name_before_parenthesis(std::string_view head) {
  const size_t end = std::min(head.find('('), head.size());
  size_t begin = end;
  while (begin > 0 &&
         (is_identifier(head[begin - 1]) || head[begin - 1] == ':' || head[begin - 1] == '~')) {
    --begin;
  }
  return std::string(head.substr(begin, end - begin));
}

}  // namespace

SourceFile source_file(std::string path, std::string_view contents) {
  SourceFile file;
  file.text = lines_of(contents);
  file.code = is_cpp(path) ? lines_of(blanked(contents, false)) : file.text;
  file.bare = is_cpp(path) ? lines_of(blanked(contents, true)) : file.text;
  file.path = std::move(path);
  return file;
}

std::vector<SourceFile> read_tree(const std::filesystem::path& root) {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  for (fs::recursive_directory_iterator it(root), end; it != end; ++it) {
    const fs::path& path = it->path();
    if (it->is_directory() && (path.filename() == ".git" || is_ignored(root, path) ||
                               fs::exists(path / "CMakeCache.txt"))) {
      it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file() || path.filename() == ".git" || is_ignored(root, path)) continue;
    std::ifstream stream(path, std::ios::binary);
    const std::string contents(std::istreambuf_iterator<char>(stream), {});
    if (contents.find('\0') != std::string::npos) continue;
    files.push_back(source_file(path.lexically_relative(root).generic_string(), contents));
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

std::vector<FunctionLength> function_lengths(const SourceFile& file) {
  std::vector<FunctionLength> found;
  std::string head;  // since the last ';', '{' or '}' outside functions
  size_t depth_in_function = 0, first_line = 0;
  std::vector<bool> value_braces;  // open braces outside functions: whether they hold a value
  std::string name;
  for (size_t number = 1; number <= file.bare.size(); ++number) {
    const std::string& line = file.bare[number - 1];
    if (line.starts_with("#")) continue;
    for (const char c : line) {
      if (depth_in_function != 0) {
        if (c == '{') ++depth_in_function;
        if (c == '}' && --depth_in_function == 0) {
          found.push_back({name, first_line, number - first_line + 1});
          head.clear();
        }
      } else if (c == '{') {
        const bool in_value = !value_braces.empty() && value_braces.back();
        const Braces braces = in_value ? Braces::kValue : what_opens(head);
        if (braces == Braces::kFunction) {
          depth_in_function = 1;
          first_line = number;
          name = name_before_parenthesis(head);
        } else {
          value_braces.push_back(braces == Braces::kValue);
          if (braces == Braces::kNames) head.clear();
        }
      } else if (c == '}') {
        if (!value_braces.empty()) {
          if (!value_braces.back()) head.clear();
          value_braces.pop_back();
        }
      } else if (c == ';') {
        head.clear();
      } else {
        head += c;
      }
    }
    if (depth_in_function == 0) head += '\n';
  }
  return found;
}

}  // namespace tidy
