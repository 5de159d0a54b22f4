#pragma once
// `pgsink load`: the script that does what the flags say. It is all that runs.

#include <string>

#include <pgproto/error.h>

#include <pgsink/options.h>

#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/script/script.h"

namespace pgsink::shell {

/// compose_load makes the script. Files without types of their own are looked at, and with
/// --create-table the server is asked whether the table exists, unless --check forbids it. Fails
/// with kUsage and others, if the flags contradict each other or a file cannot be read.
/// `on_wait` is called while the server has to be waited for; `on_trace` may be empty.
pgproto::Result<Script> compose_load(const Flags& flags, Engine& engine,
                                     const ServerWaitCallback& on_wait,
                                     const TraceCallback& on_trace);

}  // namespace pgsink::shell
