#pragma once
// What a source must know about its tables and publication before it can read.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/options/table_patterns.h"
#include "pgsink/replication/change_stream.h"
#include "pgsink/replication/source_watch.h"
#include "pgsink/source.h"

namespace pgsink {

/// TableSetup is one table of a source.
struct TableSetup {
  SourceTable table;
  std::shared_ptr<const Schema> schema;  ///< Of its batches.
  PublicationState published;
  bool partitioned = false;
  std::string filter;  ///< The publication's row filter, as SQL; "": every row.
};

SourceTableInfo info_of(const TableSetup& setup);

struct SourceSetup {
  ConnectOptions connect;
  std::vector<TableSetup> tables;
  std::vector<std::string> warnings;
  std::string stops_at_large_values;  ///< A warning for sources that do; "": there are none.
};

/// find_source checks options, server, tables, publication and slot. With `changes` it also creates
/// the publication if it is missing, and reads what it shows; without, it only checks. Of a source
/// with the option `tables` whose slot exists, tables that the publication does not show are left
/// to NewTables.
Result<SourceSetup> find_source(const SinkOptions& options, Env& env, bool changes);

/// UnreadTables are tables that the option `tables` names and that are not `known`.
struct UnreadTables {
  std::vector<TableName> identified;
  std::vector<TableName> unidentified;  ///< They have no replica identity.
};
Result<UnreadTables> find_new_tables(const SinkOptions& options, Connection& connection,
                                     std::span<const TableSetup> known, Deadline deadline);
/// The error of a table without a replica identity.
std::unexpected<Error> no_identity(const TableName& table);

/// read_new_table reads what must be known of one of them that is published. `unchanged` as in
/// source_schema(). `warnings` gets a line if its updates may leave out values.
Result<TableSetup> read_new_table(const SinkOptions& options, const TableName& name, bool unchanged,
                                  Connection& connection, Deadline deadline,
                                  std::vector<std::string>& warnings);

}  // namespace pgsink
