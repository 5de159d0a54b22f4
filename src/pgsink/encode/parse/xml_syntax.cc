#include "pgsink/encode/parse/xml_syntax.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "pgsink/encode/base/shortened.h"

namespace pgsink::encode {
namespace {

constexpr std::string_view kXmlBlanks = " \t\r\n";

bool is_decimal(char c) { return '0' <= c && c <= '9'; }
/// All bytes beyond ASCII count: which characters a name may have differs between versions.
bool begins_name(char c) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || c == '_' || c == ':' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool continues_name(char c) { return begins_name(c) || is_decimal(c) || c == '-' || c == '.'; }
bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r' && c != '\n';
}

class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : rest_(text) {}

  /// Reads everything; fault() says whether it is content.
  void read() {
    while (fault_.empty() && !rest_.empty()) {
      if (rest_[0] == '<') {
        read_markup();
      } else {
        read_text('<');
      }
    }
    if (fault_.empty() && !open_.empty()) fault_ = element(open_.back()) + " is not closed";
  }
  std::string take_fault() { return std::move(fault_); }

 private:
  static std::string element(std::string_view name) { return "the element " + shortened(name); }
  void fail(std::string_view what) { fault_ = what; }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool take_blanks() {
    const size_t count = std::min(rest_.find_first_not_of(kXmlBlanks), rest_.size());
    rest_.remove_prefix(count);
    return count > 0;
  }
  /// "" if there is none.
  std::string_view take_name() {
    size_t count = 0;
    if (!rest_.empty() && begins_name(rest_[0])) {
      while (count < rest_.size() && continues_name(rest_[count])) ++count;
    }
    const std::string_view name = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return name;
  }
  /// Reads up to and with `end`.
  void skip_to(std::string_view end, std::string_view what) {
    const size_t at = rest_.find(end);
    if (at == std::string_view::npos) return fail(what);
    rest_.remove_prefix(at + end.size());
  }

  void read_markup() {
    if (take("<!--")) return skip_to("-->", "a comment has no end");
    if (take("<![CDATA[")) return skip_to("]]>", "a CDATA section has no end");
    if (take("<?")) return skip_to("?>", "a processing instruction has no end");
    if (take("</")) return read_end_tag();
    take("<");
    read_start_tag();
  }

  void read_end_tag() {
    const std::string_view name = take_name();
    take_blanks();
    if (name.empty() || !take(">")) return fail("an end tag is malformed");
    if (open_.empty()) fault_ = element(name) + " is closed and not open";
    if (!open_.empty() && open_.back() != name) {
      fault_ = element(open_.back()) + " is closed by the end tag of " + shortened(name);
    }
    if (fault_.empty()) open_.pop_back();
  }

  void read_start_tag() {
    const std::string_view name = take_name();
    if (name.empty()) return fail("a < begins no tag; it is written as &lt;");
    for (;;) {
      const bool blanks = take_blanks();
      if (take("/>")) return;
      if (take(">")) return open_.push_back(name);
      if (!blanks || !read_attribute()) {
        if (fault_.empty()) fault_ = "the start tag of " + element(name) + " is malformed";
        return;
      }
    }
  }

  bool read_attribute() {
    if (take_name().empty()) return false;
    take_blanks();
    if (!take("=")) return false;
    take_blanks();
    const std::string_view quote = rest_.substr(0, 1);
    if (quote != "\"" && quote != "'") return false;
    rest_.remove_prefix(1);
    read_text(quote[0]);
    return fault_.empty() && take(quote);
  }

  /// Reads text and references up to `end` or a tag.
  void read_text(char end) {
    size_t at = 0;
    while (fault_.empty() && at < rest_.size() && rest_[at] != end && rest_[at] != '<') {
      if (is_control(rest_[at])) return fail("it has a control character");
      if (rest_[at++] != '&') continue;
      rest_.remove_prefix(std::exchange(at, 0));
      read_reference();
    }
    rest_.remove_prefix(at);
  }

  void read_reference() {
    constexpr std::array<std::string_view, 5> kEntities{"amp", "lt", "gt", "quot", "apos"};
    if (take("#")) return read_character();
    const std::string_view name = take_name();
    if (name.empty() || !take(";")) return fail("a & begins no reference; it is written as &amp;");
    if (std::ranges::find(kEntities, name) == kEntities.end()) {
      fault_ = "there is no entity " + shortened(name);
    }
  }

  void read_character() {
    constexpr uint32_t kLast = 0x10ffff;
    const bool hexadecimal = take("x");
    const std::string_view digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
    const size_t count = std::min(rest_.find_first_not_of(digits), rest_.size());
    uint32_t value = 0;
    for (const char c : rest_.substr(0, count)) {
      const auto digit = static_cast<uint32_t>(is_decimal(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      value = std::min(value * (hexadecimal ? 16 : 10) + digit, kLast + 1);
    }
    rest_.remove_prefix(count);
    const bool control = value < 0x20 && value != '\t' && value != '\r' && value != '\n';
    const bool surrogate = 0xd800 <= value && value <= 0xdfff;
    if (count == 0 || !take(";") || control || surrogate || value > kLast) {
      fail("a reference to a character is malformed");
    }
  }

  std::string_view rest_;
  std::vector<std::string_view> open_;  ///< The elements that are open, the innermost last.
  std::string fault_;
};

}  // namespace

std::string xml_fault(std::string_view text) {
  if (text.find("<!DOCTYPE") != std::string_view::npos) return {};
  XmlReader reader(text);
  reader.read();
  return reader.take_fault();
}

}  // namespace pgsink::encode
