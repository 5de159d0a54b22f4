// Any bytes as standard input, as lines of JSON and as CSV: no line is lost or swallowed, however
// the bytes come, and what is read is what a plain reading of RFC 8259, and of COPY's rules for
// CSV, makes of it.

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <pgproto/utf8.h>

#include "check.h"
#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/plain_number.h"
#include "shell/records/column_samples.h"
#include "shell/records/record_columns.h"

namespace {

using namespace pgsink::shell;

// ---- records ---------------------------------------------------------------------------------

std::vector<TextRecord> cut(RecordReader& reader, std::string_view input, size_t step) {
  std::vector<TextRecord> records;
  for (size_t at = 0; at < input.size(); at += step) {
    reader.push(input.substr(at, step));
    if (!reader.take(SIZE_MAX, records)) return {};
  }
  reader.end();
  if (!reader.take(SIZE_MAX, records)) return {};
  FUZZ_CHECK(reader.finished());
  return records;
}

std::vector<std::string_view> lines_of(std::string_view input) {
  if (input.starts_with("\xef\xbb\xbf")) input.remove_prefix(3);
  std::vector<std::string_view> lines;
  while (!input.empty()) {
    const size_t end = input.find('\n');
    lines.push_back(input.substr(0, end));
    if (end == std::string_view::npos) break;
    input.remove_prefix(end + 1);
  }
  return lines;
}

/// Every line is in one record, or blank.
void check_lines(std::string_view input, const std::vector<TextRecord>& records) {
  const auto lines = lines_of(input);
  size_t line = 0;
  const auto skip_blanks = [&](size_t until) {
    for (; line < until; ++line) {
      FUZZ_CHECK(lines[line].find_first_not_of(" \t\r") == std::string_view::npos);
    }
  };
  for (const TextRecord& record : records) {
    FUZZ_CHECK(record.line >= 1 && record.line <= lines.size());
    skip_blanks(record.line - 1);
    FUZZ_CHECK(line == record.line - 1);
    std::string text(lines[line++]);
    for (const char c : record.text) {
      if (c != '\n') continue;
      FUZZ_CHECK(line < lines.size());
      text.append(1, '\n').append(lines[line++]);
    }
    if (text.ends_with('\r')) text.pop_back();
    FUZZ_CHECK(text == record.text);
  }
  skip_blanks(lines.size());
}

// ---- CSV, as COPY's CopyReadAttributesCSV() reads it -----------------------------------------

struct Field {
  std::string text;
  bool quoted = false;
};

std::optional<std::vector<Field>> reference_csv(std::string_view record,
                                                const CsvDialect& dialect) {
  std::vector<Field> fields(1);
  bool inside = false;
  for (size_t i = 0; i < record.size(); ++i) {
    const char c = record[i];
    Field& field = fields.back();
    if (inside) {
      const bool more = i + 1 < record.size();
      if (c == dialect.escape && more &&
          (record[i + 1] == dialect.escape || record[i + 1] == dialect.quote)) {
        field.text += record[++i];
      } else if (c == dialect.quote) {
        inside = false;
      } else {
        field.text += c;
      }
    } else if (c == dialect.delimiter) {
      fields.emplace_back();
    } else if (c == dialect.quote) {
      inside = field.quoted = true;
    } else if (c == '\r') {
      return std::nullopt;
    } else {
      field.text += c;
    }
  }
  if (inside) return std::nullopt;
  return fields;
}

void check_csv(std::string_view record, const CsvDialect& dialect) {
  const auto fields = split_csv(record, dialect);
  const auto reference = reference_csv(record, dialect);
  FUZZ_CHECK(fields.has_value() == reference.has_value());
  if (!fields) return;
  FUZZ_CHECK(fields->size() == reference->size());
  for (size_t i = 0; i < fields->size(); ++i) {
    FUZZ_CHECK((*fields)[i].text == (*reference)[i].text);
    FUZZ_CHECK((*fields)[i].quoted == (*reference)[i].quoted);
    FUZZ_CHECK((*fields)[i].is_null ==
               (!(*reference)[i].quoted && (*reference)[i].text == dialect.null));
  }
}

// ---- JSON, as RFC 8259 has it ----------------------------------------------------------------

struct Member {
  std::string key;
  std::string_view value;
};

class ReferenceJson {
 public:
  explicit ReferenceJson(std::string_view text) : text_(text) {}

  /// The members of the object that the text is.
  std::optional<std::vector<Member>> object() {
    std::vector<Member> members;
    blanks();
    if (!read_object(0, &members)) return std::nullopt;
    blanks();
    if (at_ != text_.size()) return std::nullopt;
    return members;
  }
  bool too_deep() const { return too_deep_; }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }
  bool word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool digits() {
    const size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > begin;
  }

  bool read_value(size_t depth) {
    switch (peek()) {
      case '{':
        return read_object(depth, nullptr);
      case '[':
        return read_array(depth);
      case '"':
        return read_string(nullptr);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return read_number();
    }
  }
  bool read_number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (peek() != 'e' && peek() != 'E') return true;
    ++at_;
    if (!take('+')) take('-');
    return digits();
  }
  /// `content` gets what the string says; left alone where UTF-8 cannot say it.
  bool read_string(std::string* content) {
    if (!take('"')) return false;
    const size_t begin = at_ - 1;
    while (!take('"')) {
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_++] != '\\') continue;
      if (at_ >= text_.size()) return false;
      const char escape = text_[at_++];
      if (escape == 'u') {
        for (int i = 0; i < 4; ++i, ++at_) {
          if (std::string_view("0123456789abcdefABCDEF").find(peek()) == std::string_view::npos ||
              at_ >= text_.size()) {
            return false;
          }
        }
      } else if (std::string_view("\"\\/bfnrt").find(escape) == std::string_view::npos) {
        return false;
      }
    }
    if (content == nullptr) return true;
    return pgsink::encode::append_json_content(text_.substr(begin, at_ - begin), *content);
  }
  bool read_object(size_t depth, std::vector<Member>* members) {
    if (!take('{') || deeper(depth)) return false;
    blanks();
    if (take('}')) return true;
    do {
      blanks();
      Member member;
      // A key that UTF-8 cannot say names no column.
      if (!read_string(&member.key)) return false;
      blanks();
      if (!take(':')) return false;
      blanks();
      const size_t begin = at_;
      if (!read_value(depth + 1)) return false;
      member.value = text_.substr(begin, at_ - begin);
      if (members != nullptr) members->push_back(member);
      blanks();
    } while (take(','));
    return take('}');
  }
  bool read_array(size_t depth) {
    if (!take('[') || deeper(depth)) return false;
    blanks();
    if (take(']')) return true;
    do {
      blanks();
      if (!read_value(depth + 1)) return false;
      blanks();
    } while (take(','));
    return take(']');
  }
  bool deeper(size_t depth) {
    too_deep_ = too_deep_ || depth >= JsonReader::kDepthMax;
    return too_deep_;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool too_deep_ = false;
};

/// What the library makes of a value for columns of several types.
void check_values(std::string_view value) {
  using pgsink::encode::Target;
  using pgsink::encode::TargetKind;
  Target element;
  element.kind = TargetKind::kText;
  Target json;
  json.kind = TargetKind::kJsonb;
  Target array;
  array.kind = TargetKind::kArray;
  array.parts = {element};
  Target row;
  row.kind = TargetKind::kComposite;
  row.parts = {element, array};
  row.names = {"a", "b"};
  for (const Target& target : {element, json, array, row}) {
    std::string scratch;
    std::string_view text;
    pgsink::encode::Fault fault;
    const bool made = pgsink::encode::json_input_text(value, target, scratch, text, fault);
    FUZZ_CHECK(made || !fault.message.empty());
    FUZZ_CHECK(target.kind != TargetKind::kJsonb || text == value);
  }
}

void check_json(std::string_view record, JsonReader& reader) {
  ReferenceJson reference(record);
  const bool text = pgproto::utf8_is_text(record);
  const auto members = reader.read_object(record);
  const auto wanted = reference.object();
  FUZZ_CHECK(members.has_value() == (text && wanted.has_value()));
  if (!members) return;
  FUZZ_CHECK(members->size() == wanted->size());
  std::vector<Member> kept;
  for (size_t i = 0; i < members->size(); ++i) {
    FUZZ_CHECK((*members)[i].key == (*wanted)[i].key);
    FUZZ_CHECK((*members)[i].value.text == (*wanted)[i].value);
    kept.push_back({"", (*wanted)[i].value});
  }
  for (const Member& member : kept) {
    check_values(member.value);
    const auto node = reader.read_value(member.value);
    FUZZ_CHECK(node && node->value.text == member.value);
  }
}

// ---- numbers ---------------------------------------------------------------------------------

/// Its digits without zeros at either end, and the power of ten of the last one.
std::pair<std::string, int64_t> normalised(const pgsink::encode::NumberText& number) {
  std::string digits = std::string(number.whole) + std::string(number.fraction);
  int64_t power = number.exponent - static_cast<int64_t>(number.fraction.size());
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++power;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return {"", 0};
  return {(number.negative ? "-" : "") + digits, power};
}

void check_number(std::string_view text) {
  const auto number = pgsink::encode::read_number(text);
  if (!number) return;
  const auto plain = pgsink::encode::plain_number(*number, 100);
  if (!plain) return;
  const auto again = pgsink::encode::read_number(*plain);
  FUZZ_CHECK(again && !again->has_exponent);
  FUZZ_CHECK(normalised(*again) == normalised(*number));
}

/// Columns as the command makes them: found in the first record, read in all.
void check_columns(RecordColumns& columns, const std::vector<TextRecord>& records,
                   const ColumnUse& use) {
  for (const TextRecord& record : records) {
    std::ignore = columns.sample(record.text);
  }
  columns.set_uses(std::vector<ColumnUse>(columns.columns().size(), use), true);
  for (const TextRecord& record : records) {
    const auto values = columns.read(record.text);
    FUZZ_CHECK(values || !values.error().empty());
    FUZZ_CHECK(!values || values->size() == columns.columns().size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  const uint8_t options = in.byte();
  const size_t step = 1 + in.byte() % 32;
  const size_t width = in.byte() % 4;
  CsvDialect dialect;
  if ((options & 1U) != 0) dialect = {';', '\'', '\\', "NULL"};
  const std::string_view input = in.take_rest();
  const ColumnUse use{.passed = (options & 2U) != 0,
                      .text = (options & 4U) != 0,
                      .number = (options & 8U) != 0,
                      .other = (options & 16U) != 0};

  LineReader lines;
  const auto records = cut(lines, input, step);
  LineReader at_once;
  FUZZ_CHECK(cut(at_once, input, input.size() + 1).size() == records.size());
  if (!records.empty()) check_lines(input, records);
  JsonReader reader;
  JsonColumns json({});
  for (const TextRecord& record : records) {
    check_json(record.text, reader);
    check_number(record.text);
  }
  check_columns(json, records, use);

  CsvReader csv(dialect);
  csv.set_width(width);
  const auto csv_records = cut(csv, input, step);
  CsvReader csv_at_once(dialect);
  csv_at_once.set_width(width);
  const auto same = cut(csv_at_once, input, input.size() + 1);
  FUZZ_CHECK(same.size() == csv_records.size());
  for (size_t i = 0; i < same.size(); ++i) FUZZ_CHECK(same[i].text == csv_records[i].text);
  if (!csv_records.empty()) check_lines(input, csv_records);
  for (const TextRecord& record : csv_records) check_csv(record.text, dialect);
  CsvColumns columns(dialect, {});
  if (!csv_records.empty() && columns.set_header(csv_records.front().text)) {
    check_columns(columns, csv_records, use);
  }
  return 0;
}
