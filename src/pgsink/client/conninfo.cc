#include "pgsink/client/conninfo.h"

#include <optional>

namespace pgsink {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r';
}

std::unexpected<Error> malformed(size_t position, const std::string& what) {
  return fail(Errc::kOptionValue,
              "connection string, character " + std::to_string(position + 1) + ": " + what);
}

// ---- keyword = 'value' … ------------------------------------------------------------------------

class KeywordParser {
 public:
  explicit KeywordParser(std::string_view text) : text_(text) {}

  Result<ConninfoPairs> parse() {
    ConninfoPairs pairs;
    for (skip_spaces(); !at_end(); skip_spaces()) {
      std::string keyword = read_keyword();
      skip_spaces();
      if (at_end() || text_[at_] != '=') {
        return malformed(at_,
                         "\"=\" is missing after a keyword; a value with blanks must be in single "
                         "quotes");
      }
      ++at_;
      skip_spaces();
      auto value = read_value();
      if (!value) return fail(value.error());
      pairs.emplace_back(std::move(keyword), *std::move(value));
    }
    return pairs;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  void skip_spaces() {
    while (!at_end() && is_space(text_[at_])) ++at_;
  }
  std::string read_keyword() {
    const size_t begin = at_;
    while (!at_end() && text_[at_] != '=' && !is_space(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  Result<std::string> read_value() {
    const size_t begin = at_;
    const bool quoted = !at_end() && text_[at_] == '\'';
    if (quoted) ++at_;
    std::string value;
    for (; !at_end(); ++at_) {
      const char c = text_[at_];
      if (quoted ? c == '\'' : is_space(c)) break;
      if (c != '\\') {
        value += c;
      } else if (at_ + 1 < text_.size()) {
        value += text_[++at_];
      }
    }
    if (quoted) {
      if (at_end()) return malformed(begin, "the quotes that open here are not closed");
      ++at_;
    }
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// ---- postgresql://user:password@host:port,host:port/database?keyword=value&… --------------------

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class UriParser {
 public:
  UriParser(std::string_view text, size_t begin) : text_(text), at_(begin) {}

  Result<ConninfoPairs> parse() {
    if (auto status = read_credentials(); !status) return fail(status.error());
    if (auto status = read_hosts(); !status) return fail(status.error());
    if (peek() == '/') {
      ++at_;
      if (auto status = store("dbname", read_until("?")); !status) return fail(status.error());
    }
    if (peek() == '?') {
      ++at_;
      if (auto status = read_parameters(); !status) return fail(status.error());
    }
    return std::move(pairs_);
  }

 private:
  struct Part {
    std::string_view text;
    size_t position = 0;
  };

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  Part read_until(std::string_view ends) {
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of(ends, begin), text_.size());
    return {text_.substr(begin, at_ - begin), begin};
  }

  // The credentials end at the first '@', which must come before the first '/'.
  Status read_credentials() {
    const size_t end = text_.find_first_of("@/", at_);
    if (end == std::string_view::npos || text_[end] != '@') return {};
    const Part user = read_until(":@");
    if (auto status = store("user", user); !status) return status;
    if (peek() == ':') {
      ++at_;
      if (auto status = store("password", read_until("@")); !status) return status;
    }
    ++at_;
    return {};
  }

  Status read_hosts() {
    const size_t begin = at_;
    std::string hosts, ports;
    for (;;) {
      if (peek() == '[') {
        ++at_;
        const Part host = read_until("]");
        if (peek() != ']') return malformed(host.position - 1, "the bracket \"[\" is not closed");
        if (host.text.empty()) return malformed(host.position, "the address in [] is empty");
        ++at_;
        hosts += host.text;
        if (at_ < text_.size() && std::string_view(":/?,").find(peek()) == std::string_view::npos) {
          return malformed(at_, "after \"]\" must follow \":\", \"/\", \"?\" or \",\"");
        }
      } else {
        hosts += read_until(":/?,").text;
      }
      if (peek() == ':') {
        ++at_;
        ports += read_until("/?,").text;
      }
      if (peek() != ',') break;
      ++at_;
      hosts += ',';
      ports += ',';
    }
    if (auto status = store("host", {hosts, begin}); !status) return status;
    return store("port", {ports, begin});
  }

  Status read_parameters() {
    while (at_ < text_.size()) {
      const Part keyword = read_until("=&");
      if (peek() != '=') return malformed(keyword.position, "a parameter has no \"=\"");
      ++at_;
      const Part value = read_until("=&");
      if (peek() == '=') return malformed(at_, "a parameter has a second \"=\"; write it as %3D");
      if (peek() == '&') ++at_;
      auto name = decode(keyword);
      if (!name) return fail(name.error());
      auto content = decode(value);
      if (!content) return fail(content.error());
      if (*name == "ssl" && *content == "true") {  // the spelling of JDBC
        pairs_.emplace_back("sslmode", "require");
      } else {
        pairs_.emplace_back(*std::move(name), *std::move(content));
      }
    }
    return {};
  }

  // An empty part sets nothing.
  Status store(const char* keyword, Part part) {
    if (part.text.empty()) return {};
    auto value = decode(part);
    if (!value) return fail(value.error());
    pairs_.emplace_back(keyword, *std::move(value));
    return {};
  }

  // %41 is 'A'; '+' is itself. Blanks around a part are dropped, inside they must be written %20.
  static Result<std::string> decode(Part part) {
    size_t end = part.text.size();
    size_t i = 0;
    while (i < end && part.text[i] == ' ') ++i;
    while (end > i && part.text[end - 1] == ' ') --end;
    std::string decoded;
    for (; i < end; ++i) {
      const char c = part.text[i];
      if (c == ' ') return malformed(part.position + i, "blanks must be written as %20");
      if (c != '%') {
        decoded += c;
        continue;
      }
      const int high = i + 1 < end ? hex_digit(part.text[i + 1]) : -1;
      const int low = i + 2 < end ? hex_digit(part.text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return malformed(part.position + i, "\"%\" must be followed by two hexadecimal digits");
      }
      if (high == 0 && low == 0) return malformed(part.position + i, "%00 is not allowed");
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
    return decoded;
  }

  std::string_view text_;
  size_t at_;
  ConninfoPairs pairs_;
};

}  // namespace

Result<ConninfoPairs> split_conninfo(std::string_view text) {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return malformed(nul, "a zero byte is not allowed");
  }
  for (const std::string_view scheme : {"postgresql://", "postgres://"}) {
    if (text.starts_with(scheme)) return UriParser(text, scheme.size()).parse();
  }
  return KeywordParser(text).parse();
}

}  // namespace pgsink
