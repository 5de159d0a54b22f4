#include "pgsink/replication/replication_session.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "pgsink/options/names.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// wal_sender_timeout is a minute by default.
constexpr Duration kStatusInterval = std::chrono::seconds(10);
constexpr int64_t kStatusesInTimeout = 4;
constexpr Duration kGoodbyeTimeout = std::chrono::seconds(2);
constexpr int64_t kPostgresEpochUs = 946'684'800'000'000;  // 2000-01-01 in Unix time

}  // namespace

Result<ReplicationSession> open_replication(Env& env, ConnectOptions connect) {
  connect.parameters.emplace_back("replication", "database");
  auto opened = Connection::open(env, connect);
  if (!opened) return fail(opened.error());
  const Deadline deadline = env.clock.now() + kAskTimeout;
  const auto quiet = (*opened)->query(sql_text(Sql::kQuietSession), deadline);
  if (!quiet) return fail(quiet.error());
  const auto timeout = (*opened)->query(sql_text(Sql::kSenderTimeout), deadline);
  if (!timeout) return fail(timeout.error());
  const auto timeout_ms = static_cast<int64_t>(parse_number(timeout->scalar()));
  Duration interval = kStatusInterval;
  if (timeout_ms > 0) {
    const auto part =
        std::chrono::milliseconds(std::max<int64_t>(1, timeout_ms / kStatusesInTimeout));
    interval = std::min<Duration>(interval, part);
  }
  return ReplicationSession{std::move(*opened), interval};
}

Status start_replication(Connection& connection, const std::string& slot,
                         const std::string& publication, pgproto::Lsn from) {
  Quoted quoted;
  const std::string slot_name = quoted.identifier(slot);
  const std::string publications = quoted.literal(quoted.identifier(publication));
  if (!quoted.status()) return quoted.status();
  const auto sent = connection.session().query(
      sql_text(Sql::kStartReplication, {slot_name, pgproto::format_lsn(from), publications}),
      pgproto::Session::Copy::kBoth);
  return sent ? Status() : fail(sent.error());
}

Result<std::optional<pgproto::ReplicationMessage>> read_replication(
    const pgproto::BackendMessage& message) {
  if (const auto* error = std::get_if<pgproto::ErrorResponse>(&message)) {
    return fail(error->to_error());
  }
  if (std::holds_alternative<pgproto::CopyDone>(message) ||
      std::holds_alternative<pgproto::CommandComplete>(message)) {
    return fail(Errc::kConnectionLost, "the server ended the stream, as it does to shut down");
  }
  const auto* data = std::get_if<pgproto::CopyData>(&message);
  if (data == nullptr) return std::nullopt;
  return pgproto::decode_replication(data->data);
}

Status send_status(Connection& connection, pgproto::Lsn received, pgproto::Lsn flushed,
                   Clock& clock, bool ask) {
  const auto body = pgproto::encode_standby_status(std::max(received, flushed), flushed,
                                                   clock.wall_us() - kPostgresEpochUs, ask);
  pgproto::Session& session = connection.session();
  const pgproto::MutableBytes space = session.copy_space(body.size());
  if (space.size() < body.size()) return fail(Errc::kOutOfMemory, "no memory for a status");
  std::memcpy(space.data(), body.data(), body.size());
  session.copy_commit(body.size());
  return connection.send_only(clock.now() + kAskTimeout);
}

void end_replication(Connection& connection, Clock& clock) {
  connection.session().copy_done();
  const Deadline deadline = clock.now() + kGoodbyeTimeout;
  while (clock.now() < deadline) {
    const auto event = connection.next_event(deadline);
    if (!event) break;
    if (*event && std::holds_alternative<pgproto::ReadyForQuery>((*event)->message)) break;
  }
}

}  // namespace pgsink
