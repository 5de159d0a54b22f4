#include "pgsink/replication/source_watch.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include <pgproto/pgoutput.h>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr char kSeparator = '\x1e';       // ASCII's own, for records
constexpr char kTableSeparator = '\x1d';  // and for groups

template <typename State>
auto fields_of(State& state) {
  return std::array{&state.publication_oid, &state.actions, &state.via_root,
                    &state.schema,          &state.name,    &state.shown,
                    &state.filter,          &state.members, &state.replica_identity,
                    &state.table_oid,       &state.version};
}

}  // namespace

Result<std::vector<PublicationState>> read_publications(Connection& connection,
                                                        const std::string& publication,
                                                        std::span<const uint32_t> table_oids,
                                                        Deadline deadline) {
  Quoted quoted;
  const std::string name = quoted.literal(publication);
  if (!quoted.status()) return fail(quoted.status().error());
  std::string oids;
  for (const uint32_t oid : table_oids) oids += (oids.empty() ? "" : ",") + std::to_string(oid);
  constexpr int kFilters = 150000;
  const Sql question = connection.server().version >= kFilters ? Sql::kPublicationState
                                                               : Sql::kPublicationStateBefore15;
  const auto rows =
      run_control(connection, sql_text(question, {"'{" + oids + "}'", name}), deadline);
  if (!rows) return fail(rows.error());
  std::unordered_map<std::string, PublicationState> found;
  for (size_t row = 0; row < rows->rows.size(); ++row) {
    const auto text = [&](size_t column) { return cell(*rows, row, column); };
    found[text(10)] = PublicationState{.publication_oid = text(0),
                                       .actions = text(1),
                                       .via_root = text(2),
                                       .schema = text(3),
                                       .name = text(4),
                                       .shown = text(5),
                                       .filter = text(6),
                                       .members = text(7),
                                       .replica_identity = text(8),
                                       .table_oid = text(10),
                                       .version = text(9)};
  }
  std::vector<PublicationState> states;
  states.reserve(table_oids.size());
  for (const uint32_t oid : table_oids) states.push_back(found[std::to_string(oid)]);
  return states;
}

Result<PublicationState> read_publication(Connection& connection, const std::string& publication,
                                          uint32_t table_oid, Deadline deadline) {
  auto states = read_publications(connection, publication, std::span(&table_oid, 1), deadline);
  if (!states) return fail(states.error());
  return std::move(states->front());
}

std::string to_text(std::span<const PublicationState> states) {
  std::string text;
  for (const PublicationState& state : states) {
    if (!text.empty()) text += kTableSeparator;
    text += to_text(state);
  }
  return text;
}

std::vector<PublicationState> publications_from_text(std::string_view text) {
  std::vector<PublicationState> states;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(kTableSeparator));
    states.push_back(publication_from_text(one));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
  }
  return states;
}

std::string to_text(const PublicationState& state) {
  std::string text;
  for (const std::string* field : fields_of(state)) {
    if (!text.empty()) text += kSeparator;
    text += *field + " ";  // So that none is empty.
  }
  return text;
}

PublicationState publication_from_text(std::string_view text) {
  PublicationState state;
  for (std::string* field : fields_of(state)) {
    const std::string_view part = text.substr(0, text.find(kSeparator));
    *field = part.substr(0, part.size() - std::min<size_t>(part.size(), 1));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return state;
}

std::string difference(const PublicationState& opened, const PublicationState& now,
                       const std::string& publication) {
  const std::string pub = "publication \"" + publication + "\" ";
  if (now.name.empty()) return "it was dropped";
  if (now.table_oid != opened.table_oid) {
    return "it is another table than before, which was dropped or renamed";
  }
  if (now.schema != opened.schema || now.name != opened.name) {
    return "it is called " + now.schema + "." + now.name + " now";
  }
  if (now.publication_oid.empty()) return pub + "was dropped or renamed";
  if (now.publication_oid != opened.publication_oid) return pub + "was dropped and recreated";
  if (now.shown != "t") return pub + "does not hold it any more";
  if (now.actions != opened.actions) {
    return pub + "shows other actions than when the source was opened: " +
           (now.actions.empty() ? "none" : now.actions) + " instead of " + opened.actions;
  }
  if (now.filter != opened.filter) {
    return pub + "has another row filter for it than when the source was opened";
  }
  if (now.via_root != opened.via_root) {
    return pub + "has another publish_via_partition_root than when the source was opened";
  }
  if (now.members != opened.members) {
    return pub +
           "has another column list for it than when the source was opened, or it was taken "
           "out and added again";
  }
  if (now.replica_identity != opened.replica_identity && now.replica_identity == "n") {
    return "its replica identity is NOTHING now, so updates and deletes cannot be sent";
  }
  if (now.version != opened.version) {
    return pub + "was altered, and may have shown less of it for a while";
  }
  return {};
}

std::string how_to_go_on(bool remembered, uint64_t until) {
  return " For a new snapshot empty the target, drop the slot and open the source again; to accept "
         "the gap, open the source again, with the table published" +
         (remembered ? " and accept_gap_until = '" + pgproto::format_lsn(until) + "'" : "");
}

std::string lost_after(uint64_t lsn, bool remembered, uint64_t until) {
  const std::string since = lsn == 0 ? "" : " after " + pgproto::format_lsn(lsn);
  return "; changes" + since + " may be lost." + how_to_go_on(remembered, until);
}

}  // namespace pgsink
