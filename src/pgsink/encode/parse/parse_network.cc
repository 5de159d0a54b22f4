// Text → inet, cidr, macaddr, macaddr8.

#include <algorithm>
#include <array>

#include <pgproto/ascii.h>

#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/text_reader.h"

namespace pgsink::encode {
namespace {

constexpr size_t kIpv4Bytes = 4;
constexpr size_t kIpv6Bytes = 16;

struct Address {
  std::array<uint8_t, kIpv6Bytes> bytes{};
  size_t size = 0;
};

using pgproto::ascii::hex_digit;

/// a.b.c.d into four bytes. Server: inet_net_pton_ipv4() takes leading zeros, getv4() does not.
bool read_ipv4(TextReader& reader, bool leading_zeros, uint8_t* bytes) {
  for (size_t i = 0; i < kIpv4Bytes; ++i) {
    int64_t number = 0;
    if (i != 0 && !reader.take('.')) return false;
    const std::string_view rest = reader.rest();
    const bool padded = rest.size() > 1 && rest[0] == '0' && TextReader::is_digit(rest[1]);
    if (padded && !leading_zeros) return false;
    if (!reader.take_number(1, 3, number) || number > 255) return false;
    bytes[i] = static_cast<uint8_t>(number);
  }
  return true;
}

/// One to four hexadecimal digits.
bool read_group(TextReader& reader, unsigned& group) {
  group = 0;
  size_t digits = 0;
  while (digits < 4 && hex_digit(reader.peek()) >= 0) {
    group = group * 16 + static_cast<unsigned>(hex_digit(reader.peek()));
    reader.skip(1);
    ++digits;
  }
  return digits != 0 && hex_digit(reader.peek()) < 0;
}

/// Groups of hexadecimal digits, one :: for a run of zeros, the last two perhaps as a.b.c.d.
bool read_ipv6(TextReader& reader, Address& address) {
  size_t used = 0;
  size_t gap = kIpv6Bytes + 1;
  if (reader.rest().starts_with("::")) {
    reader.skip(2);
    gap = 0;
  }
  while (used < kIpv6Bytes && (hex_digit(reader.peek()) >= 0)) {
    TextReader ahead = reader;
    if (used + kIpv4Bytes <= kIpv6Bytes && read_ipv4(ahead, false, address.bytes.data() + used)) {
      reader = ahead;
      used += kIpv4Bytes;
      break;
    }
    unsigned group = 0;
    if (!read_group(reader, group)) return false;
    address.bytes[used++] = static_cast<uint8_t>(group >> 8);
    address.bytes[used++] = static_cast<uint8_t>(group & 255);
    if (reader.rest().starts_with("::")) {
      if (gap <= kIpv6Bytes) return false;
      reader.skip(2);
      gap = used;
    } else if (reader.peek() == ':') {
      reader.skip(1);
      if (hex_digit(reader.peek()) < 0) return false;
    } else {
      break;
    }
  }
  address.size = kIpv6Bytes;
  if (gap > kIpv6Bytes) return used == kIpv6Bytes;
  if (used == kIpv6Bytes) return false;
  const auto begin = address.bytes.begin();
  std::move_backward(begin + static_cast<ptrdiff_t>(gap), begin + static_cast<ptrdiff_t>(used),
                     address.bytes.end());
  std::fill(begin + static_cast<ptrdiff_t>(gap),
            address.bytes.end() - static_cast<ptrdiff_t>(used - gap), uint8_t{0});
  return true;
}

bool host_bits_are_zero(const Address& address, size_t bits) {
  for (size_t bit = bits; bit < address.size * 8; ++bit) {
    if (((address.bytes[bit / 8] >> (7 - bit % 8)) & 1U) != 0) return false;
  }
  return true;
}

}  // namespace

// Server: network_recv(). Family (2 or 3, whatever the system's AF_ numbers), prefix bits, is cidr,
// size.
bool parse_inet(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  TextReader reader(pgproto::ascii::trim(text));
  const bool cidr = target.kind == TargetKind::kCidr;
  Address address;
  bool good = false;
  if (reader.rest().find(':') != std::string_view::npos) {
    good = read_ipv6(reader, address);
  } else {
    good = read_ipv4(reader, true, address.bytes.data());
    address.size = kIpv4Bytes;
  }
  auto bits = static_cast<int64_t>(address.size * 8);
  if (good && reader.take('/')) {
    const int64_t most = bits;
    // Server: getbits() takes no leading zeros, inet_net_pton_ipv4() does.
    const bool padded = reader.peek() == '0' && reader.rest().size() > 1;
    good =
        (!padded || address.size == kIpv4Bytes) && reader.take_number(1, 3, bits) && bits <= most;
  }
  if (!good || !reader.done()) {
    fault = parse_fault(target, text, "an IPv4 or IPv6 address, /bits after it if need be");
    return false;
  }
  if (cidr && !host_bits_are_zero(address, static_cast<size_t>(bits))) {
    fault = parse_fault(target, text, "a network: no bit may be set to the right of the mask");
    return false;
  }
  constexpr uint8_t kFamilyIpv4 = 2;
  constexpr uint8_t kFamilyIpv6 = 3;
  out.put(address.size == kIpv4Bytes ? kFamilyIpv4 : kFamilyIpv6);
  out.put(static_cast<uint8_t>(bits));
  out.put(static_cast<uint8_t>(cidr ? 1 : 0));
  out.put(static_cast<uint8_t>(address.size));
  out.put_bytes(address.bytes.data(), address.size);
  return true;
}

// Server: macaddr_in(), macaddr8_in(): digits in groups of equal size, separated by one of : - .
bool parse_macaddr(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  constexpr size_t kBytesMax = 8;
  std::array<uint8_t, kBytesMax> bytes{};
  size_t digits = 0;
  size_t group = 0;
  size_t group_size = 0;
  char separator = '\0';
  bool good = true;
  for (const char c : word) {
    const int digit = hex_digit(c);
    if (digit >= 0 && digits < 2 * kBytesMax) {
      uint8_t& byte = bytes[digits / 2];
      byte = static_cast<uint8_t>(byte * 16 + digit);
      ++digits;
      ++group;
    } else if ((c == ':' || c == '-' || c == '.') && group != 0 &&
               (separator == '\0' || (separator == c && group == group_size))) {
      separator = c;
      group_size = group;
      group = 0;
    } else {
      good = false;
    }
  }
  const bool even = separator == '\0' || (group == group_size && group_size % 2 == 0);
  const bool eight = target.kind == TargetKind::kMacaddr8;
  if (!good || !even || (digits != 12 && !(eight && digits == 16))) {
    fault = parse_fault(target, text, "a MAC address as 08:00:2b:01:02:03");
    return false;
  }
  if (eight && digits == 12) {  // EUI-48 as EUI-64
    bytes = {bytes[0], bytes[1], bytes[2], 0xff, 0xfe, bytes[3], bytes[4], bytes[5]};
  }
  out.put_bytes(bytes.data(), eight ? 8 : 6);
  return true;
}

}  // namespace pgsink::encode
