#include "pgsink/delivery/resume.h"

namespace pgsink {

Status check_same_table(const StoredTable& table) {
  if (table.stored_oid == 0 || table.oid == 0 || table.stored_oid == table.oid) return {};
  const std::string where = " WHERE sink_id = '" + table.sink_id + "'";
  return fail(Errc::kCannotResume,
              "sink \"" + table.sink_id + "\" has delivered everything up to position " +
                  std::to_string(table.position) + " into the table with oid " +
                  std::to_string(table.stored_oid) + ", and the target is now the one with oid " +
                  std::to_string(table.oid) +
                  ": it was dropped and created again, restored from a dump, or is another table. "
                  "To load everything into it, use another sink_id or run DELETE FROM " +
                  table.control_table + where + "; if it holds those rows, run UPDATE " +
                  table.control_table + " SET table_oid = " + std::to_string(table.oid) + where);
}

}  // namespace pgsink
