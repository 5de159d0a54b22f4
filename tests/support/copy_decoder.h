#pragma once
// The reference decoder of COPY (FORMAT binary) tuples, written from PostgreSQL's documentation and
// from what the server's own output shows, not from the encoder. Anything malformed throws
// std::runtime_error.
// Source: PostgreSQL documentation, COPY, "Binary Format"; src/backend/utils/adt/*_send.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <pgproto/bytes.h>

namespace pgsink::test {

/// A field as it went over the wire; nullopt is NULL.
using WireField = std::optional<std::string>;
using WireRow = std::vector<WireField>;

/// decode_tuples takes tuples apart; every row must have `columns` fields, and no byte may be left.
std::vector<WireRow> decode_tuples(pgproto::Bytes tuples, size_t columns);

int64_t decode_int(const std::string& field);  ///< Of 2, 4 or 8 bytes.
double decode_float8(const std::string& field);
float decode_float4(const std::string& field);
/// numeric as the server prints it.
std::string decode_numeric(const std::string& field);

struct WireInterval {
  int64_t micros = 0;
  int32_t days = 0;
  int32_t months = 0;
};
WireInterval decode_interval(const std::string& field);

struct WireArray {
  uint32_t element_oid = 0;
  bool has_null = false;
  std::vector<int32_t> lengths;
  std::vector<int32_t> lower_bounds;
  std::vector<WireField> elements;
};
WireArray decode_array(const std::string& field);

struct WireAttribute {
  uint32_t type_oid = 0;
  WireField value;
};
std::vector<WireAttribute> decode_record(const std::string& field);

}  // namespace pgsink::test
