#pragma once
// What the server's catalog says about a table and the types of its columns.

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
  std::string collation;  ///< Quoted, and only if it differs from its type's: it decides which
                          ///< values are equal.
  bool nondeterministic = false;  ///< The column's collation may call different texts equal.
  /// The operators of the type's default order, as written in a statement.
  std::string equal = "OPERATOR(pg_catalog.=)", less = "OPERATOR(pg_catalog.<)";
  bool own_equality = false;  ///< An extension's type decides which values are equal (citext).
  /// Its default is another one each time (a sequence, a clock, a random number).
  bool volatile_default = false;
  bool insertable = true, updatable = true, selectable = true;  ///< has_column_privilege()
};

struct CatalogIndex {
  std::string name;
  std::vector<int16_t> columns;
  bool primary = false, unique = false, immediate = true, partial = false, expression = false;
  bool nulls_not_distinct = false;
  bool exclusion = false;
};

/// CatalogSideEffects are what depends on more than the rows that a table ends with: on each row
/// that is written, and on their order. Those of its partitions and of tables that inherit from it
/// count too.
struct CatalogSideEffects {
  /// A user's trigger that is not switched off.
  struct Trigger {
    bool of_row = false, before = false;
    bool on_insert = false, on_update = false, on_delete = false;
    /// It fires where session_replication_role is replica, and where it is not.
    bool of_replica = false, of_origin = true;
  };
  std::vector<Trigger> triggers;
  bool rules = false;                ///< Rewrite rules for INSERT, UPDATE or DELETE.
  bool referenced = false;           ///< A foreign key leads to it …
  bool refers_to_itself = false;     ///< … from itself.
  bool may_reject_rows = false;      ///< Something may reject a row for what it holds.
  bool unique_of_partition = false;  ///< A partition has a unique index of its own.
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
  std::vector<CatalogColumn> columns;  ///< In attnum order, without dropped ones.
  std::vector<CatalogIndex> indexes;
  bool row_security = false;  ///< Policies decide which rows the role may see and write.
  bool insert_rules = false;  ///< Rules rewrite an INSERT; COPY ignores them.
  CatalogSideEffects side_effects;
  bool has_insert_privilege = true, has_delete_privilege = true;
  std::string role;  ///< The role that has these privileges.
  /// Every type that a column needs, transitively (elements, bases, attributes), by OID.
  pgproto::TypeMap types;
  /// Differs after every change of the columns and of these types, also after one that was undone.
  std::string version;

  const CatalogColumn* find_column(std::string_view column) const;  ///< Exact name; null if none.
  const CatalogIndex* primary_key() const;
};

/// read_table reads one table in one round trip. Fails with kNoSuchTable, and names similar tables
/// that exist; with kPrivilege if the role may not use the schema. Privileges are those of `role`
/// if that is not empty; the session must be allowed to become it.
Result<CatalogTable> read_table(Connection& connection, std::string_view schema,
                                std::string_view table, Deadline deadline,
                                std::string_view role = {});

/// table_version_sql is the query that answers with CatalogTable::version as it is now, of the same
/// types; no row if no table has that name. It relies on no search path.
Result<std::string> table_version_sql(const CatalogTable& table);

}  // namespace pgsink
