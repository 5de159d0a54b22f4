#pragma once
// The shortest decimal that reads back as a float, the same one that the server prints.

#include <array>

namespace pgsink::encode {

/// ShortestBuffer has room for d.dddddddddddddddde-ddd.
using ShortestBuffer = std::array<char, 32>;

/// put_shortest writes a finite float without its sign as "d[.ddd]e±dd" and returns the end.
/// Server: double_to_shortest_decimal_buf(), float_to_shortest_decimal_buf().
const char* put_shortest(double magnitude, ShortestBuffer& to);
const char* put_shortest(float magnitude, ShortestBuffer& to);

}  // namespace pgsink::encode
