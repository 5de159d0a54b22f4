#pragma once
// Passwords from libpq's password file: host:port:database:user:password a line, "*" for any.
// Source: PostgreSQL documentation, "The Password File".

#include <optional>
#include <string>

#include "pgsink/client/connect_options.h"

namespace pgsink {

/// PassfileAnswer is what the file says for one server.
struct PassfileAnswer {
  std::optional<std::string> password;
  /// Why the file was not used although it exists; "" otherwise. For the error of a failed login.
  std::string ignored;
};

/// find_password looks a server up in options.passfile. A file that does not exist is no error.
PassfileAnswer find_password(const ConnectOptions& options, const Address& address, Files& files);

}  // namespace pgsink
