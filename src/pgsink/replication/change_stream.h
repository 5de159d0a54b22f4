#pragma once
// ChangeStream turns the messages of a replication stream into transactions of one table's rows.
// Pure: it uses no socket, clock or thread.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <pgproto/pgoutput.h>

#include "pgsink/replication/change_rows.h"
#include "pgsink/source.h"

namespace pgsink {

/// SourceTable is the table as it was when the source was opened.
struct SourceTable {
  struct Column {
    std::string name;
    uint32_t type_oid = 0;
    bool primary = false;  ///< Part of the primary key.
  };
  std::string schema, name;
  uint32_t oid = 0;
  std::vector<Column> columns;

  std::string full_name() const { return schema + "." + name; }
};

class ChangeStream {
 public:
  /// `schema` has the table's columns and the three of a source. Transactions that end at `after`
  /// or before are left out; those that hold more than `transaction_bytes_max` fail.
  ChangeStream(SourceTable table, std::shared_ptr<const Schema> schema, uint64_t after,
               size_t transaction_bytes_max);

  /// A new connection: the server starts with a whole transaction, and describes the tables again.
  void begin_connection();
  /// Takes the data of one XLogData. Fails with kReplication if the table has changed, an update
  /// lacks a value, or a transaction is too large; with kProtocol.
  Status take(pgproto::Bytes message);
  /// The server has sent everything up to `lsn`.
  void take_keepalive(pgproto::Lsn lsn);

  /// Complete transactions, in order; the taker empties it.
  std::deque<SourceBatch>& ready() { return ready_; }
  /// Everything up to here was seen, and its rows were all in batches that were ready.
  uint64_t seen() const { return seen_; }

 private:
  /// Mapping of a Relation's columns to the source's.
  struct Mapped {
    uint32_t oid = 0;
    std::vector<std::optional<size_t>> from;  ///< By source column; nothing: the Relation has no
                                              ///< such column.
    std::vector<bool> key;                    ///< By source column: whether it identifies a row.
    size_t width = 0;
  };

  Status on(const pgproto::pgoutput::Begin& begin);
  Status on(const pgproto::pgoutput::Commit& commit);
  Status on(const pgproto::pgoutput::Relation& relation);
  Status on(const pgproto::pgoutput::Insert& insert);
  Status on(const pgproto::pgoutput::Update& update);
  Status on(const pgproto::pgoutput::Delete& gone);
  Status on(const pgproto::pgoutput::Truncate& truncate);
  template <typename Other>
  Status on(const Other& other);

  bool is_ours(uint32_t relation) const { return mapped_ && mapped_->oid == relation; }
  Status check_width(const pgproto::Tuple& tuple) const;
  Status fill_unchanged(const pgproto::pgoutput::Update& update, pgproto::Tuple& row) const;
  bool moves(const pgproto::pgoutput::Update& update, const pgproto::Tuple& row) const;
  Status add(std::string_view operation, const pgproto::Tuple& row);
  std::unexpected<Error> stop(std::string why) const;

  const SourceTable table_;
  ChangeRows rows_;
  const size_t transaction_bytes_max_;
  std::deque<SourceBatch> ready_;
  std::optional<Mapped> mapped_;
  bool in_transaction_ = false;
  bool truncated_ = false;
  std::string lsn_text_, time_text_;
  uint64_t after_ = 0, seen_ = 0;
};

/// commit_time writes microseconds since 2000-01-01 UTC as PostgreSQL would with TimeZone UTC.
std::string commit_time(int64_t microseconds);

}  // namespace pgsink
