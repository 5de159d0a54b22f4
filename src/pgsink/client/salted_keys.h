#pragma once
// A cache of SCRAM keys that the connections of a pool share.

#include <deque>
#include <memory>
#include <utility>

#include <pgproto/scram.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// Maximum of keys kept: one for each (password, salt, iterations), so one for each server and
/// role.
inline constexpr size_t kSaltedKeysMax = 64;

/// SharedSaltedKeys is a thread-safe SaltedKeyCache: twenty connections to one server derive the
/// expensive keys once. When it is full, the oldest entry is removed.
class SharedSaltedKeys final : public pgproto::SaltedKeyCache {
 public:
  explicit SharedSaltedKeys(Tasks& tasks) : monitor_(tasks.monitor()) {}
  ~SharedSaltedKeys() override;

  std::optional<pgproto::ScramKeys> find(const pgproto::Sha256& fingerprint) override;
  void store(const pgproto::Sha256& fingerprint, const pgproto::ScramKeys& keys) override;

 private:
  std::unique_ptr<Monitor> monitor_;
  std::deque<std::pair<pgproto::Sha256, pgproto::ScramKeys>> entries_;  // guarded by monitor_
};

}  // namespace pgsink
