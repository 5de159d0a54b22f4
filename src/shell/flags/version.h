#pragma once
#include <string>

namespace pgsink::shell {

/// version_text is what --version prints: pgsink, its commit and compiler, OpenSSL and DuckDB as
/// they are loaded now, and the system.
std::string version_text();
/// "0.1.0", and the commit that was built.
std::string version_number();
std::string version_commit();

}  // namespace pgsink::shell
