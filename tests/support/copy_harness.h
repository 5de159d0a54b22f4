#pragma once
// The encoder against a real server: encode a batch, send it by COPY BINARY over libpq, read it
// back.

#include <memory>
#include <string>
#include <vector>

#include <pgproto/type_info.h>

#include <pgsink/encode/rows/row_encoder.h>

#include "support/postgres_server.h"

namespace pgsink::test {

/// A type as the catalog describes a column that has it.
struct ColumnType {
  pgproto::Oid oid = 0;
  int32_t type_modifier = -1;
  encode::ValueRules rules{};  ///< With the version of the server that has it.
};

/// Encoded is everything that came out of an encoder.
struct Encoded {
  std::vector<std::byte> tuples;
  std::vector<Rejection> rejected;
};

/// encode_all encodes rows through a buffer of `out_bytes`, grown where a single row needs more.
Encoded encode_all(RowEncoder& encoder, const RecordBatch& batch, RowRange rows,
                   size_t out_bytes = 65536);

/// The columns of a batch, in order, to columns of these types (named as in the batch).
std::vector<EncodeColumn> encode_columns(const RecordBatch& batch,
                                         const std::vector<ColumnType>& types);

/// CopyTable is a table of one server with one column a type, the catalog for the encoder, and one
/// connection to it.
class CopyTable {
 public:
  /// Creates (replaces) table `name` with columns c0, c1, … of the SQL types given.
  CopyTable(PostgresServer& server, const std::string& database, std::string name,
            const std::vector<std::string>& sql_types);

  ~CopyTable();
  CopyTable(const CopyTable&) = delete;
  CopyTable& operator=(const CopyTable&) = delete;

  const std::vector<ColumnType>& columns() const { return columns_; }
  const pgproto::TypeMap& types() const { return types_; }

  /// Sends tuples; returns the server's error with SQLSTATE in front, or "".
  std::string copy(const std::vector<std::byte>& tuples);
  /// All rows as text, in the order they were sent.
  SqlRows rows();
  /// The whole table as the server's own binary COPY, header and trailer taken off.
  std::vector<std::byte> binary();
  void truncate();

 private:
  struct Link;
  std::string column_list(const std::string& suffix) const;

  std::unique_ptr<Link> link_;
  std::string name_;
  std::vector<ColumnType> columns_;
  pgproto::TypeMap types_;
};

}  // namespace pgsink::test
