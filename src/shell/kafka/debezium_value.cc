#include "shell/kafka/debezium_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <pgproto/base64.h>

#include "shell/text/json_text.h"

namespace pgsink::shell {
namespace {

using Text = std::expected<std::string, std::string>;
using Kind = ExactType::Kind;

constexpr std::string_view kUnavailable = "__debezium_unavailable_value";
/// The same as bytes in base64, and as a UUID (version 3).
constexpr std::string_view kUnavailableBytes = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
constexpr std::string_view kUnavailableUuid = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";
constexpr int64_t kMicrosPerSecond = 1'000'000, kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
/// A number of digits beyond that is a mistake: PostgreSQL's numeric has no more.
constexpr int64_t kScaleMax = 16'383;
/// The bytes of its largest number.
constexpr size_t kDecimalBytesMax = 61'230;

std::unexpected<std::string> is_not(const JsonNode& value, std::string_view what) {
  constexpr size_t kShownMax = 40;
  const std::string_view text = value.value.text;
  return std::unexpected("'" + std::string(text.substr(0, kShownMax)) +
                         (text.size() > kShownMax ? "…' is not " : "' is not ") +
                         std::string(what));
}

bool is_string(const JsonNode& value, std::string_view content) {
  return value.value.kind == JsonKind::kString && value.content() == content;
}

std::optional<int64_t> whole_number(const JsonNode& value) {
  int64_t number = 0;
  const std::string_view text = value.value.text;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = value.value.kind == JsonKind::kNumber && read.ec == std::errc() &&
                     read.ptr == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<std::vector<std::byte>> bytes_of(const JsonNode& value) {
  if (value.value.kind != JsonKind::kString) return std::nullopt;
  return pgproto::base64_decode(value.content());
}

// ---- bytes --------------------------------------------------------------------------------------

/// As the engine writes a BLOB ("\xAB\xCD"), or PostgreSQL a bytea ("\xabcd").
Text bytes_text(const JsonNode& value, bool as_blob) {
  const auto bytes = bytes_of(value);
  if (!bytes) return is_not(value, "bytes in base64");
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text = as_blob ? "" : "\\x";
  for (const std::byte one : *bytes) {
    if (as_blob) text += "\\x";
    text += kHex[std::to_integer<size_t>(one >> 4)];
    text += kHex[std::to_integer<size_t>(one & std::byte{15})];
  }
  return text;
}

/// Bits come with the least significant byte first, and are written with the first bit first.
Text bits_text(const DebeziumType& type, const JsonNode& value, DebeziumReader) {
  const auto bytes = bytes_of(value);
  if (!bytes) return is_not(value, "bits in base64");
  const size_t count = type.length == 0 ? bytes->size() * 8 : type.length;
  std::string text;
  for (size_t bit = count; bit-- > 0;) {
    const bool there = bit / 8 < bytes->size();
    const auto byte = there ? std::to_integer<unsigned>((*bytes)[bit / 8]) : 0U;
    text += ((byte >> (bit % 8)) & 1U) != 0 ? '1' : '0';
  }
  return text;
}

// ---- numbers ------------------------------------------------------------------------------------

/// The digits of a number of any length, most significant byte first, without a sign.
std::string digits_of(const std::vector<std::byte>& magnitude) {
  constexpr uint64_t kPart = 1'000'000'000;
  constexpr size_t kPartDigits = 9;
  std::vector<uint32_t> parts{0};  // Least significant first.
  for (const std::byte one : magnitude) {
    uint64_t carry = std::to_integer<uint64_t>(one);
    for (uint32_t& part : parts) {
      carry += uint64_t{part} << 8;
      part = static_cast<uint32_t>(carry % kPart);
      carry /= kPart;
    }
    if (carry > 0) parts.push_back(static_cast<uint32_t>(carry));
  }
  std::string digits = std::to_string(parts.back());
  for (size_t i = parts.size() - 1; i-- > 0;) {
    const std::string part = std::to_string(parts[i]);
    digits.append(kPartDigits - part.size(), '0').append(part);
  }
  return digits;
}

/// Bytes are the number without its point, as a two's complement.
Text decimal_text(const JsonNode& value, int64_t scale) {
  auto bytes = bytes_of(value);
  if (!bytes || bytes->empty()) return is_not(value, "a Decimal in base64");
  if (bytes->size() > kDecimalBytesMax) {
    return std::unexpected("a Decimal has " + std::to_string(bytes->size()) +
                           " bytes, the limit is " + std::to_string(kDecimalBytesMax));
  }
  if (scale > kScaleMax || scale < -kScaleMax) {
    return std::unexpected("the schema gives a Decimal the scale " + std::to_string(scale) +
                           ", the limit is " + std::to_string(kScaleMax));
  }
  const bool negative = (bytes->front() & std::byte{0x80}) != std::byte{0};
  if (negative) {
    unsigned carry = 1;
    for (size_t i = bytes->size(); i-- > 0;) {
      carry += std::to_integer<unsigned>(~(*bytes)[i]);
      (*bytes)[i] = static_cast<std::byte>(carry & 0xFFU);
      carry >>= 8;
    }
  }
  std::string digits = digits_of(*bytes);
  if (scale < 0 && digits != "0") digits.append(static_cast<size_t>(-scale), '0');
  if (scale > 0) {
    const auto decimals = static_cast<size_t>(scale);
    if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
    digits.insert(digits.size() - decimals, 1, '.');
  }
  return (negative ? "-" : "") + digits;
}

Text fixed_decimal_text(const DebeziumType& type, const JsonNode& value, DebeziumReader) {
  return decimal_text(value, type.scale);
}

Text variable_decimal_text(const DebeziumType&, const JsonNode& value, DebeziumReader) {
  const JsonNode* const scale = value.find("scale");
  const JsonNode* const bytes = value.find("value");
  const auto number = scale == nullptr ? std::nullopt : whole_number(*scale);
  if (!number || bytes == nullptr) return is_not(value, "a VariableScaleDecimal");
  return decimal_text(*bytes, *number);
}

// ---- dates and times ----------------------------------------------------------------------------

std::string padded(int64_t number, size_t width) {
  std::string text = std::to_string(number);
  if (text.size() < width) text.insert(0, width - text.size(), '0');
  return text;
}

struct DateText {
  std::string date;  ///< "0044-03-15"
  bool before_christ = false;
};

/// The date of a number of days since 1970, also of years that std::chrono does not have: eras of
/// 400 years, whose years begin in March.
DateText date_of(int64_t days) {
  constexpr int64_t kDaysPerEra = 146'097, kDaysTo1970 = 719'468;
  const int64_t shifted = days + kDaysTo1970;
  const int64_t era = (shifted >= 0 ? shifted : shifted - (kDaysPerEra - 1)) / kDaysPerEra;
  const int64_t day_of_era = shifted - era * kDaysPerEra;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * march_month + 2) / 5 + 1;
  const int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  const bool before = year < 1;
  return {padded(before ? 1 - year : year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2),
          before};
}

/// "10:20:30.5" of a number of nanoseconds.
std::string time_of(int64_t seconds, int64_t nanos) {
  std::string text = padded(seconds / 3600, 2) + ":" + padded(seconds / 60 % 60, 2) + ":" +
                     padded(seconds % 60, 2);
  if (nanos == 0) return text;
  std::string fraction = padded(nanos, 9);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return text + "." + fraction;
}

/// Days since 1970.
Text date_text(const JsonNode& value, DebeziumReader reader) {
  const auto days = whole_number(value);
  constexpr int64_t kDaysMax = int64_t{1} << 31;
  if (!days || *days > kDaysMax || *days < -kDaysMax) return is_not(value, "a number of days");
  const DateText text = date_of(*days);
  const std::string_view era = reader == DebeziumReader::kEngine ? " (BC)" : " BC";
  return text.before_christ ? text.date + std::string(era) : text.date;
}

Text date_text(const DebeziumType&, const JsonNode& value, DebeziumReader reader) {
  return date_text(value, reader);
}

/// A number of which `per_second` are a second, since 1970.
template <int64_t per_second>
Text timestamp_text(const DebeziumType&, const JsonNode& value, DebeziumReader reader) {
  const auto number = whole_number(value);
  if (!number) return is_not(value, "a timestamp as a whole number");
  // What Debezium writes for the timestamps infinity and -infinity of PostgreSQL, in microseconds.
  constexpr int64_t kInfinity = 9'223'372'036'825'200'000,
                    kMinusInfinity = -9'223'372'036'832'400'000;
  if constexpr (per_second <= kMicrosPerSecond) {
    constexpr int64_t kFactor = kMicrosPerSecond / per_second;
    if (*number == kInfinity / kFactor) return "infinity";
    if (*number == kMinusInfinity / kFactor) return "-infinity";
  }
  const int64_t rest = *number % per_second;
  const int64_t fraction = rest < 0 ? rest + per_second : rest;
  const int64_t seconds = *number / per_second - (rest < 0 ? 1 : 0);
  const int64_t second_rest = seconds % kSecondsPerDay;
  const int64_t second = second_rest < 0 ? second_rest + kSecondsPerDay : second_rest;
  const DateText date = date_of(seconds / kSecondsPerDay - (second_rest < 0 ? 1 : 0));
  const std::string time = time_of(second, fraction * (kNanosPerSecond / per_second));
  if (!date.before_christ) return date.date + " " + time;
  return reader == DebeziumReader::kEngine ? date.date + " (BC) " + time
                                           : date.date + " " + time + " BC";
}

/// The same since midnight; 24:00:00 is one.
template <int64_t per_second>
Text time_text(const DebeziumType&, const JsonNode& value, DebeziumReader) {
  const auto number = whole_number(value);
  if (!number || *number < 0 || *number > kSecondsPerDay * per_second) {
    return is_not(value, "a time as a whole number since midnight");
  }
  return time_of(*number / per_second, *number % per_second * (kNanosPerSecond / per_second));
}

/// "2026-06-01Z" or "10:20:30Z" of time.precision.mode = 'isostring', without its offset: the
/// engine reads none in a DATE and a TIME.
Text iso_text(const JsonNode& value) {
  std::string content = value.content();
  if (content.ends_with('Z')) content.pop_back();
  return content;
}

/// "P1Y2M3DT4H5M6.7S", as words that the engine and PostgreSQL know.
Text interval_text(const DebeziumType&, const JsonNode& value, DebeziumReader) {
  struct Unit {
    char letter;
    bool of_time;
    std::string_view word;
  };
  static constexpr std::array<Unit, 7> kUnits{{{'Y', false, " years"},
                                               {'M', false, " months"},
                                               {'W', false, " weeks"},
                                               {'D', false, " days"},
                                               {'H', true, " hours"},
                                               {'M', true, " minutes"},
                                               {'S', true, " seconds"}}};
  const auto wrong = [&] { return is_not(value, "an interval in ISO 8601"); };
  const std::string content = value.value.kind == JsonKind::kString ? value.content() : "";
  std::string_view rest = content;
  if (!rest.starts_with('P')) return wrong();
  rest.remove_prefix(1);
  std::string text;
  for (bool of_time = false; !rest.empty();) {
    if (rest.front() == 'T' && !of_time) {
      of_time = true;
      rest.remove_prefix(1);
      continue;
    }
    const size_t end = rest.find_first_not_of("+-.0123456789");
    if (end == 0 || end == std::string_view::npos) return wrong();
    const auto* const unit = std::ranges::find_if(
        kUnits, [&](const Unit& one) { return one.letter == rest[end] && one.of_time == of_time; });
    if (unit == kUnits.end()) return wrong();
    if (!text.empty()) text += ' ';
    text.append(rest.substr(0, end)).append(unit->word);
    rest.remove_prefix(end + 1);
  }
  return text.empty() ? Text(wrong()) : Text(std::move(text));
}

Text micro_duration_text(const DebeziumType&, const JsonNode& value, DebeziumReader) {
  const auto number = whole_number(value);
  if (!number) return is_not(value, "an interval as a number of microseconds");
  return std::to_string(*number) + " microseconds";
}

/// LogicalType is how values of a logical type become texts. The others, such as Uuid, Json, Enum
/// and ZonedTimestamp, are texts or numbers as they are.
struct LogicalType {
  std::string_view name;
  Text (*text)(const DebeziumType& type, const JsonNode& value, DebeziumReader reader);
};

constexpr std::array<LogicalType, 15> kLogicalTypes{{
    {"io.debezium.time.Date", date_text},
    {"org.apache.kafka.connect.data.Date", date_text},
    {"io.debezium.time.Timestamp", timestamp_text<1000>},
    {"org.apache.kafka.connect.data.Timestamp", timestamp_text<1000>},
    {"io.debezium.time.MicroTimestamp", timestamp_text<kMicrosPerSecond>},
    {"io.debezium.time.NanoTimestamp", timestamp_text<kNanosPerSecond>},
    {"io.debezium.time.Time", time_text<1000>},
    {"org.apache.kafka.connect.data.Time", time_text<1000>},
    {"io.debezium.time.MicroTime", time_text<kMicrosPerSecond>},
    {"io.debezium.time.NanoTime", time_text<kNanosPerSecond>},
    {"io.debezium.time.Interval", interval_text},
    {"io.debezium.time.MicroDuration", micro_duration_text},
    {"org.apache.kafka.connect.data.Decimal", fixed_decimal_text},
    {"io.debezium.data.VariableScaleDecimal", variable_decimal_text},
    {"io.debezium.data.Bits", bits_text},
}};

bool is_blob(const ExactType& type) { return type.name == "BLOB"; }

// ---- any value ----------------------------------------------------------------------------------

/// The text that the schema says, before the column looks at it; nullopt if it says nothing.
std::optional<Text> text_by_schema(const ExactType& column, const DebeziumType& type,
                                   const JsonNode& value, DebeziumReader reader) {
  const auto* const logical = std::ranges::find(kLogicalTypes, type.logical, &LogicalType::name);
  if (logical != kLogicalTypes.end()) return logical->text(type, value, reader);
  if (type.type == "bytes") {
    return bytes_text(value, is_blob(column) && reader == DebeziumReader::kEngine);
  }
  return std::nullopt;
}

/// The text of a value whose type only the column says.
std::optional<Text> text_by_column(const ExactType& column, const DebeziumType& type,
                                   const JsonNode& value, DebeziumReader reader) {
  const bool number = value.value.kind == JsonKind::kNumber;
  const bool text = value.value.kind == JsonKind::kString;
  if (number && column.kind == Kind::kDate) return date_text(value, reader);
  if (text && (column.kind == Kind::kDate || column.name == "TIME")) return iso_text(value);
  if (number && column.kind == Kind::kTime) {
    return Text(std::unexpected(
        "the number " + std::string(value.value.text) + " has no unit as a " + column.name +
        ": let the converter of the connector write schemas (schemas.enable = true), or set its "
        "time.precision.mode = 'isostring', or declare the column BIGINT and compute the time in "
        "the query"));
  }
  if (!is_blob(column)) return std::nullopt;
  if (type.type.empty()) return bytes_text(value, reader == DebeziumReader::kEngine);
  return Text(std::unexpected("it is a " + type.type +
                              ", not bytes: set binary.handling.mode = 'bytes' of the connector"));
}

/// An array as JSON whose elements are texts.
Text array_text(const ExactType& column, const DebeziumType& type, const JsonNode& value,
                DebeziumReader reader) {
  std::string json = "[";
  for (const JsonNode& element : value.nodes) {
    if (json.size() > 1) json += ',';
    const ExactType& of = column.children.front();
    const DebeziumType& items = type.items.front();
    if (element.value.kind == JsonKind::kNull) {
      json += "null";
    } else if (element.value.kind == JsonKind::kArray && of.kind == Kind::kList &&
               !items.items.empty()) {
      auto text = array_text(of, items, element, reader);
      if (!text) return text;
      json += *text;
    } else if (auto text = text_by_schema(of, items, element, reader)) {
      if (!*text) return std::move(*text);
      json += json_string(**text);
    } else {
      json += element.value.text;
    }
  }
  return json + "]";
}

}  // namespace

std::expected<DebeziumType, std::string> debezium_type(const JsonNode& schema) {
  DebeziumType type;
  const auto text_of = [&](const JsonNode& node, std::string_view key) {
    const JsonNode* const found = node.find(key);
    return found != nullptr && found->value.kind == JsonKind::kString ? found->content() : "";
  };
  type.type = text_of(schema, "type");
  type.logical = text_of(schema, "name");
  if (type.type.empty()) return std::unexpected("a schema has no type");
  const JsonNode* const parameters = schema.find("parameters");
  const auto parameter = [&](std::string_view key, auto& number) {
    const std::string text = parameters == nullptr ? "" : text_of(*parameters, key);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size();
  };
  if (type.logical == "org.apache.kafka.connect.data.Decimal" && !parameter("scale", type.scale)) {
    return std::unexpected("the schema of a Decimal has no scale");
  }
  (void)parameter("length", type.length);
  // A server's bit and bit varying are not longer; without a limit, memory would be at risk.
  constexpr size_t kBitsMax = 83'886'080;
  if (type.length > kBitsMax) type.length = 0;
  if (const JsonNode* const items = schema.find("items"); items != nullptr) {
    auto of = debezium_type(*items);
    if (!of) return of;
    type.items.push_back(std::move(*of));
  }
  return type;
}

bool is_unavailable(const JsonNode& value) {
  switch (value.value.kind) {
    case JsonKind::kString: {
      if (value.value.text.find(kUnavailable) == std::string_view::npos &&
          value.value.text.find(kUnavailableBytes) == std::string_view::npos) {
        return false;
      }
      // An hstore is a JSON object in a string.
      const std::string name = json_string(kUnavailable);
      std::string content = value.content();
      if (content == kUnavailable || content == kUnavailableBytes) return true;
      std::erase(content, ' ');
      return content == "{" + name + ":" + name + "}";
    }
    case JsonKind::kArray: {
      if (value.nodes.size() == 1) {
        return is_unavailable(value.nodes.front()) ||
               is_string(value.nodes.front(), kUnavailableUuid);
      }
      // Numbers: one for each letter.
      return std::ranges::equal(value.nodes, kUnavailable, [](const JsonNode& node, char letter) {
        return whole_number(node) == static_cast<int64_t>(letter);
      });
    }
    case JsonKind::kObject:
      return value.nodes.size() == 1 && value.nodes.front().key == kUnavailable &&
             is_string(value.nodes.front(), kUnavailable);
    default:
      return false;
  }
}

std::expected<std::optional<std::string>, std::string> debezium_text(const RecordColumn& column,
                                                                     const DebeziumType& type,
                                                                     const JsonNode& value,
                                                                     DebeziumReader reader,
                                                                     JsonReader& nested) {
  if (value.value.kind == JsonKind::kNull) return std::nullopt;
  const ExactType& exact = column.type;
  std::optional<Text> text = text_by_schema(exact, type, value, reader);
  if (!text) text = text_by_column(exact, type, value, reader);
  const bool list = exact.kind == Kind::kList && value.value.kind == JsonKind::kArray;
  if (!text && list && !type.items.empty()) text = array_text(exact, type, value, reader);
  // JSON is a string whose content is JSON.
  const bool json = exact.kind == Kind::kJson && value.value.kind == JsonKind::kString;
  if (!text && json) text = value.content();
  if (!text) return exact_json(exact, value.value, nested);
  if (!*text) return std::unexpected(std::move(text->error()));
  if (exact.kind == Kind::kDate && value.value.kind == JsonKind::kNumber) return std::move(**text);
  auto fitting = exact_text(exact, **text, nested);
  if (!fitting) return std::unexpected(std::move(fitting.error()));
  return std::move(*fitting);
}

}  // namespace pgsink::shell
