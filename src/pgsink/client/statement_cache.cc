#include "pgsink/client/statement_cache.h"

#include <algorithm>
#include <utility>

#include "pgsink/client/query_collector.h"

namespace pgsink {

StatementCache::StatementCache(Connection& connection, Random& random, size_t statements_max)
    : connection_(connection), random_(random), statements_max_(statements_max) {
  forget_all();
}

// Names are random, not only counted: behind a pooler other clients prepare statements on the same
// server connection.
void StatementCache::forget_all() {
  entries_.clear();
  prefix_ = "pgsink_" + std::to_string(random_.next_u64()) + "_";
}

StatementCache::Entries::iterator StatementCache::find(std::string_view sql,
                                                       std::span<const pgproto::Oid> types) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.sql == sql &&
           std::equal(entry.types.begin(), entry.types.end(), types.begin(), types.end());
  });
}

Result<std::string_view> StatementCache::prepare(std::string_view sql,
                                                 std::span<const pgproto::Oid> types) {
  pgproto::Session& session = connection_.session();
  if (statements_max_ == 0) {
    if (const auto sent = session.parse("", sql, types); !sent) return fail(sent.error());
    ++prepared_;
    return std::string_view();
  }
  if (const auto found = find(sql, types); found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    ++reused_;
    return std::string_view(found->name);
  }
  Entry entry;
  entry.sql = sql;
  entry.types.assign(types.begin(), types.end());
  entry.name = prefix_ + std::to_string(next_number_++);
  const auto sent = session.parse(entry.name, sql, types);
  if (!sent) return fail(sent.error());
  entry.parse_request = *sent;
  if (entries_.size() >= statements_max_) {
    // Close of a statement that does not exist is not an error.
    if (const auto closed = session.close_statement(entries_.back().name); !closed) {
      return fail(closed.error());
    }
    entries_.pop_back();
  }
  entries_.push_front(std::move(entry));
  ++prepared_;
  return std::string_view(entries_.front().name);
}

void StatementCache::observe(const pgproto::Event& event) {
  if (std::holds_alternative<pgproto::ParseComplete>(event.message)) {
    for (Entry& entry : entries_) {
      if (entry.parse_request == event.request) entry.parse_request = 0;
    }
  } else if (std::holds_alternative<pgproto::ReadyForQuery>(event.message)) {
    // A Parse in this pipeline that was not answered was skipped, or failed.
    std::erase_if(entries_, [&](const Entry& entry) {
      return entry.parse_request != 0 && entry.parse_request < event.request;
    });
  } else if (const auto* done = std::get_if<pgproto::CommandComplete>(&event.message)) {
    if (done->tag == "DISCARD ALL" || done->tag.starts_with("DEALLOCATE")) forget_all();
  }
}

bool StatementCache::stale(const pgproto::Sqlstate& sqlstate, std::string_view routine,
                           std::string_view sql) {
  if (sqlstate == "26000" || sqlstate == "42P05") {
    forget_all();  // The reason that made this statement stale applies to the others too.
    return true;
  }
  if (sqlstate == "0A000" && routine == "RevalidateCachedQuery") {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.sql == sql; });
    return true;
  }
  return false;
}

// Parse if needed, Bind, Describe if the columns are not known yet, Execute, Sync.
Status StatementCache::send(std::string_view sql,
                            std::span<const std::optional<std::string>> parameters,
                            bool& described) {
  pgproto::Session& session = connection_.session();
  const auto name = prepare(sql);
  if (!name) return fail(name.error());
  described = statements_max_ == 0 || entries_.front().columns.empty();
  std::vector<pgproto::Session::Parameter> values;
  for (const auto& parameter : parameters) {
    pgproto::Session::Parameter value;
    if (parameter) value.value = pgproto::as_bytes(*parameter);
    values.push_back(value);
  }
  if (const auto sent = session.bind("", *name, values); !sent) return fail(sent.error());
  if (described) {
    if (const auto sent = session.describe_portal(""); !sent) return fail(sent.error());
  }
  if (const auto sent = session.execute(""); !sent) return fail(sent.error());
  return {};
}

Result<QueryResult> StatementCache::collect(std::string_view sql, bool described, bool& again,
                                            Deadline deadline) {
  QueryCollector collector;
  for (bool done = false; !done;) {
    const auto event = connection_.next_event(deadline);
    if (!event) return fail(event.error());
    if (!*event) {
      return fail(Errc::kInterrupted, "the wait for the server's answer was interrupted");
    }
    observe(**event);
    done = collector.take((*event)->message);
  }
  auto result = collector.finish();
  if (!result) {
    again = stale(result.error().sqlstate, collector.error_routine(), sql);
    return result;
  }
  if (const auto entry = find(sql, {}); entry != entries_.end()) {
    if (described) entry->columns = result->columns;
    if (!described) result->columns = entry->columns;
  }
  return result;
}

Result<QueryResult> StatementCache::query(std::string_view sql,
                                          std::span<const std::optional<std::string>> parameters,
                                          Deadline deadline) {
  for (int attempt = 0;; ++attempt) {
    // The connection's error, not one of this statement.
    if (connection_.broken()) return connection_.query("", deadline);
    PGPROTO_ASSERT(connection_.session().pending_requests() == 0);
    // Inside a transaction the error has undone earlier statements: only the caller can repeat
    // those.
    const bool alone =
        connection_.session().transaction_status() == pgproto::ReadyForQuery::Status::kIdle;
    bool described = true;
    const Status sent = send(sql, parameters, described);
    connection_.session().sync();  // Also if a part could not be sent: what was sent needs a Sync.
    bool again = false;
    auto result = collect(sql, described, again, deadline);
    if (!sent) return fail(sent.error());
    if (result || !again || !alone || attempt > 0) return result;
  }
}

}  // namespace pgsink
