#pragma once
// StdinSource: CREATE CONNECTION name TO stdin (type = 'source', format = 'json' | 'csv', …): the
// lines of a pipe, for as long as they come.

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include <pgsink/ddl.h>

#include "shell/engine/engine.h"
#include "shell/output/reporter.h"
#include "shell/records/record_columns.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

/// StdinOptions is what CREATE CONNECTION … TO stdin can say.
struct StdinOptions {
  bool csv = false;
  std::vector<RecordColumn> columns;  ///< Empty: found in the first rows.
  bool header = true;                 ///< CSV only.
  CsvDialect dialect;                 ///< CSV only.
  UnboundedSource::Limits limits;
};

/// bind_stdin checks every option; all faults together, each with its place.
std::expected<StdinOptions, std::vector<Diagnostic>> bind_stdin(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine);
/// The keys that bind_stdin() takes.
std::vector<std::string_view> stdin_option_keys();

/// make_stdin_source makes the source over a file descriptor, which stays the caller's, as does the
/// reporter.
std::unique_ptr<UnboundedSource> make_stdin_source(StdinOptions options, int file,
                                                   Reporter& reporter);

}  // namespace pgsink::shell
