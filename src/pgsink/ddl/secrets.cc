#include "pgsink/ddl/secrets.h"

#include <algorithm>
#include <array>

#include <pgsink/ddl.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "pgsink/options/values.h"

namespace pgsink {
namespace {

/// Parts of names that suggest a secret, in any program.
constexpr std::array<std::string_view, 7> kTelling{"pass",   "pwd",     "secret",    "token",
                                                   "creden", "api_key", "access_key"};

}  // namespace

bool holds_a_password(std::string_view text) {
  const std::string lower = lower_ascii(text);
  for (size_t at = lower.find("password"); at != std::string::npos;
       at = lower.find("password", at + 1)) {
    const size_t next = lower.find_first_not_of(" \t\r\n", at + 8);
    if (next != std::string::npos && lower[next] == '=') return true;
  }
  const size_t authority = lower.find("://");
  if (authority == std::string::npos) return false;
  const size_t at_sign = lower.find('@', authority + 3);
  return at_sign != std::string::npos && lower.find(':', authority + 3) < at_sign;
}

namespace {

bool is_name(const Token& token) {
  return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedName;
}
bool is_literal(const Token& token) {
  return token.kind == TokenKind::kText || token.kind == TokenKind::kNumber ||
         token.kind == TokenKind::kUnclosed;
}
bool is_assignment(const Token& token) {
  return token.is_symbol('=') || token.is_symbol(':') || token.is_symbol('>');
}

class SecretFinder {
 public:
  SecretFinder() {
    for (const OptionInfo& info : option_table()) {
      if (!info.secret) continue;
      secret_words_.push_back(info.key);
      for (const std::string_view alias : option_aliases(info)) secret_words_.push_back(alias);
    }
  }

  std::vector<HiddenBytes> find(std::string_view script) {
    for (const ScriptStatement& statement : split_script(script)) {
      if (!is_connection(statement)) {
        scan_other(statement);
      } else if (quotes_are_sound(statement)) {
        scan_connection(statement);
      } else {
        hide_from_first_hint(statement);
      }
    }
    return std::move(hidden_);
  }

 private:
  /// CREATE … name TO system (, with CONNECTION in any spelling.
  static bool is_connection(const ScriptStatement& statement) {
    constexpr size_t kHeadTokensMax = 8;
    Lexer lexer(statement.text);
    Token token = lexer.next();
    if (!token.is_word("CREATE")) return false;
    for (size_t i = 0; i < kHeadTokensMax && token.kind != TokenKind::kEnd; ++i) {
      if (token.is_word("CONNECTION") || token.is_word("TO")) return true;
      token = lexer.next();
    }
    return false;
  }

  /// Whether every quote of the options closes where its writer meant it to: a text is followed by
  /// a comma, a bracket, the colon of a MAP, the end, or (a comma was forgotten) the next option.
  static bool quotes_are_sound(const ScriptStatement& statement) {
    Lexer lexer(statement.text);
    bool after_text = false;
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.kind == TokenKind::kUnclosed) return false;
      if (after_text) {
        const bool separated = token.is_symbol(',') || token.is_symbol(')') ||
                               token.is_symbol('}') || token.is_symbol(':');
        const bool next_option = is_name(token) && Lexer(lexer).next().is_symbol('=');
        if (!separated && !next_option) return false;
      }
      after_text = token.kind == TokenKind::kText;
    }
    return true;
  }

  /// With unbalanced quotes it is unknown which parts are text. Hide everything from the first hint
  /// of a secret on.
  void hide_from_first_hint(const ScriptStatement& statement) {
    constexpr std::array<std::string_view, 4> kConnectionStrings{"url", "uri", "dsn", "conninfo"};
    const std::string lower = lower_ascii(statement.text);
    size_t first = lower.size();
    for (const std::string_view hint : kTelling) {
      if (const size_t at = lower.find(hint); at < first) first = at;
    }
    for (const std::string_view hint : kConnectionStrings) {
      if (const size_t at = lower.find(hint); at < first) first = at;
    }
    hide(statement.begin.offset + first, statement.begin.offset + lower.size());
  }

  /// After a key that suggests a secret: everything up to the comma or bracket that ends the
  /// option.
  void scan_connection(const ScriptStatement& statement) {
    Lexer lexer(statement.text, statement.begin);
    Token token = lexer.next();
    while (token.kind != TokenKind::kEnd) {
      const Token key = token;
      token = lexer.next();
      if (key.kind == TokenKind::kText && holds_a_password(key.text)) hide_token(key);
      const bool valueless = token.is_symbol(',') || token.is_symbol(')');
      if (valueless || !tells(key)) continue;
      while (is_assignment(token)) token = lexer.next();
      const Token first = token;
      size_t end = first.begin.offset;
      while (token.kind != TokenKind::kEnd && !token.is_symbol(',') && !token.is_symbol(')')) {
        const bool next_option =
            end > first.begin.offset && is_name(token) && Lexer(lexer).next().is_symbol('=');
        if (next_option) break;
        end = token.end_offset();
        token = lexer.next();
      }
      hide(first.begin.offset, end);
    }
  }

  /// Elsewhere only a literal directly after such a name, and connection strings.
  void scan_other(const ScriptStatement& statement) {
    Lexer lexer(statement.text, statement.begin);
    Token token = lexer.next();
    while (token.kind != TokenKind::kEnd) {
      const Token key = token;
      token = lexer.next();
      if (is_literal(key) && holds_a_password(key.text)) hide_token(key);
      if ((!is_literal(token) && !is_assignment(token)) || !tells(key)) continue;
      while (is_assignment(token)) token = lexer.next();
      if (!is_literal(token)) continue;
      hide_token(token);
      token = lexer.next();
    }
  }

  /// Whether the value of a key of that name is likely to be a secret: the name suggests it, or is,
  /// or may be a misspelling of, an option whose value is secret.
  bool tells(const Token& token) const {
    if (!is_name(token)) return false;
    const auto decoded = decode_name(token);
    const std::string name = lower_ascii(decoded ? *decoded : token.text);
    const auto says = [&name](std::string_view part) { return name.find(part) != name.npos; };
    if (std::ranges::any_of(kTelling, says)) return true;
    if (const OptionInfo* info = find_option(name)) return info->secret;
    return !nearest_name(name, secret_words_).empty();
  }
  void hide_token(const Token& token) { hide(token.begin.offset, token.end_offset()); }
  void hide(size_t begin, size_t end) {
    if (begin < end) hidden_.push_back({begin, end});
  }

  std::vector<std::string_view> secret_words_;
  std::vector<HiddenBytes> hidden_;
};

}  // namespace

std::vector<HiddenBytes> find_secrets(std::string_view script) {
  return SecretFinder().find(script);
}

std::string mask_secrets(std::string_view script) {
  std::string masked;
  size_t shown = 0;
  for (const HiddenBytes& hidden : find_secrets(script)) {
    masked.append(script.substr(shown, hidden.begin - shown)).append("***");
    shown = hidden.end;
  }
  masked.append(script.substr(shown));
  return masked;
}

}  // namespace pgsink
