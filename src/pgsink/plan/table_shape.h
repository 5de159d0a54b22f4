#pragma once
// TableShape: the table and the types that rows are encoded for. A binary value does not contain
// its type: a column that got another type of the same width would read it as that, and one with a
// narrower modifier would round it. So each transaction proves, after its rows and before its end,
// that the table still has this shape. The lock that its own statement holds on the table keeps it
// so until the commit.
//
// Nothing of a type itself needs proof: the labels of an enum, the attributes of a composite and
// the rules of a domain are checked by the server's input functions, and its other properties
// cannot change while a column has it.

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

  /// The statement that fails unless the table has this shape. In a transaction whose snapshot is
  /// older than its lock on the table it may not see what has changed: see lock_sql().
  const std::string& proof_sql() const { return proof_; }
  /// Locks the table before the transaction has a snapshot, as `role` ("": the session's). "" if it
  /// cannot be locked: not a table, or the role may write only some of its columns.
  Result<std::string> lock_sql(const std::string& role) const;
  /// What is different now, as an error; nothing if all is the same. REQUIRES: no request is
  /// pending, no transaction is open.
  Result<std::optional<Error>> changes(Connection& connection, Deadline deadline) const;

 private:
  std::string proof_, differences_, lock_;
};

}  // namespace pgsink
