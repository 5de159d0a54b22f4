#pragma once
// What the server's catalog says of a table and of the types of its columns.

#include <string>
#include <vector>

#include <pgproto/type_info.h>

#include "pgsink/client/connection.h"

namespace pgsink {

using pgproto::Oid;

struct CatalogColumn {
  std::string name;
  int16_t number = 0;
  Oid type_oid = 0;
  int32_t type_modifier = -1;  ///< For example numeric(18,4), varchar(20), timestamp(3).
  bool not_null = false;
  bool has_default = false;
  enum class Generated : char { kNo = 0, kStored = 's', kVirtual = 'v' };
  Generated generated = Generated::kNo;
  enum class Identity : char { kNo = 0, kAlways = 'a', kByDefault = 'd' };
  Identity identity = Identity::kNo;
  std::string collation;  ///< Quoted, if the column's is not its type's: it says what is equal.
  bool nondeterministic = false;  ///< For the column's collation different texts may be equal.
  /// The operators of the type's default order, as they are written in a statement.
  std::string equal = "OPERATOR(pg_catalog.=)", less = "OPERATOR(pg_catalog.<)";
  bool own_equality = false;  ///< An extension's type says what is equal (citext).
  bool insertable = true, updatable = true, selectable = true;  ///< has_column_privilege()
};

struct CatalogIndex {
  std::string name;
  std::vector<int16_t> columns;
  bool primary = false, unique = false, immediate = true, partial = false, expression = false;
  bool nulls_not_distinct = false;
  bool exclusion = false;
};

struct CatalogTable {
  int server_version = 0;  ///< Of the server that it was read from: 150004.
  Oid oid = 0;
  std::string schema, name;
  enum class Kind : char {
    kTable = 'r',
    kPartitioned = 'p',
    kView = 'v',
    kForeign = 'f',
    kMaterializedView = 'm'
  };
  Kind kind = Kind::kTable;
  std::vector<CatalogColumn> columns;  ///< In attnum order, dropped ones left out.
  std::vector<CatalogIndex> indexes;
  bool row_security = false;  ///< Policies decide which rows the role may see and write.
  bool insert_rules = false;  ///< Rules rewrite an INSERT; COPY ignores them.
  bool has_insert_privilege = true, has_delete_privilege = true;
  std::string role;  ///< Whose privileges these are.
  /// Every type that a column needs, transitively (elements, bases, attributes), by OID.
  pgproto::TypeMap types;

  const CatalogColumn* find_column(std::string_view column) const;  ///< Exact name; null if none.
  const CatalogIndex* primary_key() const;
};

/// read_table reads one table in one round trip. Fails with kNoSuchTable, naming similar tables
/// that do exist; fails with kPrivilege if the schema may not be used. Privileges are those of
/// `role` if that is not empty, which the session must be allowed to take.
Result<CatalogTable> read_table(Connection& connection, std::string_view schema,
                                std::string_view table, Deadline deadline,
                                std::string_view role = {});

}  // namespace pgsink
