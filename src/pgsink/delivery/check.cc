#include "pgsink/delivery/check.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "pgsink/delivery/gid.h"
#include "pgsink/options/names.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

std::unexpected<Error> cannot_prepare(const std::string& why) {
  return fail(Errc::kCannotPrepare, "use_2pc: " + why);
}

std::unexpected<Error> not_local(const CatalogTable& table, std::string_view option,
                                 const std::string& what) {
  return fail(Errc::kCannotPrepare,
              std::string(option) + ": table " + table.schema + "." + table.name + " " + what +
                  ". A transaction that wrote a foreign table cannot be prepared, and does not "
                  "commit together with the progress stored on this server: leave " +
                  std::string(option) + " out, or write to the other server directly");
}

Result<QueryResult> prepared_limits(Connection& connection, const CatalogTable& table,
                                    Deadline deadline) {
  Quoted quoted;
  const std::string statement =
      sql_text(Sql::kPreparedLimits, {quoted.literal(table.schema), quoted.literal(table.name)});
  if (!quoted.status()) return fail(quoted.status().error());
  return run_control(connection, statement, deadline);
}

Status check_server(uint64_t slots, const SinkOptions& options) {
  if (slots == 0) {
    return cannot_prepare(
        "the server has max_prepared_transactions = 0: set it to at least the number of "
        "transactions that are prepared at once (parallelism and more) in postgresql.conf and "
        "restart the server, or leave use_2pc out");
  }
  if (slots < static_cast<uint64_t>(options.parallelism)) {
    return cannot_prepare("parallelism = " + std::to_string(options.parallelism) +
                          " prepares that many transactions at once, but the server has "
                          "max_prepared_transactions = " +
                          std::to_string(slots) +
                          ": raise max_prepared_transactions or lower parallelism");
  }
  return {};
}

}  // namespace

Status check_local_table(Connection& connection, const CatalogTable& table, std::string_view option,
                         Deadline deadline) {
  if (table.kind == CatalogTable::Kind::kForeign) {
    return not_local(table, option, "is a foreign table");
  }
  const auto limits = prepared_limits(connection, table, deadline);
  if (!limits) return fail(limits.error());
  const std::string partitions = cell(*limits, 0, 0);
  if (partitions == "0") return {};
  return not_local(table, option, "has " + partitions + " foreign partitions");
}

Status check_two_phase(Connection& connection, const SinkOptions& options,
                       const CatalogTable& table, Deadline deadline) {
  const auto gids =
      GidMaker::create(options.prepared_transaction_id, "", table.schema, stored_sink_id(options));
  if (!gids) return fail(gids.error());
  if (auto local = check_local_table(connection, table, "use_2pc", deadline); !local) return local;
  const auto limits = prepared_limits(connection, table, deadline);
  if (!limits) return fail(limits.error());
  return check_server(parse_number(cell(*limits, 0, 1)), options);
}

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

Status check_path(Connection& connection, Deadline deadline) {
  if (!connection.is_relayed()) return {};
  // A server has no setting of that name, and says so. pgpool-II 4.3 describes its row twice, which
  // the protocol does not allow.
  const auto version = connection.query(sql_text(Sql::kPgpoolVersion), deadline);
  if (!version && version.error().code != Errc::kProtocol) {
    return connection.broken() ? fail(version.error()) : Status();
  }
  return fail(Errc::kOptionConflict,
              "the connection goes through pgpool-II, which loses rows and answers while several "
              "transactions are in flight: connect to the server itself, or through PgBouncer");
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
