#pragma once
// `pgsink load`: the script that does what the flags say. It is all that runs.

#include <string>

#include <pgproto/error.h>

#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/script/script.h"

namespace pgsink::shell {

/// compose_load makes the script. Files without types of their own are looked at, and with
/// --create-table the server is asked whether the table exists, unless --check forbids it. A
/// password of --to goes into the environment's PGPASSWORD, for what reads it later, and not into
/// the script. Fails with kUsage and others, if the flags contradict each other or a file cannot be
/// read. Not thread-safe.
pgproto::Result<Script> compose_load(const Flags& flags, Engine& engine);

/// advise_load changes the error of a script of compose_load() to name the flag that helps.
void advise_load(pgproto::Error& error);

}  // namespace pgsink::shell
