#include "pgsink/client/salted_keys.h"

#include <algorithm>

namespace pgsink {

namespace {

// Keys are as valuable as the password: they must not stay in freed memory. The compiler could
// remove a plain fill, because nothing reads the memory afterwards.
void wipe(pgproto::ScramKeys& keys) {
  for (pgproto::Sha256* key : {&keys.client_key, &keys.server_key}) {
    volatile std::byte* bytes = key->data();
    for (size_t i = 0; i < key->size(); ++i) bytes[i] = std::byte{0};
  }
}

}  // namespace

SharedSaltedKeys::~SharedSaltedKeys() {
  for (auto& [fingerprint, keys] : entries_) wipe(keys);
}

std::optional<pgproto::ScramKeys> SharedSaltedKeys::find(const pgproto::Sha256& fingerprint) {
  const Monitor::Lock lock(*monitor_);
  for (const auto& [known, keys] : entries_) {
    if (known == fingerprint) return keys;
  }
  return std::nullopt;
}

void SharedSaltedKeys::store(const pgproto::Sha256& fingerprint, const pgproto::ScramKeys& keys) {
  const Monitor::Lock lock(*monitor_);
  for (const auto& entry : entries_) {
    if (entry.first == fingerprint) return;
  }
  if (entries_.size() == kSaltedKeysMax) {
    wipe(entries_.front().second);
    entries_.pop_front();
  }
  entries_.emplace_back(fingerprint, keys);
}

}  // namespace pgsink
