#include "shell/flags/version.h"

#include <dlfcn.h>
#include <sys/utsname.h>

#include <duckdb.h>

#include "shell/build_info.h"

namespace pgsink::shell {
namespace {

/// libcrypto's version text, declared here without its headers: those belong to the TLS transport
/// and SCRAM.
std::string openssl_version() {
  using Version = const char* (*)(int);
  const auto version = reinterpret_cast<Version>(dlsym(RTLD_DEFAULT, "OpenSSL_version"));
  return version == nullptr ? "OpenSSL (linked statically)" : version(0);
}

std::string system_name() {
  utsname name{};
  if (uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

}  // namespace

std::string version_number() { return PGSINK_VERSION; }
std::string version_commit() { return PGSINK_COMMIT; }

std::string version_text() {
  std::string text = "pgsink " PGSINK_VERSION;
  text += std::string("\ncommit    ") + PGSINK_COMMIT;
#if defined(__clang__)
  text += "\ncompiler  clang " __clang_version__;
#else
  text += "\ncompiler  gcc " __VERSION__;
#endif
  text += "\nbuild     " PGSINK_BUILD_TYPE;
  text += "\nOpenSSL   " + openssl_version();
  text += std::string("\nDuckDB    ") + duckdb_library_version();
  text += "\nsystem    " + system_name();
  return text += '\n';
}

}  // namespace pgsink::shell
