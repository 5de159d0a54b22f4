#pragma once
// PostgresSource: CREATE CONNECTION name TO postgresql (type = 'source', …): the rows of a table,
// then its changes, for as long as the server sends them.

#include <memory>

#include <pgsink/options.h>

#include "shell/output/reporter.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

/// make_postgres_source makes the source. Queries see texts, as PostgreSQL writes them.
std::unique_ptr<UnboundedSource> make_postgres_source(SinkOptions options, Reporter& reporter);

}  // namespace pgsink::shell
