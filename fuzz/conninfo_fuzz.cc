// Connection strings against libpq's own parser: both refuse a text, or read the same keywords and
// values from it.

#include <string>

#include <libpq-fe.h>

#include "check.h"
#include "pgsink/client/connect_options.h"
#include "support/conninfo_oracle.h"

namespace {

// Before 18, libpq took blanks in a URI as they are; since then they are trimmed or refused.
bool is_read_otherwise(const std::string& text) {
  const bool uri = text.starts_with("postgresql://") || text.starts_with("postgres://");
  return uri && PQlibVersion() < 180000 && text.find(' ') != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (text.find('\0') != std::string::npos) return 0;  // libpq's ends there.
  FUZZ_CHECK(is_read_otherwise(text) ||
             pgsink::test::we_parse(text) == pgsink::test::libpq_parses(text));
  // The options that these become are not libpq's matter: they must only never crash.
  static_cast<void>(pgsink::parse_conninfo(text));
  return 0;
}
