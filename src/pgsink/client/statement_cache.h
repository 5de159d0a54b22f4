#pragma once
// Prepared statements of one connection, cached by their text.

#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/session.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// StatementCache prepares each statement once and drops the least recently used one when it is
/// full. It handles everything that makes prepared statements vanish or go stale: DEALLOCATE,
/// DISCARD, a changed table ("cached plan must not change result type"), another server connection
/// behind a pooler. Not thread-safe; one for each connection, which must outlive it.
class StatementCache {
 public:
  /// `statements_max` 0 prepares every statement again, unnamed: for poolers that do not support
  /// names.
  StatementCache(Connection& connection, Random& random, size_t statements_max);
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  /// prepare appends what is needed for a statement of that text to exist (a Parse, and a Close if
  /// another one must be dropped), and returns its name, valid until the next call. Sends nothing.
  /// Every event of the connection must then be passed to observe().
  Result<std::string_view> prepare(std::string_view sql, std::span<const pgproto::Oid> types = {});
  /// observe updates the cache from an event: ParseComplete, the end of a pipeline whose Parse
  /// never ran, DEALLOCATE and DISCARD.
  void observe(const pgproto::Event& event);
  /// stale says whether an error means that the statement was not in the state that the cache
  /// assumed, and that nothing of it ran: then it is dropped from the cache, and may be sent once
  /// more.
  bool stale(const pgproto::Sqlstate& sqlstate, std::string_view routine, std::string_view sql);

  /// query runs a statement through the cache. A stale statement outside of a transaction is
  /// prepared and sent again, once. REQUIRES: no request is pending.
  Result<QueryResult> query(std::string_view sql,
                            std::span<const std::optional<std::string>> parameters,
                            Deadline deadline);

  size_t size() const { return entries_.size(); }
  /// Numbers of statements that were prepared, and that were found in the cache; they only grow.
  uint64_t prepared() const { return prepared_; }
  uint64_t reused() const { return reused_; }

 private:
  struct Entry {
    std::string sql;
    std::vector<pgproto::Oid> types;
    std::string name;
    pgproto::RequestId parse_request = 0;  // 0 once ParseComplete came
    std::vector<std::string> columns;      // columns of its result, once described
  };
  using Entries = std::list<Entry>;  // the most recently used first

  Entries::iterator find(std::string_view sql, std::span<const pgproto::Oid> types);
  void forget_all();
  Status send(std::string_view sql, std::span<const std::optional<std::string>> parameters,
              bool& described);
  Result<QueryResult> collect(std::string_view sql, bool described, bool& again, Deadline deadline);

  Connection& connection_;
  Random& random_;
  const size_t statements_max_;
  std::string prefix_;  // prefix of the names; changed by forget_all()
  uint64_t next_number_ = 0;
  Entries entries_;
  uint64_t prepared_ = 0, reused_ = 0;
};

}  // namespace pgsink
