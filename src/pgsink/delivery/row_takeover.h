#pragma once
// How a new writer changes rows of a control table that transactions of the former writer may hold:
// it waits for them, and ends those that take too long.

#include <string>
#include <string_view>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"

namespace pgsink {

// The token of a writer is the number of its claim and that of its last renewal, both random:
// renewing asks for the claim alone, because the answer to an earlier renewal may have been lost.

/// new_claim_token is the token of a new claim.
std::string new_claim_token(Random& random);
/// claim_of is the number of the claim in a token.
std::string_view claim_of(std::string_view token);
/// renewed_token is a new token of a claim, which is a number as from claim_of().
std::string renewed_token(std::string_view claim, Random& random);

/// How long a transaction that holds the rows is waited for before its backend is terminated.
inline constexpr int64_t kRowsBlockedMaxMs = 1000;

/// RowTakeover is what to run, and who may be in the way.
struct RowTakeover {
  std::string statements;  ///< As one transaction; may be repeated.
  std::string blockers;    ///< Sql::kRowBlockers: the transactions that have changed the rows.
  std::string rows;        ///< For messages: which rows of which table.
};

/// take_over_rows returns the rows of the last statement. It waits for transactions that hold the
/// rows, and terminates those that take longer than kRowsBlockedMaxMs. Fails with kCannotFence if
/// that is not allowed or does not help until the deadline.
Result<QueryResult> take_over_rows(Env& env, Connection& connection, const RowTakeover& takeover,
                                   Deadline deadline);

}  // namespace pgsink
