#include "pgsink/encode/values/render.h"

#include <algorithm>
#include <limits>
#include <set>

#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/number_text.h"
#include "pgsink/encode/values/text_field.h"

namespace pgsink::encode {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

/// One row through the block loaders.
template <class V>
V load_one(Loader<V> loader, const Field& field, const ColumnView& column, size_t row) {
  V value{};
  loader(column, Block{row, 1, nullptr}, nullptr, field, &value);
  return value;
}

void append_hex(std::string_view bytes, std::string& to) {
  to += "\\x";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    to += kHexDigits[byte >> 4];
    to += kHexDigits[byte & 15];
  }
}

void append_uuid(std::string_view bytes, std::string& to) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) to += '-';
    const auto byte = static_cast<unsigned char>(bytes[i]);
    to += kHexDigits[byte >> 4];
    to += kHexDigits[byte & 15];
  }
}

bool append_json_string(std::string_view text, std::string& to, Fault& fault) {
  if (text_fault(text, TextRule{}, fault)) return false;
  to += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        to += "\\\"";
        break;
      case '\\':
        to += "\\\\";
        break;
      case '\b':
        to += "\\b";
        break;
      case '\f':
        to += "\\f";
        break;
      case '\n':
        to += "\\n";
        break;
      case '\r':
        to += "\\r";
        break;
      case '\t':
        to += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          to += "\\u00";
          to += kHexDigits[static_cast<unsigned char>(c) >> 4];
          to += kHexDigits[static_cast<unsigned char>(c) & 15];
        } else {
          to += c;
        }
    }
  }
  to += '"';
  return true;
}

bool append_infinity(bool positive, std::string& to) {
  to += positive ? "infinity" : "-infinity";
  return true;
}

bool append_duration(int64_t ticks, TimeUnit unit, std::string& to, Fault& fault) {
  const int64_t per_second = ticks_per_second(unit);
  int64_t micros = 0;
  const bool ok = per_second <= kMicrosPerSecond
                      ? !__builtin_mul_overflow(ticks, kMicrosPerSecond / per_second, &micros)
                      : ticks % (per_second / kMicrosPerSecond) == 0;
  if (per_second > kMicrosPerSecond) micros = ticks / (per_second / kMicrosPerSecond);
  if (!ok) {
    fault.sqlstate = sqlstate::kIntervalOverflow;
    append_span(ticks, unit, fault.message);
    fault.message += " is not a whole number of microseconds or outside interval's range";
    return false;
  }
  append_interval(0, 0, micros, to);
  return true;
}

bool append_interval_value(const Interval& value, std::string& to, Fault& fault) {
  if (value.nanos != 0) {
    fault = {sqlstate::kIntervalOverflow,
             "the interval has " + std::to_string(value.nanos) +
                 " ns more than whole microseconds, the finest that interval holds"};
    return false;
  }
  append_interval(value.months, value.days, value.micros, to);
  return true;
}

bool append_ticks(const Field& field, const ColumnView& column, size_t row, DateStyle style,
                  std::string& to, Fault& fault) {
  const int64_t ticks = load_one<int64_t>(load_ticks, field, column, row);
  const bool narrow = field.kind == ColumnKind::kDate32 || field.kind == ColumnKind::kTime32;
  const int64_t largest =
      narrow ? std::numeric_limits<int32_t>::max() : std::numeric_limits<int64_t>::max();
  if (field.infinities && (ticks == largest || ticks == -largest)) {
    return append_infinity(ticks > 0, to);
  }
  switch (field.kind) {
    case ColumnKind::kDate32:
    case ColumnKind::kDays64:
      append_date(ticks, to);
      return true;
    case ColumnKind::kDate64:
      if (ticks % (kSecondsPerDay * 1000) == 0) {
        append_date(ticks / (kSecondsPerDay * 1000), to);
      } else {
        append_timestamp(ticks, TimeUnit::kMilli, false, style, to);
      }
      return true;
    case ColumnKind::kTime32:
    case ColumnKind::kTime64:
      if (ticks < 0 || ticks > kSecondsPerDay * ticks_per_second(field.unit)) {
        fault.sqlstate = sqlstate::kDatetimeOverflow;
        append_span(ticks, field.unit, fault.message);
        fault.message += " is outside 00:00:00 to 24:00:00";
        return false;
      }
      append_time(ticks, field.unit, to);
      return true;
    case ColumnKind::kDuration:
      return append_duration(ticks, field.unit, to, fault);
    default:
      break;
  }
  append_timestamp(ticks, field.unit, field.utc, style, to);
  return true;
}

enum class Shape : uint8_t { kBare, kQuoted, kString, kNested };

/// Text of a scalar for JSON: bare (numbers, booleans), in quotes without escapes (kQuoted), or as
/// a string (kString).
struct Scalar {
  Shape shape = Shape::kBare;
  bool ok = true;
};

Scalar append_scalar(const Field& field, const ColumnView& column, size_t row, DateStyle style,
                     std::string& to, Fault& fault) {
  switch (field.kind) {
    case ColumnKind::kBoolBits:
    case ColumnKind::kBoolBytes:
      to += load_one<bool>(load_bool, field, column, row) ? "true" : "false";
      return {};
    case ColumnKind::kInt8:
    case ColumnKind::kInt16:
    case ColumnKind::kInt32:
    case ColumnKind::kInt64:
    case ColumnKind::kUint8:
    case ColumnKind::kUint16:
    case ColumnKind::kUint32:
    case ColumnKind::kUint64:
      append_integer(load_one<Integer>(load_integer, field, column, row), to);
      return {};
    case ColumnKind::kFloat16:
    case ColumnKind::kFloat32:
    case ColumnKind::kFloat64: {
      const Float value = load_one<Float>(load_float, field, column, row);
      append_float(value, to);
      const bool finite = value.value - value.value == 0;
      return {finite ? Shape::kBare : Shape::kQuoted};
    }
    case ColumnKind::kDecimal32:
    case ColumnKind::kDecimal64:
    case ColumnKind::kDecimal128:
    case ColumnKind::kDecimal256: {
      DigitBuffer buffer;
      to += text_of(digits_of(load_one<Decimal>(load_decimal, field, column, row), buffer));
      return {};
    }
    case ColumnKind::kIntervalMonths:
    case ColumnKind::kIntervalDayTime:
    case ColumnKind::kIntervalMonthDayNano:
    case ColumnKind::kIntervalMonthDayMicro:
      return {
          Shape::kQuoted,
          append_interval_value(load_one<Interval>(load_interval, field, column, row), to, fault)};
    case ColumnKind::kBinary32:
    case ColumnKind::kBinary64:
    case ColumnKind::kBinaryView:
    case ColumnKind::kFixedBinary:
    case ColumnKind::kStdBytes:
      append_hex(bytes_at(column, field, row), to);
      return {Shape::kString};
    case ColumnKind::kUuid:
      append_uuid(bytes_at(column, field, row), to);
      return {Shape::kQuoted};
    case ColumnKind::kText32:
    case ColumnKind::kText64:
    case ColumnKind::kTextView:
    case ColumnKind::kStdString:
    case ColumnKind::kStdStringView:
      to += bytes_at(column, field, row);
      return {field.json ? Shape::kBare : Shape::kString};
    default:
      break;
  }
  return {Shape::kQuoted, append_ticks(field, column, row, style, to, fault)};
}

bool is_nested(ColumnKind kind) {
  return is_list(kind) || kind == ColumnKind::kStruct || kind == ColumnKind::kMap;
}

/// A struct without names, such as ROW(1, 'a'), gets those of PostgreSQL's row_to_json(): f1, f2, …
std::string json_member_name(const Field& structure, size_t i) {
  const bool named = std::ranges::any_of(structure.children,
                                         [](const Field& child) { return !child.name.empty(); });
  return named ? structure.children[i].name : "f" + std::to_string(i + 1);
}

bool append_object(const Field& field, const ColumnView& column, size_t row, std::string& to,
                   Fault& fault) {
  to += '{';
  for (size_t i = 0; i < field.children.size(); ++i) {
    if (i != 0) to += ',';
    if (!append_json_string(json_member_name(field, i), to, fault)) return false;
    to += ':';
    if (!render_json(field.children[i], column.children[i], row, to, fault)) return false;
  }
  to += '}';
  return true;
}

bool append_map(const Field& field, const ColumnView& column, size_t row, std::string& to,
                Fault& fault) {
  ColumnView scratch;
  const ListItems items = list_items(column, row, field.width, scratch);
  const Field& entry = field.children[0];
  const ColumnView& entries = *items.elements;
  to += '{';
  std::string key;
  for (size_t i = items.first; i < items.first + items.count; ++i) {
    if (i != items.first) to += ',';
    key.clear();
    if (is_null_at(entries.children[0], i)) {
      fault = {sqlstate::kNullNotAllowed, "a map has a NULL key"};
      return false;
    }
    if (!render_text(entry.children[0], entries.children[0], i, key, fault)) return false;
    if (!append_json_string(key, to, fault)) return false;
    to += ':';
    if (!render_json(entry.children[1], entries.children[1], i, to, fault)) return false;
  }
  to += '}';
  return true;
}

bool append_nested(const Field& field, const ColumnView& column, size_t row, std::string& to,
                   Fault& fault) {
  if (field.kind == ColumnKind::kStruct) return append_object(field, column, row, to, fault);
  if (field.kind == ColumnKind::kMap) return append_map(field, column, row, to, fault);
  ColumnView scratch;
  const ListItems items = list_items(column, row, field.width, scratch);
  to += '[';
  for (size_t i = items.first; i < items.first + items.count; ++i) {
    if (i != items.first) to += ',';
    if (!render_json(field.children[0], *items.elements, i, to, fault)) return false;
  }
  to += ']';
  return true;
}

/// RenderField stages text or JSON.
class RenderField final : public StagedBase {
 public:
  RenderField(Field source, const TextRule& rule, bool json)
      : source_(std::move(source)), rule_(rule), json_(json) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    for (size_t i = 0; i < block.count; ++i) {
      if (is_null(i)) {
        staging_.put_null_field();
      } else {
        Fault fault;
        if (!put(column, block.row(i), fault)) faults.push_back({i, std::move(fault)});
      }
      end_row(i, row_bytes);
    }
    return 0;
  }

 private:
  bool put(const ColumnView& column, size_t row, Fault& fault) {
    text_.clear();
    const bool rendered = json_ ? render_json(source_, column, row, text_, fault)
                                : render_text(source_, column, row, text_, fault);
    if (!rendered || text_fault(text_, rule_, fault)) return false;
    const size_t begin = staging_.begin_field();
    if (rule_.jsonb) staging_.put(int8_t{1});
    staging_.put_text(text_);
    staging_.end_field(begin);
    return true;
  }

  Field source_;
  TextRule rule_;
  bool json_;
  std::string text_;
};

}  // namespace

bool is_null_at(const ColumnView& column, size_t row) {
  if (column.kind == ColumnKind::kNull) return true;
  if (column.validity_bits != nullptr) {
    const size_t bit = static_cast<size_t>(column.offset) + row;
    return ((column.validity_bits[bit >> 3] >> (bit & 7)) & 1U) == 0;
  }
  if (column.validity_bytes == nullptr) return false;
  return column.validity_bytes[static_cast<ptrdiff_t>(row) * column.validity_stride_bytes] == 0;
}

bool render_text(const Field& field, const ColumnView& column, size_t row, std::string& to,
                 Fault& fault) {
  if (field.kind == ColumnKind::kDictionary) {
    return render_text(field.children[0], column.children[0],
                       dictionary_row(column, field.index_kind, row), to, fault);
  }
  if (is_nested(field.kind)) return append_nested(field, column, row, to, fault);
  return append_scalar(field, column, row, DateStyle::kText, to, fault).ok;
}

bool render_json(const Field& field, const ColumnView& column, size_t row, std::string& to,
                 Fault& fault) {
  if (is_null_at(column, row)) {
    to += "null";
    return true;
  }
  if (field.kind == ColumnKind::kDictionary) {
    return render_json(field.children[0], column.children[0],
                       dictionary_row(column, field.index_kind, row), to, fault);
  }
  if (is_nested(field.kind)) return append_nested(field, column, row, to, fault);
  const size_t begin = to.size();
  to += '"';
  const Scalar scalar = append_scalar(field, column, row, DateStyle::kJson, to, fault);
  if (!scalar.ok) return false;
  if (scalar.shape == Shape::kBare) {
    to.erase(begin, 1);
  } else if (scalar.shape == Shape::kQuoted) {
    to += '"';
  } else {
    const std::string text = to.substr(begin + 1);
    to.resize(begin);
    return append_json_string(text, to, fault);
  }
  return true;
}

const std::string* find_repeated_member(const Field& field) {
  if (field.kind == ColumnKind::kStruct) {
    std::set<std::string> names;
    for (size_t i = 0; i < field.children.size(); ++i) {
      if (!names.insert(json_member_name(field, i)).second) return &field.children[i].name;
    }
  }
  for (const Field& child : field.children) {
    if (const std::string* repeated = find_repeated_member(child)) return repeated;
  }
  return nullptr;
}

void append_text_as_json(std::string_view bytes, std::string& to) {
  const size_t begin = to.size();
  Fault fault;
  if (append_json_string(bytes, to, fault)) return;
  to.resize(begin);
  to += "\"\\";
  append_hex(bytes, to);
  to += '"';
}

CodecPointer any_to_text(const Field& source, const Target& target) {
  return std::make_unique<RenderField>(source, text_rule(target), false);
}

CodecPointer any_to_json(const Field& source, const Target& target) {
  return std::make_unique<RenderField>(source, text_rule(target), true);
}

}  // namespace pgsink::encode
