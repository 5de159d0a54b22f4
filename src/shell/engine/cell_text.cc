#include "shell/engine/cell_text.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

namespace pgsink::shell {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr int64_t kSecondsPerDay = 86'400;

template <typename T>
T value_at(duckdb_vector vector, idx_t row) {
  return static_cast<const T*>(duckdb_vector_get_data(vector))[row];
}

std::string_view text_at(duckdb_vector vector, idx_t row) {
  auto* strings = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  return {duckdb_string_t_data(&strings[row]), duckdb_string_t_length(strings[row])};
}

template <typename T>
void append_number(std::string& out, T value) {
  char digits[64];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void append_padded(std::string& out, uint64_t value, size_t width) {
  const std::string digits = std::to_string(value);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

/// `magnitude` with `scale` digits after the decimal point.
void append_wide(std::string& out, Uint128 magnitude, bool negative, size_t scale) {
  std::string digits;
  for (size_t count = 0; magnitude != 0 || count <= scale; ++count) {
    if (count == scale && scale > 0) digits += '.';
    digits += static_cast<char>('0' + static_cast<int>(magnitude % 10));
    magnitude /= 10;
  }
  if (negative) digits += '-';
  out.append(digits.rbegin(), digits.rend());
}

void append_hugeint(std::string& out, duckdb_hugeint value, size_t scale) {
  const bool negative = value.upper < 0;
  Uint128 bits = (static_cast<Uint128>(static_cast<uint64_t>(value.upper)) << 64) | value.lower;
  if (negative) bits = ~bits + 1;
  append_wide(out, bits, negative, scale);
}

void append_decimal(std::string& out, const CellType& type, duckdb_vector vector, idx_t row) {
  int64_t value = 0;
  switch (type.internal) {
    case DUCKDB_TYPE_SMALLINT:
      value = value_at<int16_t>(vector, row);
      break;
    case DUCKDB_TYPE_INTEGER:
      value = value_at<int32_t>(vector, row);
      break;
    case DUCKDB_TYPE_BIGINT:
      value = value_at<int64_t>(vector, row);
      break;
    default:
      return append_hugeint(out, value_at<duckdb_hugeint>(vector, row), type.scale);
  }
  const auto magnitude = static_cast<uint64_t>(value);
  append_wide(out, value < 0 ? ~magnitude + 1 : magnitude, value < 0, type.scale);
}

/// A floating-point number in its shortest form that reads back as the same, always visibly one.
template <typename T>
void append_float(std::string& out, T value, CellStyle style) {
  if (!std::isfinite(value)) {
    const std::string_view name = std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    if (style == CellStyle::kJson) return append_json_string(out, name);
    out += name;
    return;
  }
  const size_t start = out.size();
  append_number(out, value);
  if (out.find_first_of(".e", start) == std::string::npos) out += ".0";
}

void append_date(std::string& out, int64_t days) {
  // The calendar of std::chrono ends at year 32767, DuckDB's later, so count in 400-year cycles.
  constexpr int64_t kCycleDays = 146'097;
  int64_t cycles = days / kCycleDays;
  int64_t rest = days % kCycleDays;
  if (rest < 0) {
    rest += kCycleDays;
    --cycles;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(rest))};
  const int64_t year = static_cast<int>(date.year()) + cycles * 400;
  append_padded(out, static_cast<uint64_t>(year > 0 ? year : 1 - year), 4);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.day()), 2);
  if (year <= 0) out += " (BC)";
}

/// A time of day of `per_second` ticks; trailing zeros of the fraction are not written.
void append_time(std::string& out, int64_t ticks, int64_t per_second) {
  const int64_t seconds = ticks / per_second;
  append_padded(out, static_cast<uint64_t>(seconds / 3600), 2);
  out += ':';
  append_padded(out, static_cast<uint64_t>(seconds / 60 % 60), 2);
  out += ':';
  append_padded(out, static_cast<uint64_t>(seconds % 60), 2);
  int64_t fraction = ticks % per_second;
  if (fraction == 0) return;
  out += '.';
  for (int64_t unit = per_second / 10; fraction > 0; unit /= 10) {
    out += static_cast<char>('0' + fraction / unit);
    fraction %= unit;
  }
}

void append_timestamp(std::string& out, int64_t ticks, int64_t per_second, bool utc) {
  constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
  if (ticks == kInfinity || ticks == -kInfinity) {
    out += ticks > 0 ? "infinity" : "-infinity";
    return;
  }
  const int64_t per_day = kSecondsPerDay * per_second;
  int64_t days = ticks / per_day;
  int64_t rest = ticks % per_day;
  if (rest < 0) {
    rest += per_day;
    --days;
  }
  append_date(out, days);
  out += ' ';
  append_time(out, rest, per_second);
  if (utc) out += "+00";
}

void append_interval(std::string& out, duckdb_interval value) {
  const size_t start = out.size();
  const auto unit = [&](int32_t count, std::string_view name) {
    if (count == 0) return;
    if (out.size() > start) out += ' ';
    append_number(out, count);
    out.append(" ").append(name);
    if (count != 1 && count != -1) out += 's';
  };
  unit(value.months / 12, "year");
  unit(value.months % 12, "month");
  unit(value.days, "day");
  if (value.micros != 0 || out.size() == start) {
    if (out.size() > start) out += ' ';
    if (value.micros < 0) out += '-';
    // The smallest int64 has no positive twin: its magnitude is one more than the largest.
    const auto bits = static_cast<uint64_t>(value.micros);
    const uint64_t magnitude = value.micros < 0 ? ~bits + 1 : bits;
    append_time(
        out,
        static_cast<int64_t>(std::min<uint64_t>(magnitude, std::numeric_limits<int64_t>::max())),
        1'000'000);
  }
}

void append_uuid(std::string& out, duckdb_hugeint value) {
  // Stored with the top bit flipped, so that UUIDs sort as signed integers do.
  const uint64_t high = static_cast<uint64_t>(value.upper) ^ (uint64_t{1} << 63);
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int nibble = 0; nibble < 32; ++nibble) {
    if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) out += '-';
    const uint64_t half = nibble < 16 ? high : value.lower;
    out += kDigits[(half >> (60 - 4 * (nibble % 16))) & 15];
  }
}

void append_blob(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\x";
  for (const char byte : bytes) {
    out += kDigits[static_cast<uint8_t>(byte) >> 4];
    out += kDigits[static_cast<uint8_t>(byte) & 15];
  }
}

void append_time_tz(std::string& out, uint64_t bits) {
  const duckdb_time_tz_struct value = duckdb_from_time_tz(duckdb_time_tz{bits});
  const auto& time = value.time;
  append_time(out, ((time.hour * 60 + time.min) * 60 + time.sec) * int64_t{1'000'000} + time.micros,
              1'000'000);
  const int32_t offset = value.offset;
  out += offset < 0 ? '-' : '+';
  append_padded(out, static_cast<uint64_t>(std::abs(offset) / 3600), 2);
  if (offset % 3600 != 0) {
    out += ':';
    append_padded(out, static_cast<uint64_t>(std::abs(offset) / 60 % 60), 2);
  }
}

/// Numbers and booleans: the same in both styles. False if the type is none of them.
bool append_scalar(std::string& out, const CellColumn& column, idx_t row, CellStyle style) {
  duckdb_vector vector = column.vector;
  switch (column.type.id) {
    case DUCKDB_TYPE_BOOLEAN:
      out += value_at<bool>(vector, row) ? "true" : "false";
      return true;
    case DUCKDB_TYPE_TINYINT:
      append_number(out, value_at<int8_t>(vector, row));
      return true;
    case DUCKDB_TYPE_SMALLINT:
      append_number(out, value_at<int16_t>(vector, row));
      return true;
    case DUCKDB_TYPE_INTEGER:
      append_number(out, value_at<int32_t>(vector, row));
      return true;
    case DUCKDB_TYPE_BIGINT:
      append_number(out, value_at<int64_t>(vector, row));
      return true;
    case DUCKDB_TYPE_UTINYINT:
      append_number(out, value_at<uint8_t>(vector, row));
      return true;
    case DUCKDB_TYPE_USMALLINT:
      append_number(out, value_at<uint16_t>(vector, row));
      return true;
    case DUCKDB_TYPE_UINTEGER:
      append_number(out, value_at<uint32_t>(vector, row));
      return true;
    case DUCKDB_TYPE_UBIGINT:
      append_number(out, value_at<uint64_t>(vector, row));
      return true;
    case DUCKDB_TYPE_FLOAT:
      append_float(out, value_at<float>(vector, row), style);
      return true;
    case DUCKDB_TYPE_DOUBLE:
      append_float(out, value_at<double>(vector, row), style);
      return true;
    case DUCKDB_TYPE_DECIMAL:
      append_decimal(out, column.type, vector, row);
      return true;
    case DUCKDB_TYPE_HUGEINT:
      append_hugeint(out, value_at<duckdb_hugeint>(vector, row), 0);
      return true;
    case DUCKDB_TYPE_UHUGEINT: {
      const auto value = value_at<duckdb_uhugeint>(vector, row);
      append_wide(out, (static_cast<Uint128>(value.upper) << 64) | value.lower, false, 0);
      return true;
    }
    default:
      return false;
  }
}

/// Everything that is text: JSON wants quotes around it. False if the type is nested.
bool append_textual(std::string& out, const CellColumn& column, idx_t row) {
  duckdb_vector vector = column.vector;
  const auto ticks = [&] { return value_at<int64_t>(vector, row); };
  switch (column.type.id) {
    case DUCKDB_TYPE_VARCHAR:
      out += text_at(vector, row);
      return true;
    case DUCKDB_TYPE_BLOB:
      append_blob(out, text_at(vector, row));
      return true;
    case DUCKDB_TYPE_DATE: {
      const auto days = value_at<int32_t>(vector, row);
      constexpr int32_t kInfinity = std::numeric_limits<int32_t>::max();
      if (days == kInfinity || days == -kInfinity) {
        out += days > 0 ? "infinity" : "-infinity";
      } else {
        append_date(out, days);
      }
      return true;
    }
    case DUCKDB_TYPE_TIME:
      append_time(out, ticks(), 1'000'000);
      return true;
    case DUCKDB_TYPE_TIME_NS:
      append_time(out, ticks(), 1'000'000'000);
      return true;
    case DUCKDB_TYPE_TIME_TZ:
      append_time_tz(out, value_at<uint64_t>(vector, row));
      return true;
    case DUCKDB_TYPE_TIMESTAMP:
      append_timestamp(out, ticks(), 1'000'000, false);
      return true;
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      append_timestamp(out, ticks(), 1'000'000, true);
      return true;
    case DUCKDB_TYPE_TIMESTAMP_S:
      append_timestamp(out, ticks(), 1, false);
      return true;
    case DUCKDB_TYPE_TIMESTAMP_MS:
      append_timestamp(out, ticks(), 1'000, false);
      return true;
    case DUCKDB_TYPE_TIMESTAMP_NS:
      append_timestamp(out, ticks(), 1'000'000'000, false);
      return true;
    case DUCKDB_TYPE_INTERVAL:
      append_interval(out, value_at<duckdb_interval>(vector, row));
      return true;
    case DUCKDB_TYPE_UUID:
      append_uuid(out, value_at<duckdb_hugeint>(vector, row));
      return true;
    case DUCKDB_TYPE_ENUM: {
      const size_t index =
          column.type.internal == DUCKDB_TYPE_UTINYINT    ? value_at<uint8_t>(vector, row)
          : column.type.internal == DUCKDB_TYPE_USMALLINT ? value_at<uint16_t>(vector, row)
                                                          : value_at<uint32_t>(vector, row);
      out += column.type.names[index];
      return true;
    }
    default:
      return false;
  }
}

void append_elements(std::string& out, const CellType& type, duckdb_vector elements, idx_t begin,
                     idx_t count, CellStyle style) {
  const CellColumn element{type, elements};
  out += '[';
  for (idx_t i = 0; i < count; ++i) {
    if (i > 0) out += style == CellStyle::kJson ? "," : ", ";
    element.append(out, begin + i, style);
  }
  out += ']';
}

void append_struct(std::string& out, const CellColumn& column, idx_t row, CellStyle style) {
  out += '{';
  for (size_t i = 0; i < column.type.children.size(); ++i) {
    if (i > 0) out += style == CellStyle::kJson ? "," : ", ";
    if (style == CellStyle::kJson) {
      append_json_string(out, column.type.names[i]);
      out += ':';
    } else {
      out.append(column.type.names[i]).append(": ");
    }
    CellColumn{column.type.children[i], duckdb_struct_vector_get_child(column.vector, i)}.append(
        out, row, style);
  }
  out += '}';
}

void append_map(std::string& out, const CellColumn& column, idx_t row, CellStyle style) {
  const auto entry = value_at<duckdb_list_entry>(column.vector, row);
  duckdb_vector entries = duckdb_list_vector_get_child(column.vector);
  const CellColumn keys{column.type.children[0], duckdb_struct_vector_get_child(entries, 0)};
  const CellColumn values{column.type.children[1], duckdb_struct_vector_get_child(entries, 1)};
  out += '{';
  for (idx_t i = entry.offset; i < entry.offset + entry.length; ++i) {
    if (i > entry.offset) out += style == CellStyle::kJson ? "," : ", ";
    std::string key;
    keys.append(key, i, CellStyle::kPlain);
    if (style == CellStyle::kJson) {
      append_json_string(out, key);
      out += ':';
    } else {
      out.append(key).append("=");
    }
    values.append(out, i, style);
  }
  out += '}';
}

}  // namespace

CellType CellType::of(duckdb_logical_type type) {
  CellType cell;
  cell.id = duckdb_get_type_id(type);
  if (char* alias = duckdb_logical_type_get_alias(type)) {
    cell.json = cell.id == DUCKDB_TYPE_VARCHAR && std::string_view(alias) == "JSON";
    duckdb_free(alias);
  }
  const auto child = [&](duckdb_logical_type taken) {
    const OwnedType owned(taken);
    cell.children.push_back(of(owned.get()));
  };
  const auto name = [&](char* taken) {
    cell.names.emplace_back(taken);
    duckdb_free(taken);
  };
  switch (cell.id) {
    case DUCKDB_TYPE_DECIMAL:
      cell.internal = duckdb_decimal_internal_type(type);
      cell.scale = duckdb_decimal_scale(type);
      break;
    case DUCKDB_TYPE_ENUM:
      cell.internal = duckdb_enum_internal_type(type);
      for (idx_t i = 0; i < duckdb_enum_dictionary_size(type); ++i) {
        name(duckdb_enum_dictionary_value(type, i));
      }
      break;
    case DUCKDB_TYPE_LIST:
      child(duckdb_list_type_child_type(type));
      break;
    case DUCKDB_TYPE_ARRAY:
      cell.array_length = duckdb_array_type_array_size(type);
      child(duckdb_array_type_child_type(type));
      break;
    case DUCKDB_TYPE_MAP:
      child(duckdb_map_type_key_type(type));
      child(duckdb_map_type_value_type(type));
      break;
    case DUCKDB_TYPE_STRUCT:
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        name(duckdb_struct_type_child_name(type, i));
        child(duckdb_struct_type_child_type(type, i));
      }
      break;
    default:
      break;
  }
  return cell;
}

bool CellType::is_number() const {
  return (id >= DUCKDB_TYPE_TINYINT && id <= DUCKDB_TYPE_DOUBLE) || id == DUCKDB_TYPE_DECIMAL ||
         id == DUCKDB_TYPE_HUGEINT || id == DUCKDB_TYPE_UHUGEINT;
}

bool CellColumn::is_null(idx_t row) const {
  uint64_t* validity = duckdb_vector_get_validity(vector);
  return validity != nullptr && !duckdb_validity_row_is_valid(validity, row);
}

void CellColumn::append(std::string& out, idx_t row, CellStyle style) const {
  const bool to_json = style == CellStyle::kJson;
  if (is_null(row)) {
    out += to_json ? "null" : "NULL";
    return;
  }
  if (append_scalar(out, *this, row, style)) return;
  if (type.json) {
    out += text_at(vector, row);
    return;
  }
  switch (type.id) {
    case DUCKDB_TYPE_LIST: {
      const auto entry = value_at<duckdb_list_entry>(vector, row);
      return append_elements(out, type.children[0], duckdb_list_vector_get_child(vector),
                             entry.offset, entry.length, style);
    }
    case DUCKDB_TYPE_ARRAY:
      return append_elements(out, type.children[0], duckdb_array_vector_get_child(vector),
                             row * type.array_length, type.array_length, style);
    case DUCKDB_TYPE_STRUCT:
      return append_struct(out, *this, row, style);
    case DUCKDB_TYPE_MAP:
      return append_map(out, *this, row, style);
    default:
      break;
  }
  std::string text;
  if (!append_textual(text, *this, row)) text = "?";
  if (to_json) {
    append_json_string(out, text);
  } else {
    out += text;
  }
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          out += "\\u00";
          out += kDigits[static_cast<uint8_t>(c) >> 4];
          out += kDigits[static_cast<uint8_t>(c) & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace pgsink::shell
