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

/// StdinOptions are the options of CREATE CONNECTION … TO stdin.
struct StdinOptions {
  bool csv = false;
  std::vector<RecordColumn> columns;  ///< Empty: inferred from the first rows.
  bool header = true;                 ///< CSV only.
  CsvDialect dialect;                 ///< CSV only.
  UnboundedSource::Limits limits;
};

/// bind_stdin checks every option and returns all faults together, each with its position.
std::expected<StdinOptions, std::vector<Diagnostic>> bind_stdin(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine);
/// The keys that bind_stdin() accepts.
std::vector<std::string_view> stdin_option_keys();

/// make_stdin_source makes the source over a file descriptor. The caller keeps the descriptor and
/// the reporter.
std::unique_ptr<UnboundedSource> make_stdin_source(StdinOptions options, int file,
                                                   Reporter& reporter);

}  // namespace pgsink::shell
