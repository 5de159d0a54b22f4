#pragma once
// ValueRules: what decides beside the types what becomes of a value.

namespace pgsink::encode {

struct ValueRules {
  /// The server's, as 150004: a text becomes what that version's input function makes of it.
  int server_version = 0;
  /// A value that the type can only hold rounded becomes what an assignment of PostgreSQL makes of
  /// it. Otherwise it is a fault.
  bool rounds = false;

  /// Whether the server is of that major version or a later one.
  bool since(int major) const { return server_version >= major * 10'000; }

  bool operator==(const ValueRules&) const = default;
};

}  // namespace pgsink::encode
