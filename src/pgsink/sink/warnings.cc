#include "pgsink/sink/warnings.h"

#include "pgsink/delivery/check.h"

namespace pgsink {

std::vector<std::string> open_warnings(const SinkOptions& options, size_t hosts,
                                       Connection& connection) {
  const ServerIdentity& server = connection.server();
  std::vector<std::string> warnings;
  if (commits_asynchronously(options, server)) {
    warnings.push_back("connection \"" + options.connection_name +
                       "\": synchronous_commit is off for this role, database or session: if the "
                       "server crashes, the rows last reported as committed are lost; set it to on "
                       "where it was set to off, or by session_variables = MAP { "
                       "'synchronous_commit': 'on' }");
  }
  if (!server.incarnation_known && options.delivery != Delivery::kExactlyOnce && !options.use_2pc) {
    warnings.push_back(
        "connection \"" + options.connection_name +
        "\": this role may not read, or this server does not have, what tells a restarted server "
        "from the one before (pg_control_system, pg_current_wal_lsn, pg_stat_bgwriter): if a "
        "connection breaks during a COMMIT, its rows may be written twice; set delivery = "
        "'exactly_once' to rule that out, or GRANT EXECUTE ON FUNCTION pg_control_system() to the "
        "role if it was revoked");
  }
  if (hosts > 1 && !server.synchronous_standbys) {
    const bool rewinds = options.delivery == Delivery::kExactlyOnce || options.use_2pc;
    warnings.push_back(
        "connection \"" + options.connection_name +
        "\": there are several hosts, and none is a synchronous standby: a failover loses the rows "
        "last reported as committed" +
        (rewinds ? "; the sink will notice and name the position to go back to" : "") +
        ". Set synchronous_standby_names on the server to rule that out");
  }
  return warnings;
}

}  // namespace pgsink
