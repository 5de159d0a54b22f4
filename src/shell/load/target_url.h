#pragma once
// TargetUrl: the value of --to without its password, which no script may show.

#include <optional>
#include <string>

#include <pgproto/error.h>

namespace pgsink::shell {

struct TargetUrl {
  std::string text;
  std::optional<std::string> password;
};

/// without_password parses a connection string of libpq. Without a password in it, or with a
/// ${secret:NAME} as one, the text stays as it is; otherwise it becomes the same options as
/// keywords and values. Fails with kOptionValue; the error never contains the text.
pgproto::Result<TargetUrl> without_password(const std::string& url);

}  // namespace pgsink::shell
