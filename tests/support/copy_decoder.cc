#include "support/copy_decoder.h"

#include <bit>
#include <stdexcept>

namespace pgsink::test {
namespace {

using pgproto::ByteReader;

void expect(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

WireField read_field(ByteReader& reader) {
  const auto size = reader.read<int32_t>();
  expect(reader.ok() && size >= -1, "a field's length");
  if (size == -1) return std::nullopt;
  const pgproto::Bytes bytes = reader.read_bytes(static_cast<size_t>(size));
  expect(reader.ok(), "a field is longer than what is there");
  return std::string(pgproto::as_text(bytes));
}

template <class T>
T read_whole(const std::string& field) {
  expect(field.size() == sizeof(T), "a field of fixed width has another");
  return pgproto::load_be<T>(pgproto::as_bytes(field).data());
}

}  // namespace

std::vector<WireRow> decode_tuples(pgproto::Bytes tuples, size_t columns) {
  std::vector<WireRow> rows;
  ByteReader reader(tuples);
  while (!reader.done()) {
    const auto count = reader.read<int16_t>();
    expect(reader.ok() && count == static_cast<int16_t>(columns), "a row's field count");
    WireRow& row = rows.emplace_back();
    for (size_t i = 0; i < columns; ++i) row.push_back(read_field(reader));
  }
  return rows;
}

int64_t decode_int(const std::string& field) {
  switch (field.size()) {
    case 2:
      return read_whole<int16_t>(field);
    case 4:
      return read_whole<int32_t>(field);
    default:
      return read_whole<int64_t>(field);
  }
}

double decode_float8(const std::string& field) {
  return std::bit_cast<double>(read_whole<uint64_t>(field));
}
float decode_float4(const std::string& field) {
  return std::bit_cast<float>(read_whole<uint32_t>(field));
}

std::string decode_numeric(const std::string& field) {
  ByteReader reader(pgproto::as_bytes(field));
  const size_t group_count = reader.read<uint16_t>();
  const int weight = reader.read<int16_t>();
  const auto sign = reader.read<uint16_t>();
  const int scale = reader.read<uint16_t>();
  expect(reader.ok(), "a numeric's header");
  if (sign == 0xc000) return "NaN";
  if (sign == 0xd000) return "Infinity";
  if (sign == 0xf000) return "-Infinity";
  expect(sign == 0 || sign == 0x4000, "a numeric's sign");
  expect(scale <= 0x3fff, "a numeric's scale");
  std::vector<int> groups;
  for (size_t i = 0; i < group_count; ++i) {
    groups.push_back(reader.read<int16_t>());
    expect(reader.ok() && groups.back() >= 0 && groups.back() < 10000, "a numeric's digit");
  }
  expect(reader.done(), "bytes after a numeric");
  // The server never sends zero groups at either end.
  expect(groups.empty() || (groups.front() != 0 && groups.back() != 0), "a zero group at an end");
  const auto group_at = [&](int power) {
    const int index = weight - power;
    return index >= 0 && index < static_cast<int>(groups.size())
               ? groups[static_cast<size_t>(index)]
               : 0;
  };
  const auto four = [](int group) {
    std::string digits = std::to_string(group);
    return std::string(4 - digits.size(), '0') + digits;
  };
  std::string whole;
  for (int power = weight; power >= 0; --power) whole += four(group_at(power));
  const size_t first = whole.find_first_not_of('0');
  whole = first == std::string::npos ? "0" : whole.substr(first);
  std::string fraction;
  for (int power = -1; static_cast<int>(fraction.size()) < scale; --power) {
    fraction += four(group_at(power));
  }
  // Digits after the scale would be silently cut by the server.
  for (size_t i = static_cast<size_t>(scale); i < fraction.size(); ++i) {
    expect(fraction[i] == '0', "a digit after dscale");
  }
  const int last_power = weight - static_cast<int>(groups.size()) + 1;
  expect(groups.empty() || -4 * last_power <= static_cast<int>(fraction.size()),
         "groups after dscale");
  fraction.resize(static_cast<size_t>(scale));
  return (sign == 0x4000 ? "-" : "") + whole + (scale > 0 ? "." + fraction : "");
}

WireInterval decode_interval(const std::string& field) {
  ByteReader reader(pgproto::as_bytes(field));
  WireInterval interval;
  interval.micros = reader.read<int64_t>();
  interval.days = reader.read<int32_t>();
  interval.months = reader.read<int32_t>();
  expect(reader.done(), "an interval's size");
  return interval;
}

WireArray decode_array(const std::string& field) {
  ByteReader reader(pgproto::as_bytes(field));
  WireArray array;
  const auto dimensions = reader.read<int32_t>();
  const auto flags = reader.read<int32_t>();
  array.element_oid = reader.read<uint32_t>();
  expect(reader.ok() && dimensions >= 0 && dimensions <= 6, "an array's dimensions");
  expect(flags == 0 || flags == 1, "an array's flags");
  array.has_null = flags == 1;
  int64_t count = dimensions == 0 ? 0 : 1;
  for (int32_t i = 0; i < dimensions; ++i) {
    array.lengths.push_back(reader.read<int32_t>());
    array.lower_bounds.push_back(reader.read<int32_t>());
    expect(reader.ok() && array.lengths.back() > 0, "a dimension's length");
    count *= array.lengths.back();
    expect(count <= static_cast<int64_t>(reader.remaining() / 4), "more elements than bytes");
  }
  bool any_null = false;
  for (int64_t i = 0; i < count; ++i) {
    array.elements.push_back(read_field(reader));
    any_null |= !array.elements.back();
  }
  expect(reader.done(), "bytes after an array");
  expect(any_null == array.has_null, "an array's flag for NULLs");
  return array;
}

std::vector<WireAttribute> decode_record(const std::string& field) {
  ByteReader reader(pgproto::as_bytes(field));
  const auto count = reader.read<int32_t>();
  expect(reader.ok() && count >= 0, "a record's attribute count");
  std::vector<WireAttribute> attributes;
  for (int32_t i = 0; i < count; ++i) {
    WireAttribute& attribute = attributes.emplace_back();
    attribute.type_oid = reader.read<uint32_t>();
    attribute.value = read_field(reader);
  }
  expect(reader.done(), "bytes after a record");
  return attributes;
}

}  // namespace pgsink::test
