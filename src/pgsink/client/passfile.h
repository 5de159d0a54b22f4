#pragma once
// Passwords from libpq's password file: one host:port:database:user:password per line, "*" for any.
// Source: PostgreSQL documentation, "The Password File".

#include <optional>
#include <string>

#include "pgsink/client/connect_options.h"

namespace pgsink {

/// PassfileAnswer is the file's entry for one server.
struct PassfileAnswer {
  std::optional<std::string> password;
  /// Why an existing file was not used; "" otherwise. For the error of a failed login.
  std::string ignored;
};

/// find_password looks a server up in options.passfile. A missing file is not an error.
PassfileAnswer find_password(const ConnectOptions& options, const Address& address, Files& files);

}  // namespace pgsink
