#include "pgsink/client/passfile.h"

#include <algorithm>
#include <string_view>

namespace pgsink {

namespace {

constexpr size_t kPassfileBytesMax = size_t{1} << 20;

// Compares the field at the start of `line` with a value and removes it with its colon. A backslash
// escapes the next character.
bool take_field(std::string_view& line, std::string_view value) {
  const bool any = line.starts_with("*:");
  bool equal = true;
  size_t matched = 0;
  size_t i = 0;
  for (; i < line.size() && line[i] != ':'; ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) ++i;
    equal = equal && matched < value.size() && value[matched] == line[i];
    ++matched;
  }
  if (i == line.size()) return false;
  line.remove_prefix(i + 1);
  return any || (equal && matched == value.size());
}

std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain += text[i];
  }
  return plain;
}

// libpq's name of a server in the file: the host, else the address; the default socket is
// "localhost".
std::string file_host(const Address& address) {
  const std::string& host = address.host.empty() ? address.host_address : address.host;
  const bool default_socket =
      host == "/tmp" || host == "/var/run/postgresql" || host == "/run/postgresql";
  return host.empty() || default_socket ? "localhost" : host;
}

}  // namespace

PassfileAnswer find_password(const ConnectOptions& options, const Address& address, Files& files) {
  const std::string& path = options.passfile;
  const auto info = path.empty() ? fail(Errc::kFile, "") : files.info(path);
  if (!info) return {};
  if (!info->regular) return {{}, "the password file " + path + " is not a regular file"};
  if ((info->mode & 077U) != 0) {
    return {{},
            "the password file " + path +
                " may be read by others and is not used; give it the mode 0600"};
  }
  const auto text = files.read(path, kPassfileBytesMax);
  if (!text) return {{}, "the password file " + text.error().message};
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    std::string_view line = std::string_view(*text).substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (take_field(line, file_host(address)) && take_field(line, std::to_string(address.port)) &&
        take_field(line, options.database) && take_field(line, options.user)) {
      return {unescape(line), {}};
    }
  }
  return {};
}

}  // namespace pgsink
