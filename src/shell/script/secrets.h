#pragma once
// Where ${secret:NAME}, ${env:NAME} and ${NAME} of a connection's options come from.

#include <map>
#include <string>

#include <pgsink/ddl.h>

namespace pgsink::shell {

/// Secrets of files DIR/NAME (a trailing line break dropped), else of the environment's
/// PGSINK_SECRET_NAME (upper case); variables of --set.
Substitution make_substitution(std::string secret_directory,
                               const std::map<std::string, std::string>& variables);

}  // namespace pgsink::shell
