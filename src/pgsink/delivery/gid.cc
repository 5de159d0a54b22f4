#include "pgsink/delivery/gid.h"

#include <array>

namespace pgsink {
namespace {

constexpr std::string_view kUuid = "${uuid}";
constexpr size_t kUuidBytes = 36;

std::string hex(uint64_t bits, int digits) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text(static_cast<size_t>(digits), '0');
  for (size_t i = text.size(); i-- > 0; bits >>= 4) text[i] = kHex[bits & 15];
  return text;
}

std::unexpected<Error> refuse(const std::string& why) {
  return fail(Errc::kOptionValue, "option prepared_transaction_id: " + why);
}

}  // namespace

// FNV-1a over the texts, each after its length, and then the finalizer of SplitMix64, which spreads
// every bit over all others. A collision is of no use to an attacker, so no cryptography is needed.
uint64_t sink_hash(std::string_view database, std::string_view schema, std::string_view sink_id) {
  uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&](uint64_t byte) { hash = (hash ^ byte) * 0x100000001b3U; };
  for (const std::string_view text : {database, schema, sink_id}) {
    for (int shift = 0; shift < 32; shift += 8) add((text.size() >> shift) & 0xff);
    for (const char c : text) add(static_cast<unsigned char>(c));
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31);
}

uint64_t writer_lock_key(std::string_view schema, std::string_view sink_id) {
  return sink_hash("pgsink writer lock", schema, sink_id);
}

Result<GidMaker> GidMaker::create(std::string_view gid_template, std::string_view database,
                                  std::string_view schema, std::string_view sink_id) {
  const size_t place = gid_template.find(kUuid);
  if (place == std::string_view::npos || place == 0 ||
      gid_template.find(kUuid, place + 1) != std::string_view::npos) {
    return refuse("it needs a unique prefix followed by one ${uuid}: 'myapp_${uuid}'");
  }
  if (gid_template.size() - kUuid.size() + kUuidBytes > kGidBytesMax) {
    return refuse("with a UUID of " + std::to_string(kUuidBytes) +
                  " characters in it, it is longer than the " + std::to_string(kGidBytesMax) +
                  " bytes that PostgreSQL allows: shorten it");
  }
  const uint64_t hash = sink_hash(database, schema, sink_id);
  GidMaker maker;
  maker.prefix_ = std::string(gid_template.substr(0, place)) + hex(hash >> 32, 8) + "-" +
                  hex(hash >> 16, 4) + "-8" + hex(hash >> 4, 3) + "-";
  maker.after_ = gid_template.substr(place + kUuid.size());
  return maker;
}

std::string GidMaker::make(Random& random) const {
  const uint64_t bits = random.next_u64();
  const uint64_t variant = 8 | ((bits >> 60) & 3);
  return prefix_ + hex(variant, 1) + hex(bits >> 48, 3) + "-" + hex(bits, 12) + after_;
}

}  // namespace pgsink
