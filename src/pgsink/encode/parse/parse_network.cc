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

/// a.b.c.d into four bytes, without leading zeros. Server: getv4().
bool read_ipv4(TextReader& reader, uint8_t* bytes) {
  for (size_t i = 0; i < kIpv4Bytes; ++i) {
    int64_t number = 0;
    if (i != 0 && !reader.take('.')) return false;
    const std::string_view rest = reader.rest();
    const bool padded = rest.size() > 1 && rest[0] == '0' && TextReader::is_digit(rest[1]);
    if (padded || !reader.take_number(1, 3, number) || number > 255) return false;
    bytes[i] = static_cast<uint8_t>(number);
  }
  return true;
}

/// The first numbers of an address whose rest is zero (10.1 is 10.1.0.0): how many, 0 if it is
/// none. A cidr may be hexadecimal: 0x0a01. Server: inet_net_pton_ipv4(), inet_cidr_pton_ipv4().
size_t read_short_ipv4(TextReader& reader, bool cidr, uint8_t* bytes) {
  size_t count = 0;
  if (cidr && (reader.rest().starts_with("0x") || reader.rest().starts_with("0X")) &&
      reader.rest().size() > 2 && hex_digit(reader.rest()[2]) >= 0) {
    reader.skip(2);
    while (count < kIpv4Bytes && hex_digit(reader.peek()) >= 0) {
      const int high = hex_digit(reader.peek());
      reader.skip(1);
      const int low = hex_digit(reader.peek());
      if (low >= 0) reader.skip(1);
      bytes[count++] = static_cast<uint8_t>(high * 16 + std::max(low, 0));
    }
    return count;
  }
  do {
    int64_t number = 0;
    if (count == kIpv4Bytes || !reader.take_number(1, 3, number) || number > 255) return 0;
    bytes[count++] = static_cast<uint8_t>(number);
  } while (reader.take('.'));
  return count;
}

/// The prefix of a cidr without one: that of its class, or what its numbers cover.
int64_t bits_of_class(uint8_t first, size_t count) {
  const int64_t by_class = first >= 240   ? 32
                           : first >= 224 ? 8
                           : first >= 192 ? 24
                           : first >= 128 ? 16
                                          : 8;
  const int64_t bits = std::max(by_class, static_cast<int64_t>(count * 8));
  return bits == 8 && first == 224 ? 4 : bits;
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
    if (used + kIpv4Bytes <= kIpv6Bytes && read_ipv4(ahead, address.bytes.data() + used)) {
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
  TextReader reader(text);
  const bool cidr = target.kind == TargetKind::kCidr;
  Address address;
  bool good = false;
  size_t count = kIpv4Bytes;
  if (reader.rest().find(':') != std::string_view::npos) {
    good = read_ipv6(reader, address);
  } else {
    count = read_short_ipv4(reader, cidr, address.bytes.data());
    good = count != 0;
    address.size = kIpv4Bytes;
  }
  const auto most = static_cast<int64_t>(address.size * 8);
  int64_t bits = most;
  if (count < kIpv4Bytes && reader.peek() != '/') {
    good = good && cidr;  // An inet that is not in full needs its bits.
    bits = bits_of_class(address.bytes[0], count);
  }
  if (good && reader.take('/')) {
    // Server: getbits() takes no leading zeros, inet_net_pton_ipv4() does.
    const bool padded = reader.peek() == '0' && reader.rest().size() > 1;
    good =
        (!padded || address.size == kIpv4Bytes) && reader.take_number(1, 3, bits) && bits <= most;
  }
  // An inet's bits may not go beyond its numbers; a cidr's may.
  if (!cidr && bits / 8 > static_cast<int64_t>(count) && count < kIpv4Bytes) good = false;
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

namespace {

constexpr size_t kMacBytes = 6;
constexpr size_t kMac8Bytes = 8;

/// Hexadecimal digits up to the next separator or the end.
std::string_view take_hex(TextReader& reader) {
  size_t count = 0;
  const std::string_view rest = reader.rest();
  while (count < rest.size() && hex_digit(rest[count]) >= 0) ++count;
  reader.skip(count);
  return rest.substr(0, count);
}

/// How a MAC address may be cut into groups. Server: macaddr_in().
struct MacForm {
  size_t groups;
  size_t digits;  ///< Of each; 0: any number of them that makes a byte.
  std::string_view separators;
};
constexpr std::array kMacForms{MacForm{6, 0, ":-"}, MacForm{3, 4, ".-"}, MacForm{2, 6, ":-"},
                               MacForm{1, 12, ""}};

bool read_mac_group(std::string_view digits, const MacForm& form, uint8_t*& bytes) {
  const size_t byte_count = kMacBytes / form.groups;
  if (digits.empty() || (form.digits != 0 && digits.size() != form.digits)) return false;
  unsigned value = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    value = value * 16 + static_cast<unsigned>(hex_digit(digits[i]));
    if (value > 255) return false;
    if (byte_count > 1 && i % 2 == 1) {
      *bytes++ = static_cast<uint8_t>(value);
      value = 0;
    }
  }
  if (byte_count == 1) *bytes++ = static_cast<uint8_t>(value);
  return true;
}

bool read_mac(std::string_view text, uint8_t* bytes) {
  return std::ranges::any_of(kMacForms, [&](const MacForm& form) {
    TextReader reader(text);
    uint8_t* at = bytes;
    char separator = '\0';
    for (size_t i = 0; i < form.groups; ++i) {
      if (i == 1) {
        separator = reader.peek();
        if (reader.done() || form.separators.find(separator) == std::string_view::npos)
          return false;
      }
      if (i > 0 && !reader.take(separator)) return false;
      if (!read_mac_group(take_hex(reader), form, at)) return false;
    }
    return reader.done();
  });
}

/// Bytes of two digits, between any two of them and at the end the same one of : - . or nothing;
/// how many. 0 if it is anything else. Server: macaddr8_in().
size_t read_mac8(std::string_view text, uint8_t* bytes) {
  char separator = '\0';
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += 2, ++count) {
    if (count > 0 && hex_digit(text[at]) < 0) {
      if (separator == '\0') separator = text[at];
      if (text[at] != separator ||
          std::string_view(":-.").find(separator) == std::string_view::npos)
        return 0;
      ++at;
      if (at == text.size() && (count == kMacBytes || count == kMac8Bytes)) break;
    }
    if (count == kMac8Bytes || at + 1 >= text.size()) return 0;
    const int high = hex_digit(text[at]), low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) return 0;
    bytes[count] = static_cast<uint8_t>(high * 16 + low);
  }
  return count;
}

}  // namespace

bool parse_macaddr(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  std::array<uint8_t, kMac8Bytes> bytes{};
  const bool eight = target.kind == TargetKind::kMacaddr8;
  const size_t count =
      eight ? read_mac8(word, bytes.data()) : (read_mac(word, bytes.data()) ? kMacBytes : 0);
  if (count != kMacBytes && !(eight && count == kMac8Bytes)) {
    fault = parse_fault(target, text, "a MAC address as 08:00:2b:01:02:03");
    return false;
  }
  if (eight && count == kMacBytes) {  // EUI-48 as EUI-64
    bytes = {bytes[0], bytes[1], bytes[2], 0xff, 0xfe, bytes[3], bytes[4], bytes[5]};
  }
  out.put_bytes(bytes.data(), eight ? kMac8Bytes : kMacBytes);
  return true;
}

}  // namespace pgsink::encode
