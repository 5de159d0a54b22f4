#pragma once
// The target of `pgsink load`, as a CREATE CONNECTION.

#include <string>

#include <pgproto/error.h>

#include "shell/flags/flags.h"

namespace pgsink::shell {

/// take_password moves a password of --to into the environment's PGPASSWORD, where what connects
/// later finds it, and leaves the rest of --to as keywords and values. A ${secret:NAME} stays where
/// it is. Fails with kUsage; the error never contains the text of --to. Before any thread begins.
pgproto::Status take_password(Flags::Load& load);

/// connection_statement is CREATE CONNECTION target TO postgresql (…). Fails with kUsage for flags
/// that contradict each other; the values of options are checked when it runs.
pgproto::Result<std::string> connection_statement(const Flags::Load& load);

}  // namespace pgsink::shell
