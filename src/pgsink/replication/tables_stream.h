#pragma once
// TablesStream: the messages of one replication stream, given to the ChangeStream of each table.
// Pure: it uses no socket, clock or thread.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <pgproto/pgoutput.h>

#include "pgsink/replication/change_stream.h"
#include "pgsink/source.h"

namespace pgsink {

class TablesStream {
 public:
  /// A transaction that holds more than `transaction_bytes_max`, in all tables, fails.
  explicit TablesStream(size_t transaction_bytes_max)
      : transaction_bytes_max_(transaction_bytes_max) {}

  /// The next table; its transactions up to `after` are left out. Between connections only.
  void add_table(const SourceTable& table, const std::shared_ptr<const Schema>& schema,
                 uint64_t after);

  /// The `after` of a table.
  uint64_t after(size_t table) const { return after_[table]; }
  /// As those of ChangeStream.
  void begin_connection();
  Status take(pgproto::Bytes message);
  void take_keepalive(pgproto::Lsn lsn);

  struct Ready {
    SourceBatch batch;
    uint64_t before = 0;  ///< Everything up to here is in earlier batches.
  };
  /// The batches of complete transactions, in order; the taker empties it.
  std::deque<Ready>& ready() { return ready_; }
  /// Everything up to here was seen, and its rows were all in batches that were ready.
  uint64_t seen() const { return seen_; }

 private:
  Status begin(const pgproto::pgoutput::Any& message);
  Status commit(const pgproto::pgoutput::Any& message);
  Status describe(const pgproto::pgoutput::Any& message);
  Status truncate(const pgproto::pgoutput::Any& message);
  Status change(uint32_t relation, const pgproto::pgoutput::Any& message);

  /// Gives the message to a table, after the begin of its transaction.
  Status give(size_t table, const pgproto::pgoutput::Any& message);

  const size_t transaction_bytes_max_;
  std::vector<std::unique_ptr<ChangeStream>> streams_;  ///< By table.
  std::vector<uint64_t> after_;                         ///< By table.
  std::unordered_map<uint32_t, size_t> by_oid_;
  std::map<std::string, size_t> by_name_;  ///< "schema.name"
  pgproto::pgoutput::Any begin_;           ///< Of the transaction.
  bool in_transaction_ = false;
  std::vector<size_t> touched_;  ///< Tables that the transaction has given rows to, in order.
  size_t bytes_ = 0;             ///< Of the transaction.
  std::deque<Ready> ready_;
  uint64_t seen_ = 0;
};

}  // namespace pgsink
