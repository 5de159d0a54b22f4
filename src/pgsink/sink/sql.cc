#include "pgsink/sink/sql.h"

#include <array>

namespace pgsink {
namespace {

struct Template {
  Sql id;
  std::string_view text;
};

// READ WRITE: the role's default_transaction_read_only must not turn a sink into a failure.
constexpr std::array<Template, 10> kTemplates{{
    {Sql::kBegin, "BEGIN ISOLATION LEVEL {isolation} READ WRITE"},
    {Sql::kIdentify,
     "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.pg_backend_pid(), ''::pg_catalog.text"},
    {Sql::kIdentifyPooled,
     "SELECT pg_catalog.pg_current_xact_id(), a.pid, a.backend_start"
     " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a"},
    {Sql::kSetRole, "SET LOCAL ROLE {role}"},
    {Sql::kSetVariable, "SELECT pg_catalog.set_config({name}, {value}, true)"},
    {Sql::kStatementTimeout, "SET LOCAL statement_timeout = {milliseconds}"},
    {Sql::kLockTimeout, "SET LOCAL lock_timeout = {milliseconds}"},
    {Sql::kCopyIn, "COPY {table} ({columns}) FROM STDIN (FORMAT binary)"},
    {Sql::kCommit, "COMMIT"},
    {Sql::kXactStatus, "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)"},
}};

consteval bool ids_are_indexes() {
  for (size_t i = 0; i < kTemplates.size(); ++i) {
    if (static_cast<size_t>(kTemplates[i].id) != i) return false;
  }
  return true;
}
static_assert(ids_are_indexes());

}  // namespace

std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments) {
  std::string_view rest = kTemplates[static_cast<size_t>(id)].text;
  std::string text;
  for (const std::string_view argument : arguments) {
    const size_t open = rest.find('{');
    const size_t close = rest.find('}', open);
    PGPROTO_ASSERT(close != std::string_view::npos);
    text.append(rest.substr(0, open)).append(argument);
    rest.remove_prefix(close + 1);
  }
  PGPROTO_ASSERT(rest.find('{') == std::string_view::npos);
  return text.append(rest);
}

}  // namespace pgsink
