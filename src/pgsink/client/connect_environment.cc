// The defaults of a connection: service file, PG* variables, libpq's defaults.
// Source: PostgreSQL documentation, "Environment Variables", "The Connection Service File".

#include <algorithm>

#include <pgproto/ascii.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/keywords.h"

namespace pgsink {

namespace {

constexpr size_t kServiceFileBytesMax = size_t{1} << 20;

using pgproto::ascii::trim;

// Sets an option of the service file unless it is given: the file has precedence over the
// environment.
Status apply_service_line(ConnectOptions& options, std::string_view line,
                          const std::string& place) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    return fail(Errc::kOptionValue, place + ": this is neither [service] nor keyword=value");
  }
  const std::string_view keyword = line.substr(0, equals);
  if (keyword == "service" || keyword == "servicefile") {
    return fail(Errc::kOptionValue, place + ": a service cannot refer to another one");
  }
  const KeywordInfo* info = find_keyword(keyword);
  if (info != nullptr && (options.given.contains(keyword) ||
                          (info->untouched != nullptr && !info->untouched(options)))) {
    return {};
  }
  auto status = set_connect_option(options, keyword, std::string(line.substr(equals + 1)));
  if (!status) return fail(status.error().code, place + ": " + status.error().message);
  return status;
}

// True if the file has that service.
Result<bool> apply_service_file(ConnectOptions& options, const std::string& service,
                                const std::string& path, Files& files) {
  const auto text = files.read(path, kServiceFileBytesMax);
  if (!text) return fail(text.error());
  bool found = false;
  size_t number = 0;
  for (size_t begin = 0; begin < text->size(); ++number) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string_view line = trim(std::string_view(*text).substr(begin, end - begin));
    begin = end + 1;
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[') {
      if (found) break;  // The lines of this service end here.
      found = line.substr(1).starts_with(service + "]");
    } else if (found) {
      const std::string place = path + ", line " + std::to_string(number + 1);
      if (auto status = apply_service_line(options, line, place); !status) {
        return fail(status.error());
      }
    }
  }
  return found;
}

Status apply_service(ConnectOptions& options, Files& files) {
  std::string service = given_text(options, "service");
  if (!options.given.contains("service")) {
    service = files.environment("PGSERVICE").value_or("");
  }
  if (service.empty()) return {};
  std::string named = given_text(options, "servicefile");
  if (named.empty()) named = files.environment("PGSERVICEFILE").value_or("");
  if (!named.empty()) {
    const auto found = apply_service_file(options, service, named, files);
    if (!found) return fail(found.error());
    if (*found) return {};
  } else if (const std::string home = files.home_directory(); !home.empty()) {
    const std::string path = home + "/.pg_service.conf";
    if (files.info(path)) {
      const auto found = apply_service_file(options, service, path, files);
      if (!found) return fail(found.error());
      if (*found) return {};
    }
  }
  std::string directory = files.environment("PGSYSCONFDIR").value_or("");
  if (directory.empty()) directory = "/etc/postgresql-common";
  const std::string path = directory + "/pg_service.conf";
  if (files.info(path)) {
    const auto found = apply_service_file(options, service, path, files);
    if (!found) return fail(found.error());
    if (*found) return {};
  }
  return fail(Errc::kOptionValue, "the service \"" + service + "\" is defined in no service file");
}

Status apply_variables(ConnectOptions& options, Files& files) {
  for (const KeywordInfo& info : keyword_table()) {
    if (info.environment.empty() || options.given.contains(info.keyword)) continue;
    if (info.untouched != nullptr && !info.untouched(options)) continue;
    const auto value = files.environment(std::string(info.environment));
    if (!value || value->empty()) continue;
    if (auto status = info.set(info, *value, options); !status) {
      return fail(status.error().code, "the environment variable " + std::string(info.environment) +
                                           ": " + status.error().message);
    }
  }
  // An old form of sslmode=require.
  const bool no_mode =
      !options.given.contains("sslmode") && files.environment("PGSSLMODE").value_or("").empty();
  if (no_mode && options.ssl_mode == SslMode::kPrefer &&
      files.environment("PGREQUIRESSL").value_or("").starts_with('1')) {
    options.ssl_mode = SslMode::kRequire;
  }
  return {};
}

// Where Debian's servers listen, otherwise PostgreSQL's own default.
std::string default_socket_directory(Files& files) {
  for (const char* directory : {"/var/run/postgresql", "/run/postgresql"}) {
    if (const auto info = files.info(directory); info && info->directory) return directory;
  }
  return "/tmp";
}

Status place_default_hosts(ConnectOptions& options, Files& files) {
  if (options.hosts.empty()) {
    const auto text = [&](const char* keyword) {
      if (options.given.contains(keyword)) return given_text(options, keyword);
      return files.environment(std::string(find_keyword(keyword)->environment)).value_or("");
    };
    auto hosts = combine_hosts(text("host"), text("hostaddr"), text("port"));
    if (!hosts) return fail(hosts.error());
    options.hosts = *std::move(hosts);
  }
  for (Address& address : options.hosts) {
    if (address.host.empty() && address.host_address.empty()) {
      address.host = default_socket_directory(files);
    }
  }
  return {};
}

}  // namespace

Result<ConnectOptions> apply_environment(ConnectOptions options, Files& files) {
  if (auto status = apply_service(options, files); !status) return fail(status.error());
  // PGPORT also applies to hosts without a port.
  if (!options.given.contains("port") &&
      (options.given.contains("host") || options.given.contains("hostaddr"))) {
    if (const auto port = files.environment("PGPORT"); port && !port->empty()) {
      if (auto status = set_connect_option(options, "port", *port); !status) {
        return fail(status.error().code,
                    "the environment variable PGPORT: " + status.error().message);
      }
    }
  }
  if (auto status = apply_variables(options, files); !status) return fail(status.error());
  if (auto status = place_default_hosts(options, files); !status) return fail(status.error());
  const ConnectOptions defaults;
  if (!options.given.contains("application_name") &&
      options.application_name == defaults.application_name) {
    if (auto name = given_text(options, "fallback_application_name"); !name.empty()) {
      options.application_name = name;
    }
  }
  if (options.ssl_root_cert == "system" && !options.given.contains("sslmode") &&
      options.ssl_mode == defaults.ssl_mode) {
    options.ssl_mode = SslMode::kVerifyFull;
  }
  if (options.user.empty()) options.user = files.user_name();
  if (options.user.empty()) {
    return fail(Errc::kMissingOption,
                "no user is given, and the system has no name for the user of this process");
  }
  if (options.database.empty()) options.database = options.user;
  if (options.passfile.empty()) {
    if (const std::string home = files.home_directory(); !home.empty()) {
      options.passfile = home + "/.pgpass";
    }
  }
  if (auto status = check_connect_options(options); !status) return fail(status.error());
  return options;
}

}  // namespace pgsink
