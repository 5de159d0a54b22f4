#pragma once
// `pgsink recover`: lists the prepared transactions and staging tables that sinks and jobs have
// left, and resolves them by hand if the sink or the driver itself will not come back to do so.

#include <vector>

#include <pgsink/options.h>

#include "shell/flags/flags.h"
#include "shell/output/output.h"
#include "shell/output/reporter.h"
#include "shell/script/script.h"

namespace pgsink::shell {

/// recover does what `flags.recover` says in the databases of the scripts' connections, or in that
/// of `--url`. It reads only CREATE CONNECTION of the scripts. False if anything failed or was
/// refused: the reason is reported then. `trace` may be empty.
bool recover(const Flags& flags, const std::vector<Script>& scripts, const TraceCallback& trace,
             Output& output, Reporter& reporter);

}  // namespace pgsink::shell
