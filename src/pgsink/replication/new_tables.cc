#include "pgsink/replication/new_tables.h"

#include <utility>

#include "pgsink/replication/publication.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// How long a new table may be without a replica identity.
constexpr Duration kIdentityPatience = std::chrono::seconds(60);

}  // namespace

Result<std::vector<TableName>> NewTables::look(Connection& asking,
                                               std::span<const TableSetup> known,
                                               std::vector<std::string>& warnings) {
  const auto found = find_new_tables(options_, asking, known, soon());
  if (!found) return fail(found.error());
  std::map<std::string, TimePoint> unidentified;
  for (const TableName& name : found->unidentified) {
    const auto before = unidentified_.find(name.full());
    const TimePoint since = before == unidentified_.end() ? clock_.now() : before->second;
    if (clock_.now() >= since + kIdentityPatience) return no_identity(name);
    unidentified.emplace(name.full(), since);
  }
  unidentified_ = std::move(unidentified);
  std::vector<TableName> ready;
  for (const TableName& name : found->identified) {
    auto published = published_.find(name.full());
    if (published == published_.end()) {
      auto transaction = publish(name, asking, warnings);
      if (!transaction) return fail(transaction.error());
      published = published_.emplace(name.full(), *std::move(transaction)).first;
    }
    const auto may = may_join(published->second, asking);
    if (!may) return fail(may.error());
    if (*may) ready.push_back(name);
  }
  return ready;
}

Result<std::string> NewTables::publish(const TableName& name, Connection& asking,
                                       std::vector<std::string>& warnings) const {
  const auto table = read_table(asking, name.schema, name.name, soon());
  if (!table) return fail(table.error());
  SinkOptions without_slot = options_;  // The slot has not shown this table yet.
  without_slot.replication_slot.clear();
  std::vector<std::string> made;
  const Status ready = ensure_publication(without_slot, *table, asking, soon(), &made);
  if (!ready) return fail(ready.error());
  for (const std::string& one : made) {
    warnings.push_back("connection \"" + options_.connection_name + "\": " + one);
  }
  const auto next = asking.query(sql_text(Sql::kNextTransaction), soon());
  if (!next) return fail(next.error());
  return next->scalar();
}

Result<bool> NewTables::may_join(const std::string& transaction, Connection& asking) const {
  const auto ended = asking.query(sql_text(Sql::kTransactionsEnded, {transaction}), soon());
  if (!ended) return fail(ended.error());
  return ended->scalar() == "t";
}

}  // namespace pgsink
