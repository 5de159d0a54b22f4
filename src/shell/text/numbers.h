#pragma once
// Counts, sizes and times for people.

#include <cstdint>
#include <string>

namespace pgsink::shell {

/// "1,234,567"
std::string grouped(uint64_t count);
/// "812 B", "58.2 kB", "1.2 GB": powers of 1000, as in MB/s.
std::string bytes_text(double bytes);
/// A number with that many digits after the decimal point.
std::string fixed(double value, int digits);

}  // namespace pgsink::shell
