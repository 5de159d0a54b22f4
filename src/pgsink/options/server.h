#pragma once
// From SinkOptions to the server and its table.

#include <pgsink/options.h>

#include "pgsink/client/connect_options.h"

namespace pgsink {

/// to_connect_options converts `options` to libpq's terms, completed by PG* variables, service and
/// password files.
Result<ConnectOptions> to_connect_options(const SinkOptions& options, Files& files);

/// password_of is the password that the options contain, in `url` or by itself; "" for none.
Result<std::string> password_of(const SinkOptions& options);

/// fail_at adds to an error which connection it is about.
std::unexpected<Error> fail_at(const SinkOptions& options, Error error);

}  // namespace pgsink
