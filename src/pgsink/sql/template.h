#pragma once

#include <string_view>

#include "pgsink/sql/sql_id.h"

namespace pgsink {

/// Template is the text of one statement; what it needs stands in braces.
struct Template {
  Sql id;
  std::string_view text;
};

// The writer for people, from pg_stat_get_activity() AS a.
#define PGSINK_WRITER_NAME                                                        \
  "format('\"%s\" from %s, server process %s, since %s UTC', a.application_name," \
  " coalesce(host(a.client_addr), 'the local socket'), a.pid,"                    \
  " to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))"

}  // namespace pgsink
