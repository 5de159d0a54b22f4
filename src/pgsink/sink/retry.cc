#include "pgsink/sink/retry.h"

#include <algorithm>
#include <array>

namespace pgsink {
namespace {

// Prefixes of SQLSTATEs. Source: PostgreSQL documentation, "PostgreSQL Error Codes".
constexpr std::array<std::string_view, 15> kTransientSqlstates{
    "08",     // connection exceptions
    "25006",  // read only: this server was demoted, another may be the primary
    "40001",  // serialization failure
    "40P01",  // deadlock detected
    "53000", "53100", "53300", "53400",  // resources; not 53200: prepared slots do not come back
    "55006",                             // object in use
    "55P03",                             // lock not available
    "57P01", "57P02", "57P03",           // shutdown, crash, starting up
    "57P05",                             // idle session timeout
    "25P03",                             // idle in transaction timeout
};

}  // namespace

bool is_transient(const Error& error) {
  switch (error.code) {
    case Errc::kConnect:
    case Errc::kTimeout:
    case Errc::kConnectionLost:
    case Errc::kSessionAttributes:
      return true;
    default:
      return std::ranges::any_of(kTransientSqlstates, [&](std::string_view prefix) {
        return error.sqlstate.view().starts_with(prefix);
      });
  }
}

Duration Backoff::delay(uint32_t attempt) {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 7;
  state_ ^= state_ << 17;
  const uint32_t doublings = std::min<uint32_t>(attempt > 0 ? attempt - 1 : 0, 20);
  const int64_t ceiling = std::min<int64_t>(cap_.count(), base_.count() << doublings);
  return Duration(
      static_cast<int64_t>(state_ % (static_cast<uint64_t>(std::max<int64_t>(ceiling, 0)) + 1)));
}

}  // namespace pgsink
