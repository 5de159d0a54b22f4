#include "shell/run/pipe_files.h"

#include <algorithm>
#include <sys/stat.h>

#include "pgsink/ddl/lexer.h"

namespace pgsink::shell {
namespace {

/// The content of 'text', or "" if it is written in another way.
std::string plain_text(const Token& token) {
  if (token.kind != TokenKind::kText || token.form != TextForm::kPlain) return "";
  std::string text(token.text.substr(1, token.text.size() - 2));
  for (size_t at = text.find("''"); at != std::string::npos; at = text.find("''", at + 1)) {
    text.erase(at, 1);
  }
  return text;
}

bool is_read_once(const std::string& path) {
  struct stat file{};
  if (path.empty() || ::stat(path.c_str(), &file) != 0) return false;
  return S_ISFIFO(file.st_mode) || S_ISCHR(file.st_mode) || S_ISSOCK(file.st_mode);
}

/// Whether a function of the engine reads the files that its arguments name.
bool reads_files(const Token& name) {
  std::string word(name.text);
  std::ranges::transform(word, word.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name.kind == TokenKind::kWord &&
         (word.starts_with("read_") || word == "sniff_csv" || word.ends_with("_scan"));
}

}  // namespace

std::optional<PipeFile> find_pipe_file(std::string_view statement, SourcePosition begin) {
  Lexer lexer(statement, begin);
  Token before;
  size_t depth = 0;
  size_t reader = 0;  // The depth of the arguments of a function that reads files; 0: outside.
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (token.kind == TokenKind::kUnclosed) return std::nullopt;
    if (token.is_symbol('(')) {
      ++depth;
      if (reader == 0 && reads_files(before)) reader = depth;
    } else if (token.is_symbol(')') && depth > 0) {
      if (reader == depth) reader = 0;
      --depth;
    }
    const bool named = before.is_word("FROM") || before.is_word("JOIN");
    if (named || reader > 0) {
      std::string path = plain_text(token);
      if (is_read_once(path)) return PipeFile{std::move(path), token.begin, token.text.size()};
    }
    before = token;
  }
  return std::nullopt;
}

}  // namespace pgsink::shell
