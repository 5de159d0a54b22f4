#include "pgsink/replication/source_slots.h"

#include <tuple>
#include <utility>

#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

/// A new slot waits for the transactions in progress.
constexpr Duration kCreateTimeout = std::chrono::seconds(60);

}  // namespace

Result<SourceSlots::There> SourceSlots::find(Connection& connection) const {
  Quoted quoted;
  const std::string slot = quoted.literal(name_);
  const std::string other = quoted.literal(interim());
  const auto found = connection.query(sql_text(Sql::kSlotsThere, {slot, other}), soon());
  if (!found) return fail(found.error());
  There there;
  const auto log_end = connection.query(sql_text(Sql::kFlushedLsn), soon());
  if (!log_end) return fail(log_end.error());
  there.log_end = pgproto::parse_lsn(log_end->scalar()).value_or(0);
  for (const auto& row : found->rows) {
    const bool final_name = row[0] == name_;
    (final_name ? there.slot : there.interim) = true;
    if (final_name && row[1]) there.confirmed = pgproto::parse_lsn(*row[1]).value_or(0);
  }
  return there;
}

Status SourceSlots::create(Connection& connection) const {
  return create(connection, Sql::kSlotWithoutSnapshot, name_);
}

Status SourceSlots::create_interim(Connection& connection) const {
  return create(connection, Sql::kSlotAtSnapshot, interim());
}

Status SourceSlots::create(Connection& connection, Sql statement, const std::string& name) const {
  Quoted quoted;
  const std::string slot = quoted.identifier(name);
  const auto made = connection.query(sql_text(statement, {slot}), clock_.now() + kCreateTimeout);
  if (made) return {};
  Error error = made.error();
  error.message = "replication_slot \"" + name + "\": " + error.message;
  if (error.code == Errc::kTimeout) {
    std::ignore = connection.cancel(soon());
    error.message +=
        "; a new slot waits for the running transactions of all databases: pg_stat_activity and "
        "pg_prepared_xacts show the old ones";
  } else if (error.sqlstate == "53400") {
    error.message +=
        "; drop one that nobody needs (pg_replication_slots), or raise "
        "max_replication_slots and restart the server";
  }
  return fail(std::move(error));
}

Status SourceSlots::keep(Connection& connection) const {
  Quoted quoted;
  const std::string slot = quoted.literal(name_);
  const std::string from = quoted.literal(interim());
  const auto kept = connection.query(sql_text(Sql::kCopySlot, {from, slot}), soon());
  if (kept) return drop_interim(connection);
  Error error = kept.error();
  error.message = "replication_slot \"" + name_ + "\": " + error.message;
  if (error.sqlstate == "53400") {
    error.message += "; at the end of the snapshot it needs two slots for a moment";
  }
  return fail(std::move(error));
}

Status SourceSlots::drop_interim(Connection& connection) const {
  Quoted quoted;
  const std::string slot = quoted.literal(interim());
  const auto dropped = connection.query(sql_text(Sql::kDropSlot, {slot}), soon());
  if (!dropped) return fail(dropped.error());
  return {};
}

}  // namespace pgsink
