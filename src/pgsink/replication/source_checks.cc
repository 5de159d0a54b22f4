#include "pgsink/replication/source_checks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <pgproto/pgoutput.h>

#include "pgsink/sql/control.h"

namespace pgsink {
void SourceChecks::streamed(uint64_t lsn) {
  streamed_ = true;
  received_ = std::max(received_, lsn);
}

void SourceChecks::slot_moves(uint64_t lsn) { slot_at_ = std::max(slot_at_, lsn); }

std::string SourceChecks::loss() const {
  return lost_after(checked_lsn_, record_.is_kept(), std::max(received_, slot_at_));
}

Status SourceChecks::check_slot(const SourceSlots::There& there) {
  if (!there.slot) return {};
  if (streamed_ && there.confirmed > slot_at_) {
    return fail(Errc::kReplication,
                "replication_slot \"" + options_.replication_slot + "\" is at " +
                    pgproto::format_lsn(there.confirmed) + ", and this source left it at " +
                    pgproto::format_lsn(slot_at_) +
                    ": somebody else recreated, advanced or read it, and the changes "
                    "between these are lost." +
                    how_to_go_on(record_.is_kept(), there.confirmed));
  }
  slot_moves(there.confirmed);
  return {};
}

Status SourceChecks::check_publication(Connection& asking, std::span<const TableSetup> tables) {
  std::vector<uint32_t> oids;
  oids.reserve(tables.size());
  for (const TableSetup& setup : tables) oids.push_back(setup.table.oid);
  const auto now =
      read_publications(asking, options_.publication, oids, clock_.now() + kAskTimeout);
  if (!now) return fail(now.error());
  checked_ = clock_.now();
  for (size_t i = 0; i < tables.size(); ++i) {
    const std::string change = difference(tables[i].published, (*now)[i], options_.publication);
    if (change.empty()) continue;
    return fail(Errc::kReplication,
                "table " + tables[i].table.full_name() + ": " + change + loss());
  }
  checked_lsn_ = std::max({checked_lsn_, received_, slot_at_});
  return {};
}

Status SourceChecks::check_record(const SourceSlots::There& there, Connection& asking,
                                  std::span<const TableSetup> tables, uint64_t after) {
  const auto now = [&](const PublicationState& before) -> Result<std::optional<PublicationState>> {
    if (options_.tables.empty()) return tables.front().published;
    const auto wanted = TablePatterns::read(options_.tables, options_.schema);
    const auto left_out = TablePatterns::read(options_.tables_exclude, options_.schema);
    if (!wanted || !left_out) return fail(wanted ? left_out.error() : wanted.error());
    const TableName name{before.schema, before.name};
    if (!wanted->matches(name) || left_out->matches(name)) return std::nullopt;
    auto state = read_publication(asking, options_.publication,
                                  static_cast<uint32_t>(parse_number(before.table_oid)),
                                  clock_.now() + kAskTimeout);
    if (!state) return fail(state.error());
    return *std::move(state);
  };
  return record_.check(there, asking.server().incarnation.system_identifier, now, after);
}

/// Before 18, the server ends the stream where it decodes changes and there is no publication.
Error SourceChecks::explain(const Error& error, std::span<const TableSetup> tables) const {
  constexpr std::string_view kNoSuchObject = "42704";
  if (error.sqlstate != kNoSuchObject) return error;
  const std::string table =
      options_.tables.empty() ? "table " + tables.front().table.full_name() + ": " : "";
  return pgproto::make_error(Errc::kReplication, table + error.message + loss());
}

Error SourceChecks::slot_is_gone(uint64_t consumer_has) const {
  return pgproto::make_error(
      Errc::kReplication,
      "replication_slot \"" + options_.replication_slot +
          "\" is gone, and with it the changes after " + pgproto::format_lsn(consumer_has) +
          ", the position that the target has reached: empty the target and give the sink another "
          "sink_id, then open both again");
}

Error SourceChecks::was_not_read(const TableSetup& table, uint64_t consumer_has) {
  return pgproto::make_error(
      Errc::kReplication,
      "table " + table.table.full_name() + ": the sink has its changes up to " +
          pgproto::format_lsn(consumer_has) +
          ", and later ones may be lost, because it was not read since: empty the target and "
          "delete the sink's rows for it in pgsink_epochs, then open both again");
}

}  // namespace pgsink
