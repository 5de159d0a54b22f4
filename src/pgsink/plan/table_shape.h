#pragma once
// TableShape: the table and the types that rows are encoded for. A binary value does not contain
// its type: a column that got another type of the same width would read it as that, and one with a
// narrower modifier would round it. So each transaction proves, after its rows and before its end,
// that the table still has this shape. The lock that its own statement holds on the table keeps it
// so until the commit.
//
// Nothing of a type itself needs that proof: the labels of an enum, the attributes of a composite
// and the rules of a domain are checked by the server's input functions, and its other properties
// cannot change while a column has it. But rows that are left out were rejected by what was known
// of the types, or by a server that took them for others: a transaction without them proves that
// nothing has changed at all since the catalog was read.

#include <optional>
#include <string>
#include <vector>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

class TableShape {
 public:
  /// Of the columns that are sent.
  static Result<TableShape> create(const CatalogTable& table,
                                   const std::vector<EncodeColumn>& columns);

  /// The statement that fails unless the table has this shape; with `rows_left_out`, also if
  /// anything has changed, be it undone, of its columns and their types. In a transaction whose
  /// snapshot is older than its lock on the table it may not see what has changed: see lock_sql().
  const std::string& proof_sql(bool rows_left_out) const {
    return rows_left_out ? version_proof_ : proof_;
  }
  /// As proof_sql(false), and answers a row that begins with the transaction's id.
  const std::string& identifying_proof_sql() const { return identifying_proof_; }
  /// Locks the table before the transaction has a snapshot, as `role` ("": the session's). "" for
  /// what cannot be locked so: no table, or one of which the role may write some columns only.
  Result<std::string> lock_sql(const std::string& role) const;
  /// The table's OID.
  Oid table_oid() const { return oid_; }
  /// CatalogTable::version, when the table was read.
  const std::string& version() const { return version_; }
  /// And as it is now: another one if anything has changed, be it undone; "" if there is no such
  /// table any more. REQUIRES: no request is pending, no transaction is open.
  Result<std::string> version_now(Connection& connection, Deadline deadline) const;
  /// What is different now of the columns that are sent, in words; "" if nothing is. REQUIRES: as
  /// version_now().
  Result<std::string> differences(Connection& connection, Deadline deadline) const;

 private:
  Oid oid_ = 0;
  std::string proof_, identifying_proof_, version_proof_, differences_, lock_;
  std::string version_, version_sql_;
};

}  // namespace pgsink
