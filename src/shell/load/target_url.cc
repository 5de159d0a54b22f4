#include "shell/load/target_url.h"

#include <algorithm>

#include "pgsink/client/conninfo.h"

namespace pgsink::shell {
namespace {

/// As libpq reads it after "keyword=".
std::string conninfo_value(const std::string& value) {
  const bool plain = !value.empty() && value.find_first_of(" \t\n\r\f\v'\\=") == std::string::npos;
  if (plain) return value;
  std::string text = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') text += '\\';
    text += c;
  }
  return text += '\'';
}

}  // namespace

pgproto::Result<TargetUrl> without_password(const std::string& url) {
  const auto pairs = split_conninfo(url);
  if (!pairs) return pgproto::fail(pairs.error());
  TargetUrl target;
  std::string rest;
  for (const auto& [keyword, value] : *pairs) {
    if (keyword == "sslpassword") {
      return pgproto::fail(pgproto::Errc::kOptionValue,
                           "sslpassword would be part of the script: use a key without a password, "
                           "or a service file");
    }
    if (keyword == "password") {
      // ${secret:NAME} is not a password yet: it may be in a script.
      if (value.find("${") != std::string::npos) return TargetUrl{url, {}};
      target.password = value;
      continue;
    }
    rest += (rest.empty() ? "" : " ") + keyword + "=" + conninfo_value(value);
  }
  target.text = target.password ? rest : url;
  return target;
}

}  // namespace pgsink::shell
