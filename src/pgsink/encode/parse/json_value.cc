#include "pgsink/encode/parse/json_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/plain_number.h"

namespace pgsink::encode {
namespace {

/// Not deeper than PostgreSQL's own stack allows.
constexpr size_t kDepthMax = 1024;

constexpr std::string_view kBlanks = " \t\n\r";

bool is_surrogate(uint32_t code, uint32_t first) { return code >= first && code < first + 0x400; }
constexpr uint32_t kHighSurrogates = 0xD800;
constexpr uint32_t kLowSurrogates = 0xDC00;

void append_utf8(uint32_t code, std::string& to) {
  const auto put = [&](uint32_t byte) { to += static_cast<char>(byte); };
  const auto tail = [&](unsigned shift) { put(0x80U | ((code >> shift) & 0x3FU)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0U | code >> 6);
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12);
    tail(6);
  } else {
    put(0xF0U | code >> 18);
    tail(12);
    tail(6);
  }
  tail(0);
}

/// The four hexadecimal digits after "\u" at text[at].
bool read_unit(std::string_view text, size_t at, uint32_t& unit) {
  constexpr size_t kDigits = 4;
  if (text.size() < at + kDigits) return false;
  const char* const begin = text.data() + at;
  return std::from_chars(begin, begin + kDigits, unit, 16).ptr == begin + kDigits;
}

/// Reads the escape that begins after the backslash at text[at]; moves `at` after it.
bool append_escape(std::string_view text, size_t& at, std::string& to) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (at >= text.size()) return false;
  const char c = text[at++];
  if (const size_t known = kEscapes.find(c); known != std::string_view::npos) {
    to += kMeanings[known];
    return true;
  }
  uint32_t code = 0;
  if (c != 'u' || !read_unit(text, at, code) || is_surrogate(code, kLowSurrogates)) return false;
  at += 4;
  if (is_surrogate(code, kHighSurrogates)) {
    uint32_t low = 0;
    if (!text.substr(at).starts_with("\\u") || !read_unit(text, at + 2, low) ||
        !is_surrogate(low, kLowSurrogates)) {
      return false;
    }
    at += 6;
    code = 0x10000 + ((code - kHighSurrogates) << 10) + (low - kLowSurrogates);
  }
  append_utf8(code, to);
  return true;
}

/// JsonText reads JSON from its front. Reading ends at malformed text.
class JsonText {
 public:
  explicit JsonText(std::string_view text) : rest_(text) { skip_blanks(); }

  bool done() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }
  bool take(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    skip_blanks();
    return true;
  }

  /// The text of one value; "" if there is none.
  std::string_view take_value() {
    const std::string_view begin = rest_;
    size_t depth = 0;
    do {
      const char c = peek();
      if (c == '"') {
        if (!skip_string()) return {};
      } else if (c == '[' || c == '{') {
        ++depth;
        rest_.remove_prefix(1);
      } else if (c == ']' || c == '}') {
        if (depth == 0) return {};
        --depth;
        rest_.remove_prefix(1);
      } else if (depth > 0 && (c == ',' || c == ':')) {
        rest_.remove_prefix(1);
      } else if (!skip_word()) {
        return {};
      }
      if (depth > 0) skip_blanks();
    } while (depth > 0);
    const std::string_view value = begin.substr(0, begin.size() - rest_.size());
    skip_blanks();
    return value;
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
  }
  bool skip_string() {
    for (size_t at = 1; at < rest_.size(); ++at) {
      if (rest_[at] == '\\') {
        ++at;
      } else if (rest_[at] == '"') {
        rest_.remove_prefix(at + 1);
        return true;
      }
    }
    return false;
  }
  /// A number, true, false or null.
  bool skip_word() {
    const size_t end = std::min(rest_.find_first_of(" \t\n\r,:[]{}\""), rest_.size());
    rest_.remove_prefix(end);
    return end > 0;
  }

  std::string_view rest_;
};

bool is_json(const Target& target) {
  return target.kind == TargetKind::kJson || target.kind == TargetKind::kJsonb;
}

bool is_integer(const Target& target) {
  return target.kind == TargetKind::kInt2 || target.kind == TargetKind::kInt4 ||
         target.kind == TargetKind::kInt8 || target.kind == TargetKind::kOid;
}

/// find_first_of() would call memchr() for each character.
bool has_point_or_exponent(std::string_view number) {
  return std::ranges::any_of(number, [](char c) { return c == '.' || c == 'e' || c == 'E'; });
}

/// Literal writes JSON arrays and objects as array and row literals.
class Literal {
 public:
  /// False if the value is not well-formed.
  static bool append(std::string_view value, const Target& target, size_t depth, std::string& to) {
    if (depth > kDepthMax || value.empty()) return false;
    if (is_json(target)) {
      to += value;
      return true;
    }
    if (value[0] == '"') return append_json_content(value, to);
    if (value[0] == '[' && target.kind == TargetKind::kArray) {
      return append_array(value, target, depth, to);
    }
    if (value[0] == '{' && target.kind == TargetKind::kComposite) {
      return append_row(value, target, depth, to);
    }
    to += is_integer(target) ? whole_number(value) : std::string(value);
    return true;
  }

  /// A whole number without point and exponent; otherwise the text unchanged.
  static std::string whole_number(std::string_view value) {
    constexpr size_t kDigitsMax = 20;
    const auto number = read_number(value);
    if (!number || (!number->has_point && !number->has_exponent)) return std::string(value);
    auto plain = plain_number(*number, kDigitsMax);
    const bool whole = plain && plain->find('.') == std::string::npos;
    return whole ? std::move(*plain) : std::string(value);
  }

 private:
  static bool append_array(std::string_view value, const Target& target, size_t depth,
                           std::string& to) {
    const Target& element = target.parts[0];
    JsonText text(value);
    text.take('[');
    to += '{';
    for (bool first = true; !text.take(']'); first = false) {
      if (!first && !text.take(',')) return false;
      if (!first) to += element.delimiter;
      const std::string_view item = text.take_value();
      if (item.empty()) return false;
      // A list in a list is another dimension, unless the elements can be lists themselves.
      const bool dimension = item[0] == '[' && !is_json(element);
      const bool ok = dimension        ? append(item, target, depth + 1, to)
                      : item == "null" ? (to += "NULL", true)
                                       : append_quoted(item, element, depth + 1, to);
      if (!ok) return false;
    }
    to += '}';
    return text.done();
  }

  static bool append_row(std::string_view value, const Target& target, size_t depth,
                         std::string& to) {
    std::vector<std::string_view> attributes(target.parts.size());
    JsonText text(value);
    text.take('{');
    for (bool first = true; !text.take('}'); first = false) {
      if (!first && !text.take(',')) return false;
      std::string key;
      if (!append_json_content(text.take_value(), key) || !text.take(':')) return false;
      const std::string_view member = text.take_value();
      if (member.empty()) return false;
      for (size_t i = 0; i < attributes.size(); ++i) {
        if (target.names[i] == key) attributes[i] = member;
      }
    }
    to += '(';
    for (size_t i = 0; i < attributes.size(); ++i) {
      if (i > 0) to += ',';
      if (attributes[i].empty() || attributes[i] == "null") continue;
      if (!append_quoted(attributes[i], target.parts[i], depth + 1, to)) return false;
    }
    to += ')';
    return text.done();
  }

  /// As an element or attribute, in quotes.
  static bool append_quoted(std::string_view value, const Target& target, size_t depth,
                            std::string& to) {
    std::string text;
    if (!append(value, target, depth, text)) return false;
    to += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') to += '\\';
      to += c;
    }
    to += '"';
    return true;
  }
};

class JsonValueField final : public FieldCodec {
 public:
  JsonValueField(Field source, Target target, CodecPointer text)
      : source_(std::move(source)), target_(std::move(target)), text_(std::move(text)) {
    texts_.kind = ColumnKind::kStdStringView;
    texts_.values = views_.data();
    texts_.stride_bytes = sizeof(std::string_view);
    texts_.validity_bytes = valid_.data();
    texts_.validity_stride_bytes = 1;
  }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    const uint8_t* valid = load_validity(column, block, scratch_.data());
    load_bytes(column, block, valid, source_, values_.data());
    for (size_t i = 0; i < block.count; ++i) {
      views_[i] = {};
      valid_[i] = (valid == nullptr || valid[i] != 0) && values_[i] != "null" ? 1 : 0;
      Fault fault;
      if (valid_[i] == 0 || json_input_text(values_[i], target_, converted_[i], views_[i], fault)) {
        continue;
      }
      valid_[i] = 0;
      faults.push_back({i, std::move(fault)});
    }
    block_ = {.first = 0, .count = block.count};
    return text_->measure(texts_, block_, row_bytes, faults);
  }
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    text_->write_strided(to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    text_->write_at(rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    text_->write_moving(rows, offset, count);
  }
  void defer_checks() override { text_->defer_checks(); }
  void verify(size_t count, FaultList& faults) override { text_->verify(count, faults); }
  void use_portable_code() override { text_->use_portable_code(); }
  const RowPart* row_part() const override { return text_->row_part(); }

 private:
  const Field source_;
  const Target target_;
  CodecPointer text_;
  ColumnView texts_;
  Block block_;
  std::array<std::string_view, kBlockRowsMax> values_{};
  std::array<std::string_view, kBlockRowsMax> views_{};
  std::array<std::string, kBlockRowsMax> converted_;
  std::array<uint8_t, kFlagBytes> valid_{};
  std::array<uint8_t, kFlagBytes> scratch_;
};

}  // namespace

bool append_json_content(std::string_view string, std::string& to) {
  if (string.size() < 2 || string.front() != '"' || string.back() != '"') return false;
  string = string.substr(1, string.size() - 2);
  for (size_t at = 0; at < string.size();) {
    const size_t special = std::min(string.find_first_of("\\\"", at), string.size());
    to.append(string, at, special - at);
    at = special;
    if (at == string.size()) break;
    if (string[at] == '"') return false;
    ++at;
    if (!append_escape(string, at, to)) return false;
  }
  return true;
}

bool json_input_text(std::string_view value, const Target& target, std::string& scratch,
                     std::string_view& text, Fault& fault) {
  text = value;
  if (is_json(target)) return true;
  const char first = value.empty() ? '\0' : value[0];
  const bool plain_string =
      first == '"' && value.size() >= 2 && value.find('\\') == std::string_view::npos;
  if (plain_string) {
    text = value.substr(1, value.size() - 2);
    return true;
  }
  const bool converted = first == '"' || (first == '[' && target.kind == TargetKind::kArray) ||
                         (first == '{' && target.kind == TargetKind::kComposite) ||
                         (is_integer(target) && has_point_or_exponent(value));
  if (!converted) return true;
  scratch.clear();
  if (!Literal::append(value, target, 0, scratch)) {
    fault = {sqlstate::kInvalidText,
             shortened(value) + (first == '"' ? " is not a JSON string that UTF-8 can express"
                                              : " is not a JSON value of this type")};
    return false;
  }
  text = scratch;
  return true;
}

CodecPointer json_value_field(const Field& source, const Target& target, CodecPointer text) {
  return std::make_unique<JsonValueField>(source, target, std::move(text));
}

}  // namespace pgsink::encode
