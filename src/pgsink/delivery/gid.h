#pragma once
// Names of prepared transactions. A gid is prepared_transaction_id with a UUID in place of ${uuid}.
// Gids are found by their fixed part, so the UUID (version 8, RFC 9562) begins with 60 bits for the
// sink: database, schema and sink id. So two sinks with the same template never take each other's
// transactions for their own. The rest is random: a gid is never used twice.
//   laminar_3f2a9c01-77de-8b1a-9c44-0d5ae1f20b7c
//   '------ prefix, fixed ------'

#include <string>
#include <string_view>

#include "pgsink/client/env.h"

namespace pgsink {

/// PostgreSQL: GIDSIZE is 200 with the closing zero.
inline constexpr size_t kGidBytesMax = 199;

/// GidMaker makes the gids of one sink.
class GidMaker {
 public:
  /// Fails with kOptionValue if the template lacks ${uuid} or a text before it, or is too long.
  static Result<GidMaker> create(std::string_view gid_template, std::string_view database,
                                 std::string_view schema, std::string_view sink_id);
  /// The prefix of all gids of the sink, and of no others.
  const std::string& prefix() const { return prefix_; }
  std::string make(Random& random) const;

 private:
  std::string prefix_, after_;
};

/// sink_hash is a number that identifies a sink in its cluster. Stored in gids: it never changes.
uint64_t sink_hash(std::string_view database, std::string_view schema, std::string_view sink_id);

/// writer_lock_key is the key of the advisory lock that the sessions of a sink's writer share. Such
/// keys count within one database.
uint64_t writer_lock_key(std::string_view schema, std::string_view sink_id);

}  // namespace pgsink
