#pragma once
// What a source must know about its table and publication before it can read.

#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/replication/change_stream.h"
#include "pgsink/replication/source_watch.h"

namespace pgsink {

struct SourceSetup {
  ConnectOptions connect;
  SourceTable table;
  PublicationState published;
  bool partitioned = false;
  std::string filter;  ///< The publication's row filter, as SQL; "": every row.
  std::vector<std::string> warnings;
};

/// find_source checks options, server, table, publication and slot. With `changes` it also creates
/// the publication if it is missing, and reads what it shows; without, it only checks.
Result<SourceSetup> find_source(const SinkOptions& options, Env& env, bool changes);

}  // namespace pgsink
