#include "pgsink/delivery/row_takeover.h"

#include <algorithm>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr std::string_view kLockNotAvailable = "55P03";
constexpr std::string_view kDeadlockDetected = "40P01";

/// How long to wait for those that come after the first was waited for: their writer had its time.
constexpr int64_t kRowsBlockedAgainMs = 200;

// Terminates the backends whose open transactions have changed the rows. The list is read twice: a
// backend whose transaction is still there the second time is the same one. Does not wait until
// they have ended: the caller must queue for the rows before their writer has connected again.
Status end_blockers(Connection& connection, const RowTakeover& takeover, Deadline deadline) {
  const auto seen = run_control(connection, takeover.blockers, deadline);
  if (!seen) return fail(seen.error());
  const auto again = run_control(connection, takeover.blockers, deadline);
  if (!again) return fail(again.error());
  for (const auto& row : seen->rows) {
    const bool same = std::ranges::any_of(
        again->rows, [&](const auto& other) { return other[0] == row[0] && other[3] == row[3]; });
    if (!same) continue;
    if (!row[0]) {
      const std::string gid = row[4] ? "the prepared transaction '" + *row[4] + "'"
                                     : std::string("a prepared transaction");
      return fail(Errc::kCannotFence,
                  takeover.rows + " are locked by " + gid +
                      ": COMMIT PREPARED or ROLLBACK PREPARED it as its owner (pg_prepared_xacts "
                      "lists it)");
    }
    const BackendIdentity blocker{static_cast<int32_t>(parse_number(*row[0])), row[1].value_or(""),
                                  static_cast<uint32_t>(parse_number(row[2].value_or("0")))};
    if (auto told = terminate(connection, blocker, deadline); !told) return told;
  }
  return {};
}

constexpr size_t kClaimBytes = 32;

std::string hex(Random& random) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string digits;
  uint64_t bits = random.next_u64();
  for (int digit = 0; digit < 16; ++digit, bits >>= 4) digits += kHex[bits & 15];
  return digits;
}

}  // namespace

std::string new_claim_token(Random& random) {
  const std::string claim = hex(random) + hex(random);
  return renewed_token(claim, random);
}

std::string_view claim_of(std::string_view token) { return token.substr(0, kClaimBytes); }

std::string renewed_token(std::string_view claim, Random& random) {
  return std::string(claim) + "." + hex(random);
}

Result<QueryResult> take_over_rows(Env& env, Connection& connection, const RowTakeover& takeover,
                                   Deadline deadline) {
  int64_t wait_ms = kRowsBlockedMaxMs;
  for (;;) {
    const std::string bounded =
        sql_text(Sql::kLockTimeout, {std::to_string(wait_ms)}) + "; " + takeover.statements;
    auto result = run_control(connection, bounded, deadline);
    if (result || connection.broken()) return result;
    // Two writers that take rows over may wait for each other: the server ends one of them.
    const bool deadlock = result.error().sqlstate == kDeadlockDetected;
    if (!deadlock && result.error().sqlstate != kLockNotAvailable) return result;
    if (deadline != kNoDeadline && env.clock.now() >= deadline) {
      return fail(Errc::kCannotFence,
                  takeover.rows + " are locked by another session (" + result.error().message +
                      "): find it with pg_locks and pg_blocking_pids(), end it, then open the sink "
                      "again");
    }
    if (deadlock) continue;
    wait_ms = kRowsBlockedAgainMs;
    if (auto ended = end_blockers(connection, takeover, deadline); !ended) {
      return fail(ended.error());
    }
  }
}

}  // namespace pgsink
