// Text → arrays, composites, ranges and multiranges: the literals of PostgreSQL.

#include <array>
#include <limits>
#include <string>
#include <vector>

#include <pgproto/ascii.h>

#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/text_reader.h"
#include "pgsink/encode/values/array.h"

namespace pgsink::encode {
namespace {

bool parse_field(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const size_t begin = out.begin_field();
  if (!parse_value(target, text, out, fault)) return false;
  out.end_field(begin);
  return true;
}

/// Reads an attribute's or bound's text up to an unquoted character of `stops`. A backslash takes
/// the next character as it is; inside quotes "" is a quote. False at the end of the text.
bool read_quotable(TextReader& reader, std::string_view stops, std::string& text, bool& quoted) {
  text.clear();
  quoted = false;
  bool inside = false;
  while (!reader.done()) {
    const char c = reader.peek();
    if (!inside && stops.find(c) != std::string_view::npos) return true;
    reader.skip(1);
    if (c == '\\') {
      if (reader.done()) return false;
      text += reader.peek();
      reader.skip(1);
    } else if (c == '"') {
      if (inside && reader.peek() == '"') {
        text += '"';
        reader.skip(1);
      } else {
        inside = !inside;
        quoted = true;
      }
    } else {
      text += c;
    }
  }
  return false;
}

/// ArrayParser reads {…} with nested braces. Server: array_in().
class ArrayParser {
 public:
  ArrayParser(const Target& target, std::string_view text)
      : element_(target.parts[0]), reader_(pgproto::ascii::trim(text)) {}

  bool parse(Scratch& out, Fault& fault) {
    if (!read_bounds()) return false;
    TextReader ahead = reader_;
    while (ahead.take('{')) {
      ++depth_;
      ahead.skip_spaces();
    }
    if (depth_ == 0 || depth_ > kArrayDimensionsMax) return false;
    if (depth_ == 1 && ahead.take('}')) {
      ahead.skip_spaces();
      put_header(0, out);
      return ahead.done() && bounds_.empty();
    }
    if (put_empty(out)) return true;
    if (!bounds_.empty() && bounds_.size() != depth_) return false;
    const size_t begin = out.size();
    put_header(depth_, out);
    if (!parse_level(0, out, fault)) return false;
    reader_.skip_spaces();
    if (!reader_.done()) return false;
    return finish(out, begin);
  }

 private:
  static constexpr size_t kHeaderBytes = 12;

  /// Since 17 the server takes empty arrays inside of others for one that is empty.
  bool put_empty(Scratch& out) const {
    TextReader ahead = reader_;
    if (!element_.rules.since(17) || !bounds_.empty() || !read_empty(ahead, 1)) return false;
    ahead.skip_spaces();
    if (!ahead.done()) return false;
    put_header(0, out);
    return true;
  }
  bool read_empty(TextReader& reader, size_t level) const {
    if (!reader.take('{')) return false;
    do {
      reader.skip_spaces();
      if (level < depth_ && !read_empty(reader, level + 1)) return false;
      reader.skip_spaces();
    } while (level < depth_ && reader.take(element_.delimiter));
    return reader.take('}');
  }

  void put_header(size_t depth, Scratch& out) const {
    out.put(static_cast<int32_t>(depth));
    out.put(int32_t{0});
    out.put(element_.oid);
    for (size_t i = 0; i < depth; ++i) out.put(int64_t{0});  // length and bound, set at the end
  }

  bool finish(Scratch& out, size_t begin) const {
    std::byte* at = out.data() + begin;
    pgproto::store_be(at + 4, int32_t{has_null_ ? 1 : 0});
    at += kHeaderBytes;
    for (size_t level = 0; level < depth_; ++level, at += 8) {
      const auto length = static_cast<int32_t>(lengths_[level]);
      int32_t lower = 1;
      if (!bounds_.empty()) {
        lower = bounds_[level].first;
        if (int64_t{bounds_[level].second} - lower + 1 != length) return false;
      }
      pgproto::store_be(at, length);
      pgproto::store_be(at + 4, lower);
    }
    return true;
  }

  /// [2:4][0:1]=
  bool read_bounds() {
    while (reader_.take('[')) {
      int32_t lower = 1;
      int32_t upper = 0;
      if (!read_int(upper)) return false;
      if (reader_.take(':')) {
        lower = upper;
        if (!read_int(upper)) return false;
      }
      constexpr int32_t kUpperEnd =
          std::numeric_limits<int32_t>::max();  // Server: ArrayCheckBounds()
      if (upper == kUpperEnd || !reader_.take(']') || bounds_.size() == kArrayDimensionsMax)
        return false;
      bounds_.emplace_back(lower, upper);
    }
    if (bounds_.empty()) return true;
    reader_.skip_spaces();
    if (!reader_.take('=')) return false;
    reader_.skip_spaces();
    return true;
  }

  bool read_int(int32_t& value) {
    const bool negative = reader_.take('-');
    if (!negative) reader_.take('+');
    int64_t number = 0;
    constexpr size_t kDigitsMax = 18;
    if (!reader_.take_number(1, kDigitsMax, number)) return false;
    value = static_cast<int32_t>(negative ? -number : number);
    return value == (negative ? -number : number);
  }

  bool parse_level(size_t level, Scratch& out, Fault& fault) {
    if (!reader_.take('{')) return false;
    size_t count = 0;
    do {
      reader_.skip_spaces();
      const bool ok =
          level + 1 < depth_ ? parse_level(level + 1, out, fault) : parse_element(out, fault);
      if (!ok) return false;
      ++count;
      reader_.skip_spaces();
    } while (reader_.take(element_.delimiter));
    if (!reader_.take('}')) return false;
    if (lengths_[level] == 0) lengths_[level] = count;
    return lengths_[level] == count;
  }

  bool parse_element(Scratch& out, Fault& fault) {
    const bool quoted = reader_.peek() == '"';
    if (quoted ? !read_quoted() : !read_bare()) return false;
    if (!quoted && !escaped_) {
      TextReader word(text_);
      if (word.take_word("NULL") && word.done()) {
        has_null_ = true;
        out.put_null_field();
        return true;
      }
    }
    return parse_field(element_, text_, out, fault);
  }

  /// "…" with backslash escapes; only white space may follow.
  bool read_quoted() {
    text_.clear();
    reader_.skip(1);
    while (!reader_.take('"')) {
      reader_.take('\\');
      if (reader_.done()) return false;
      text_ += reader_.peek();
      reader_.skip(1);
    }
    reader_.skip_spaces();
    return reader_.peek() == element_.delimiter || reader_.peek() == '}';
  }

  /// Up to the next separator, white space at the end not counted unless escaped.
  bool read_bare() {
    text_.clear();
    escaped_ = false;
    size_t end = 0;
    while (!reader_.done() && reader_.peek() != element_.delimiter && reader_.peek() != '}') {
      const bool escape = reader_.take('\\');
      const char c = reader_.peek();
      if (reader_.done() || (!escape && (c == '"' || c == '{'))) return false;
      text_ += c;
      reader_.skip(1);
      if (escape || !TextReader::is_space(c)) end = text_.size();
      escaped_ |= escape;
    }
    text_.resize(end);
    return end != 0;
  }

  const Target& element_;
  TextReader reader_;
  size_t depth_ = 0;
  std::array<size_t, kArrayDimensionsMax> lengths_{};
  std::vector<std::pair<int32_t, int32_t>> bounds_;
  bool has_null_ = false;
  std::string text_;  ///< Of the element at hand.
  bool escaped_ = false;
};

// Server: range_recv(): RANGE_EMPTY …
constexpr uint8_t kRangeEmpty = 0x01;
constexpr uint8_t kLowerInclusive = 0x02;
constexpr uint8_t kUpperInclusive = 0x04;
constexpr uint8_t kLowerInfinite = 0x08;
constexpr uint8_t kUpperInfinite = 0x10;

/// Reads one range at the front. Server: range_parse().
bool read_range(const Target& target, TextReader& reader, Scratch& out, Fault& fault) {
  reader.skip_spaces();
  if (reader.take_word("empty")) {
    out.put(kRangeEmpty);
    return true;
  }
  uint8_t flags = 0;
  if (reader.take('[')) {
    flags |= kLowerInclusive;
  } else if (!reader.take('(')) {
    return false;
  }
  const size_t flags_at = out.size();
  out.put(flags);
  const Target& bound = target.parts[0];
  std::string text;
  bool quoted = false;
  if (!read_quotable(reader, ",()[]", text, quoted) || !reader.take(',')) return false;
  if (text.empty() && !quoted) {
    flags = kLowerInfinite;
  } else if (!parse_field(bound, text, out, fault)) {
    return false;
  }
  if (!read_quotable(reader, ",()[]", text, quoted)) return false;
  if (text.empty() && !quoted) {
    flags |= kUpperInfinite;
  } else if (!parse_field(bound, text, out, fault)) {
    return false;
  }
  if (reader.take(']')) {
    if ((flags & kUpperInfinite) == 0) flags |= kUpperInclusive;
  } else if (!reader.take(')')) {
    return false;
  }
  out.data()[flags_at] = static_cast<std::byte>(flags);
  return true;
}

/// A fault that a part has set stays; otherwise the literal as a whole is malformed.
bool failed(const Target& target, std::string_view text, std::string_view form, Fault& fault) {
  if (fault.message.empty()) fault = parse_fault(target, text, form);
  return false;
}

}  // namespace

bool parse_array(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  if (ArrayParser(target, text).parse(out, fault)) return true;
  return failed(target, text, "a rectangular array literal as {1,2,NULL}", fault);
}

// Server: record_in(). An attribute with nothing between the commas is NULL.
bool parse_composite(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  constexpr std::string_view kForm =
      "a row literal with one value for each attribute, as (1,\"a b\",)";
  TextReader reader(pgproto::ascii::trim(text));
  if (!reader.take('(')) return failed(target, text, kForm, fault);
  out.put(static_cast<int32_t>(target.parts.size()));
  std::string value;
  bool quoted = false;
  for (size_t i = 0; i < target.parts.size(); ++i) {
    if (i != 0 && !reader.take(',')) return failed(target, text, kForm, fault);
    if (!read_quotable(reader, ",)", value, quoted)) {
      return failed(target, text, kForm, fault);
    }
    out.put(target.parts[i].oid);
    if (value.empty() && !quoted) {
      out.put_null_field();
    } else if (!parse_field(target.parts[i], value, out, fault)) {
      return failed(target, text, kForm, fault);
    }
  }
  if (reader.take(')') && reader.done()) return true;
  return failed(target, text, kForm, fault);
}

bool parse_range(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  TextReader reader(pgproto::ascii::trim(text));
  if (read_range(target, reader, out, fault) && reader.done()) return true;
  return failed(target, text, "a range literal as [1,5) or empty", fault);
}

bool parse_multirange(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  constexpr std::string_view kForm = "a multirange literal as {[1,5),[7,9)}";
  TextReader reader(pgproto::ascii::trim(text));
  const size_t count_at = out.size();
  int32_t count = 0;
  out.put(count);
  if (!reader.take('{')) return failed(target, text, kForm, fault);
  reader.skip_spaces();
  if (!reader.take('}')) {
    do {
      const size_t begin = out.begin_field();
      if (!read_range(target.parts[0], reader, out, fault)) {
        return failed(target, text, kForm, fault);
      }
      out.end_field(begin);
      ++count;
      reader.skip_spaces();
    } while (reader.take(','));
    if (!reader.take('}')) return failed(target, text, kForm, fault);
  }
  if (!reader.done()) return failed(target, text, kForm, fault);
  pgproto::store_be(out.data() + count_at, count);
  return true;
}

}  // namespace pgsink::encode
