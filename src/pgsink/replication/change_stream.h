#pragma once
// ChangeStream turns the messages of a replication stream about one table into transactions of its
// rows. TablesStream gives it the messages. Pure: it uses no socket, clock or thread.

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
    std::string type{};    ///< As PostgreSQL writes it.
    bool not_null = false;
  };
  std::string schema, name;
  uint32_t oid = 0;
  std::vector<Column> columns;

  std::string full_name() const { return schema + "." + name; }
};

/// source_schema is the schema of the table's rows: its columns, the three of a source, and
/// kUnchangedColumn if updates may leave values out.
std::shared_ptr<const Schema> source_schema(const SourceTable& table, bool unchanged);

class ChangeStream {
 public:
  /// `schema` is the table's source_schema(). Transactions that end at `after` or before are left
  /// out; those that hold more than `transaction_bytes_max` fail.
  ChangeStream(SourceTable table, std::shared_ptr<const Schema> schema, uint64_t after,
               size_t transaction_bytes_max);

  /// A new connection: the server starts with a whole transaction, and describes the tables again.
  void begin_connection();
  /// Takes a message that is about this table, or the begin or commit of a transaction of which it
  /// gets others. Fails with kReplication if the table has changed, an update lacks a value, or a
  /// transaction is too large; with kProtocol.
  Status take(const pgproto::pgoutput::Any& message);

  /// Complete transactions, in order; the taker empties it.
  std::deque<SourceBatch>& ready() { return ready_; }
  /// Of the rows of the transaction that has not ended.
  size_t bytes() const { return rows_.bytes(); }

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
  Status fill_unchanged(const pgproto::pgoutput::Update& update, pgproto::Tuple& row);
  bool moves(const pgproto::pgoutput::Update& update, const pgproto::Tuple& row) const;
  Status add(std::string_view operation, const pgproto::Tuple& row,
             std::string_view unchanged = {});
  std::unexpected<Error> stop(std::string why) const;

  const SourceTable table_;
  ChangeRows rows_;
  const size_t transaction_bytes_max_;
  std::deque<SourceBatch> ready_;
  std::optional<Mapped> mapped_;
  bool truncated_ = false;
  std::string lsn_text_, time_text_;
  const bool reports_unchanged_;
  std::string unchanged_;  ///< Of the update at hand: a JSON array of columns; "": none.
  uint64_t after_ = 0;
};

/// commit_time writes microseconds since 2000-01-01 UTC as PostgreSQL would with TimeZone UTC.
std::string commit_time(int64_t microseconds);

}  // namespace pgsink
