#include "pgsink/delivery/check.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "pgsink/delivery/two_phase.h"
#include "pgsink/options/names.h"

namespace pgsink {

Status check_delivery(const SinkOptions& options, Connection& connection, const CatalogTable& table,
                      Deadline deadline) {
  if (options.delivery == Delivery::kExactlyOnce) {
    return check_local_table(connection, table, "delivery = 'exactly_once'", deadline);
  }
  if (!options.use_2pc) return {};
  // A pooler shares sessions among clients, and with them the advisory lock that is the fence.
  if (!connection.is_direct()) {
    return fail(Errc::kOptionConflict,
                "use_2pc does not work through a connection pooler: connect to the server itself");
  }
  return check_two_phase(connection, options, table, deadline);
}

bool commits_asynchronously(const SinkOptions& options, const ServerIdentity& server) {
  // Source: PostgreSQL documentation, "Setting Parameters": how a boolean may be written.
  constexpr std::array<std::string_view, 4> kOff{"off", "false", "no", "0"};
  bool asynchronous = !server.synchronous_commit;
  for (const auto& variable : options.session_variables) {
    if (!equal_without_case(variable.first, "synchronous_commit")) continue;
    asynchronous = std::ranges::any_of(
        kOff, [&](std::string_view off) { return equal_without_case(variable.second, off); });
  }
  return asynchronous;
}

}  // namespace pgsink
