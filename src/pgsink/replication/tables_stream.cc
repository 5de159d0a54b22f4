#include "pgsink/replication/tables_stream.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace pgsink {

using namespace pgproto::pgoutput;

void TablesStream::add_table(const SourceTable& table, const std::shared_ptr<const Schema>& schema,
                             uint64_t after) {
  after_.push_back(after);
  by_oid_[table.oid] = streams_.size();
  by_name_[table.full_name()] = streams_.size();
  streams_.push_back(std::make_unique<ChangeStream>(table, schema, after, transaction_bytes_max_));
}

void TablesStream::begin_connection() {
  in_transaction_ = false;
  touched_.clear();
  for (const auto& stream : streams_) stream->begin_connection();
}

void TablesStream::take_keepalive(pgproto::Lsn lsn) {
  if (!in_transaction_) seen_ = std::max(seen_, lsn);
}

Status TablesStream::take(pgproto::Bytes message) {
  const auto decoded = decode(message);
  if (!decoded) return fail(decoded.error());
  if (std::holds_alternative<Begin>(*decoded)) return begin(*decoded);
  if (std::holds_alternative<Commit>(*decoded)) return commit(*decoded);
  if (std::holds_alternative<Relation>(*decoded)) return describe(*decoded);
  if (std::holds_alternative<Truncate>(*decoded)) return truncate(*decoded);
  if (const auto* insert = std::get_if<Insert>(&*decoded)) {
    return change(insert->relation, *decoded);
  }
  if (const auto* update = std::get_if<Update>(&*decoded)) {
    return change(update->relation, *decoded);
  }
  if (const auto* gone = std::get_if<Delete>(&*decoded)) return change(gone->relation, *decoded);
  // Origins and types contain nothing that is needed; streams and prepared transactions were not
  // requested.
  if (std::holds_alternative<Origin>(*decoded) || std::holds_alternative<Type>(*decoded) ||
      std::holds_alternative<Message>(*decoded)) {
    return {};
  }
  return fail(Errc::kProtocol, "the replication stream holds a message that was not requested");
}

Status TablesStream::begin(const Any& message) {
  if (in_transaction_) return fail(Errc::kProtocol, "a transaction begins inside another one");
  in_transaction_ = true;
  begin_ = message;
  touched_.clear();
  bytes_ = 0;
  return {};
}

Status TablesStream::commit(const Any& message) {
  if (!in_transaction_) return fail(Errc::kProtocol, "a transaction ends that never began");
  in_transaction_ = false;
  for (const size_t table : touched_) {
    ChangeStream& stream = *streams_[table];
    if (auto taken = stream.take(message); !taken) return taken;
    for (; !stream.ready().empty(); stream.ready().pop_front()) {
      SourceBatch batch = std::move(stream.ready().front());
      batch.table = table;
      ready_.push_back({std::move(batch), seen_});
    }
  }
  seen_ = std::max(seen_, std::get<Commit>(message).end_lsn);
  return {};
}

/// A table that was renamed or recreated is known by its id or by its name only.
Status TablesStream::describe(const Any& message) {
  const auto& relation = std::get<Relation>(message);
  const auto by_oid = by_oid_.find(relation.oid);
  const auto by_name =
      by_name_.find(std::string(relation.schema) + "." + std::string(relation.name));
  std::optional<size_t> named;
  if (by_name != by_name_.end()) {
    named = by_name->second;
    if (auto taken = streams_[*named]->take(message); !taken) return taken;
  }
  if (by_oid == by_oid_.end() || named == by_oid->second) return {};
  return streams_[by_oid->second]->take(message);
}

Status TablesStream::give(size_t table, const Any& message) {
  ChangeStream& stream = *streams_[table];
  if (std::ranges::find(touched_, table) == touched_.end()) {
    touched_.push_back(table);
    if (auto begun = stream.take(begin_); !begun) return begun;
  }
  const size_t before = stream.bytes();
  if (auto taken = stream.take(message); !taken) return taken;
  bytes_ = bytes_ + stream.bytes() - before;
  if (bytes_ <= transaction_bytes_max_) return {};
  return fail(Errc::kReplication,
              "the transaction that ends at " +
                  pgproto::format_lsn(std::get<Begin>(begin_).commit_lsn) +
                  " holds more than the " + std::to_string(transaction_bytes_max_) +
                  " bytes that a whole transaction may (half of buffer_bytes): raise buffer_bytes");
}

Status TablesStream::change(uint32_t relation, const Any& message) {
  const auto found = by_oid_.find(relation);
  return found == by_oid_.end() ? Status() : give(found->second, message);
}

Status TablesStream::truncate(const Any& message) {
  for (const uint32_t relation : std::get<Truncate>(message).relations) {
    if (auto given = change(relation, message); !given) return given;
  }
  return {};
}

}  // namespace pgsink
