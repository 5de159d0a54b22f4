#pragma once
// `pgsink recover`: the prepared transactions that sinks left in doubt, listed, and resolved by
// hand where the sink itself will not come back to do it.

#include <vector>

#include "shell/flags/flags.h"
#include "shell/output/output.h"
#include "shell/output/reporter.h"
#include "shell/script/script.h"

namespace pgsink::shell {

/// Recover does what `flags.recover` says in the databases of the scripts' connections, or in that
/// of `--url`. Only CREATE CONNECTION of the scripts is obeyed. False if anything failed or was
/// refused: the reason is reported then.
bool recover(const Flags& flags, const std::vector<Script>& scripts, Output& output,
             Reporter& reporter);

}  // namespace pgsink::shell
