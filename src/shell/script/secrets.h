#pragma once
// The values of ${secret:NAME}, ${env:NAME} and ${NAME} in a connection's options.

#include <map>
#include <string>

#include <pgsink/ddl.h>

namespace pgsink::shell {

/// Secrets from files DIR/NAME (without a trailing line break), else from the environment variable
/// PGSINK_SECRET_NAME (upper case); variables from --set.
Substitution make_substitution(std::string secret_directory,
                               const std::map<std::string, std::string>& variables);

}  // namespace pgsink::shell
