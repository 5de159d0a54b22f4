#include "pgsink/encode/rows/type_table.h"

#include <array>

#include "pgsink/encode/base/fixed.h"
#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/rows/server_text.h"
#include "pgsink/encode/values/array.h"
#include "pgsink/encode/values/composite.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/numbers.h"
#include "pgsink/encode/values/numeric.h"
#include "pgsink/encode/values/render.h"
#include "pgsink/encode/values/temporal.h"
#include "pgsink/encode/values/text_field.h"

namespace pgsink::encode {
namespace {

using S = SourceClass;
using T = TargetKind;

/// Adapts a maker that cannot fail to one that can.
template <auto make>
Result<CodecPointer> always(const Field& source, const Target& target) {
  return make(source, target);
}

CodecPointer bytes_as_they_are(const Field& source, const Target& target) {
  return text_field(source, text_rule(target));
}

CodecPointer uuid_as_it_is(const Field&, const Target&) {
  return std::make_unique<DirectField<std::array<std::byte, 16>>>();
}

Result<CodecPointer> binary_to_uuid(const Field& source, const Target& target) {
  constexpr int32_t kUuidBytes = 16;
  if (source.kind == ColumnKind::kFixedBinary && source.width == kUuidBytes) {
    return uuid_as_it_is(source, target);
  }
  return pgproto::fail(
      Errc::kColumnType,
      source_name(source) + " cannot be written as uuid; use 16 bytes of fixed size, or text");
}

std::unexpected<Error> within(const std::string& part, Error error) {
  error.message = part + ": " + error.message;
  return pgproto::fail(std::move(error));
}

Result<CodecPointer> as_server_text(const Field& source, const Target& target) {
  return make_text_codec(source, target, make_codec);
}

Result<CodecPointer> list_to_array(const Field& source, const Target& target) {
  auto shape = array_shape(source, target);
  if (!shape) return pgproto::fail(std::move(shape.error()));
  auto element = make_codec(*shape->element, target.parts[0]);
  if (!element) return within("element", std::move(element.error()));
  return array_field(target, *shape, std::move(*element));
}

Result<CodecPointer> struct_to_composite(const Field& source, const Target& target) {
  auto fields = match_attributes(source, target);
  if (!fields) return pgproto::fail(std::move(fields.error()));
  std::vector<CodecPointer> attributes;
  for (size_t i = 0; i < target.parts.size(); ++i) {
    auto codec = make_codec(source.children[(*fields)[i]], target.parts[i]);
    if (!codec) return within("attribute \"" + target.names[i] + "\"", std::move(codec.error()));
    attributes.push_back(std::move(*codec));
  }
  return composite_field(target, std::move(*fields), std::move(attributes));
}

Result<CodecPointer> json_value_to(const Field& source, const Target& target) {
  Field text;
  text.name = source.name;
  text.kind = ColumnKind::kStdStringView;
  text.json = target.kind == TargetKind::kJson || target.kind == TargetKind::kJsonb;
  auto codec = make_codec(text, target);
  if (!codec) return codec;
  return json_value_field(source, target, std::move(*codec));
}

constexpr std::string_view kExact = "every value";
constexpr std::string_view kInRange = "whole numbers in the type's range";
constexpr std::string_view kUnrounded = "values that the precision and scale hold without rounding";
constexpr std::string_view kExactFloat =
    "values that the type holds exactly, or prints the same in shortest form";
constexpr std::string_view kTextLimit = "its text form, within the type's length";
constexpr std::string_view kInputText = "what the type's own input function on the server reads";
constexpr std::string_view kInputForm = "its text form, if the type's input function reads that";
constexpr std::string_view kJsonForm = "its JSON form, as to_json() makes it";

constexpr Conversion kConversions[] = {
    {S::kBool, T::kBool, always<bool_to_bool>, kExact},

    {S::kInteger, T::kInt2, always<integer_to_integer>, kInRange},
    {S::kInteger, T::kInt4, always<integer_to_integer>, kInRange},
    {S::kInteger, T::kInt8, always<integer_to_integer>, kInRange},
    {S::kInteger, T::kOid, always<integer_to_integer>, kInRange},
    {S::kInteger, T::kFloat4, always<integer_to_float>, "integers that the type holds exactly"},
    {S::kInteger, T::kFloat8, always<integer_to_float>, "integers that the type holds exactly"},
    {S::kInteger, T::kNumeric, always<integer_to_numeric>, kUnrounded},

    {S::kFloat, T::kInt2, always<float_to_integer>, kInRange},
    {S::kFloat, T::kInt4, always<float_to_integer>, kInRange},
    {S::kFloat, T::kInt8, always<float_to_integer>, kInRange},
    {S::kFloat, T::kOid, always<float_to_integer>, kInRange},
    {S::kFloat, T::kFloat4, always<float_to_float>, kExactFloat},
    {S::kFloat, T::kFloat8, always<float_to_float>, kExact},
    {S::kFloat, T::kNumeric, always<float_to_numeric>,
     "the shortest decimal that reads back as the same float, if precision and scale hold it"},

    {S::kDecimal, T::kInt2, always<decimal_to_integer>, kInRange},
    {S::kDecimal, T::kInt4, always<decimal_to_integer>, kInRange},
    {S::kDecimal, T::kInt8, always<decimal_to_integer>, kInRange},
    {S::kDecimal, T::kOid, always<decimal_to_integer>, kInRange},
    {S::kDecimal, T::kFloat4, always<decimal_to_float>, kExactFloat},
    {S::kDecimal, T::kFloat8, always<decimal_to_float>, kExactFloat},
    {S::kDecimal, T::kNumeric, always<decimal_to_numeric>, kUnrounded},

    {S::kDate, T::kDate, always<date_to_date>, "days in the type's range"},
    {S::kDate, T::kTimestamp, always<date_to_timestamp>,
     "midnight of the day, in the type's range"},
    {S::kDate, T::kTimestamptz, always<date_to_timestamp>,
     "midnight UTC of the day, in the type's range"},
    {S::kTime, T::kTime, always<time_to_time>, "whole microseconds (and the column's precision)"},
    {S::kTime, T::kTimetz, always<time_to_timetz>, "whole microseconds, zone UTC"},
    {S::kTime, T::kInterval, always<time_to_interval>, "whole microseconds"},
    {S::kTimestamp, T::kDate, always<timestamp_to_date>,
     "midnights only; an instant by its day in UTC"},
    {S::kTimestamp, T::kTimestamp, always<timestamp_to_timestamp>,
     "whole microseconds (and the column's precision) in range; an instant as its time in UTC"},
    {S::kTimestamp, T::kTimestamptz, always<timestamp_to_timestamp>,
     "whole microseconds (and the column's precision) in range; a local time is taken as UTC"},
    {S::kDuration, T::kInterval, always<duration_to_interval>, "whole microseconds in range"},
    {S::kInterval, T::kInterval, always<interval_to_interval>, "whole microseconds"},

    {S::kText, T::kText, always<bytes_as_they_are>, "UTF-8 without NUL"},
    {S::kText, T::kVarchar, always<bytes_as_they_are>, "UTF-8 without NUL, at most n characters"},
    {S::kText, T::kBpchar, always<bytes_as_they_are>,
     "UTF-8 without NUL, at most n characters but for blanks at the end"},
    {S::kText, T::kName, always<bytes_as_they_are>, "UTF-8 without NUL, at most 63 bytes"},
    {S::kText, T::kJson, always<bytes_as_they_are>, "JSON, checked as the server does"},
    {S::kText, T::kJsonb, always<bytes_as_they_are>, "JSON, checked as the server does"},
    {S::kText, T::kXml, always<text_to_xml>, "well-formed XML in UTF-8"},
    {S::kBinary, T::kBytea, always<bytes_as_they_are>, kExact},
    {S::kUuid, T::kUuid, always<uuid_as_it_is>, kExact},

    {S::kBinary, T::kUuid, binary_to_uuid, "16 bytes of fixed size"},
    {S::kList, T::kArray, list_to_array,
     "elements that the element type takes; lists of lists must be rectangular and not empty"},
    {S::kMap, T::kArray, list_to_array, "an array of a composite type of key and value"},
    {S::kStruct, T::kComposite, struct_to_composite, "fields that the attributes take"},

#define PGSINK_PARSED(target, rule) {S::kText, target, always<text_to_parsed>, rule}
    PGSINK_PARSED(T::kBool, "what boolin() reads: true, f, yes, off, 1 …"),
    PGSINK_PARSED(T::kInt2,
                  "whole numbers in the type's range; since 16 also 0x1F, 0o17, 0b11, 1_000"),
    PGSINK_PARSED(T::kInt4,
                  "whole numbers in the type's range; since 16 also 0x1F, 0o17, 0b11, 1_000"),
    PGSINK_PARSED(T::kInt8,
                  "whole numbers in the type's range; since 16 also 0x1F, 0o17, 0b11, 1_000"),
    PGSINK_PARSED(T::kOid, "whole numbers in the type's range; since 16 also 0x1F and octal 017"),
    PGSINK_PARSED(T::kFloat4, "decimal numbers and 0x1.8p3, as the nearest float; NaN, Infinity"),
    PGSINK_PARSED(T::kFloat8, "decimal numbers and 0x1.8p3, as the nearest float; NaN, Infinity"),
    PGSINK_PARSED(T::kNumeric,
                  "decimal numbers that precision and scale hold without rounding; since 16 also "
                  "0x1F, 1_000"),
    PGSINK_PARSED(T::kChar, "at most one byte of ASCII"),
    PGSINK_PARSED(T::kBytea, "hexadecimal (\\x…) or escape format"),
    PGSINK_PARSED(
        T::kDate,
        "2024-01-31 (BC), January 31, 2024, 2024/01/31, J2460341, infinity … whatever the session"),
    PGSINK_PARSED(T::kTime,
                  "12:34:56.789, 123456.789 or 04:05 PM without zone or in UTC, without rounding"),
    PGSINK_PARSED(T::kTimetz,
                  "12:34:56.789+01:00 or 04:05 PM +01, without rounding; no zone is UTC"),
    PGSINK_PARSED(T::kTimestamp,
                  "a date and a time without zone or in UTC (Z, +00), without rounding"),
    PGSINK_PARSED(T::kTimestamptz,
                  "a date and a time with an offset, without rounding; no zone is UTC"),
    PGSINK_PARSED(T::kInterval,
                  "every form that PostgreSQL documents, without rounding; since 17 infinity"),
    PGSINK_PARSED(T::kUuid, "what uuid_in() reads"),
    PGSINK_PARSED(T::kInet, "addresses in full or 10.1/16, /bits"),
    PGSINK_PARSED(T::kCidr, "networks in full or 192.168, /bits, host bits zero"),
    PGSINK_PARSED(T::kMacaddr,
                  "addresses in full: 08:00:2b:01:02:03, 08002b:010203, 0800.2b01.0203 …"),
    PGSINK_PARSED(T::kMacaddr8, "addresses in full: 08:00:2b:01:02:03:04:05, 08:00:2b:01:02:03 …"),
    PGSINK_PARSED(T::kBit, "exactly n binary digits, or x and hexadecimal ones"),
    PGSINK_PARSED(T::kVarbit, "at most n binary digits, or x and hexadecimal ones"),
    PGSINK_PARSED(T::kEnum, "a label of the type"),
    PGSINK_PARSED(T::kComposite, "a row literal: (1,\"a b\",)"),
    PGSINK_PARSED(T::kArray, "an array literal: {1,2,NULL}"),
    PGSINK_PARSED(T::kRange, "a range literal: [1,5)"),
    PGSINK_PARSED(T::kMultirange, "a multirange literal: {[1,5),[7,9)}"),
#undef PGSINK_PARSED

#define PGSINK_AS_TEXT(source)                                \
  {source, T::kText, always<any_to_text>, kTextLimit},        \
      {source, T::kVarchar, always<any_to_text>, kTextLimit}, \
      {source, T::kBpchar, always<any_to_text>, kTextLimit},  \
      {source, T::kName, always<any_to_text>, kTextLimit},    \
      {source, T::kJson, always<any_to_json>, kJsonForm}, {   \
    source, T::kJsonb, always<any_to_json>, kJsonForm         \
  }
    PGSINK_AS_TEXT(S::kBool),
    PGSINK_AS_TEXT(S::kInteger),
    PGSINK_AS_TEXT(S::kFloat),
    PGSINK_AS_TEXT(S::kDecimal),
    PGSINK_AS_TEXT(S::kDate),
    PGSINK_AS_TEXT(S::kTime),
    PGSINK_AS_TEXT(S::kTimestamp),
    PGSINK_AS_TEXT(S::kDuration),
    PGSINK_AS_TEXT(S::kInterval),
    PGSINK_AS_TEXT(S::kBinary),
    PGSINK_AS_TEXT(S::kUuid),
    PGSINK_AS_TEXT(S::kList),
    PGSINK_AS_TEXT(S::kStruct),
    PGSINK_AS_TEXT(S::kMap),
#undef PGSINK_AS_TEXT

    {S::kText, T::kInput, as_server_text, kInputText},
    {S::kBool, T::kInput, as_server_text, kInputForm},
    {S::kInteger, T::kInput, as_server_text, kInputForm},
    {S::kFloat, T::kInput, as_server_text, kInputForm},
    {S::kDecimal, T::kInput, as_server_text, kInputForm},
    {S::kDate, T::kInput, as_server_text, kInputForm},
    {S::kTime, T::kInput, as_server_text, kInputForm},
    {S::kTimestamp, T::kInput, as_server_text, kInputForm},
    {S::kDuration, T::kInput, as_server_text, kInputForm},
    {S::kInterval, T::kInput, as_server_text, kInputForm},
    {S::kUuid, T::kInput, as_server_text, kInputForm},
    {S::kBinary, T::kInput, as_server_text, "WKB, for PostGIS's geometry and geography"},
    {S::kList, T::kInput, as_server_text, "numbers, for vector, halfvec, sparsevec and cube"},
    {S::kMap, T::kInput, as_server_text, "keys and values, for hstore"},
};

/// What a user can do about a pair without a conversion.
std::string advice(SourceClass source, const Target& target) {
  std::string text = "; " + std::string(target_kind_name(target.kind)) + " takes ";
  bool first = true;
  for (const Conversion& entry : kConversions) {
    if (entry.target != target.kind) continue;
    if (!first) text += ", ";
    text += source_class_name(entry.source);
    first = false;
  }
  if (first) {
    text = "; no source type can be written as " + std::string(target_kind_name(target.kind));
  }
  if (source != S::kText) text += ". Cast the column in the query";
  return text;
}

}  // namespace

std::span<const Conversion> conversions() { return kConversions; }

/// A name that occurs twice in a struct that is written as JSON; nullptr if no member is lost.
static const std::string* json_loses_a_member(const Field& source, const Target& target) {
  const bool by_attributes =
      target.kind == TargetKind::kArray || target.kind == TargetKind::kComposite;
  return by_attributes ? nullptr : find_repeated_member(source);
}

Result<CodecPointer> make_codec(const Field& source, const Target& target) {
  if (source.kind == ColumnKind::kNull) return null_field();
  if (source.kind == ColumnKind::kDictionary) {
    auto values = make_codec(source.children[0], target);
    if (!values) return values;
    return dictionary_field(source, std::move(*values));
  }
  if (goes_as_text(target)) return as_server_text(source, target);
  const SourceClass from = source_class(source);
  if (source.json_value && from == S::kText) return json_value_to(source, target);
  for (const Conversion& entry : kConversions) {
    if (entry.source != from || entry.target != target.kind) continue;
    if (const std::string* repeated = json_loses_a_member(source, target)) {
      return pgproto::fail(Errc::kColumnType,
                           source_name(source) + " has two members named \"" + *repeated +
                               "\", of which JSON would keep one; rename one of them");
    }
    return entry.make(source, target);
  }
  return pgproto::fail(Errc::kColumnType, source_name(source) + " cannot be written as " +
                                              target.name + advice(from, target));
}

}  // namespace pgsink::encode
