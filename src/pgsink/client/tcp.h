#pragma once
// TCP and Unix sockets of the operating system.

#include <memory>

#include "pgsink/client/env.h"

namespace pgsink {

/// make_socket_network makes the Network of the operating system. `clock` must outlive it and every
/// transport that it connects.
std::unique_ptr<Network> make_socket_network(Clock& clock);

/// unix_socket_path is the socket of a server that listens in the directory `host` on `port`; "@…"
/// stays abstract.
std::string unix_socket_path(const Address& address);

/// is_unix_socket says whether an address is a Unix socket's and not a TCP host's.
inline bool is_unix_socket(const Address& address) {
  return address.host_address.empty() && !address.host.empty() &&
         (address.host.front() == '/' || address.host.front() == '@');
}

}  // namespace pgsink
