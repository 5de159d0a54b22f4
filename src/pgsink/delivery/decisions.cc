#include "pgsink/delivery/decisions.h"

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

Result<std::vector<Decision>> read_decisions(Connection& connection,
                                             const std::string& quoted_schema,
                                             const std::string& quoted_sink, Deadline deadline) {
  const auto rows =
      run_control(connection, sql_text(Sql::kDecisionRead, {quoted_schema, quoted_sink}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<Decision> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const uint64_t epoch = parse_number(cell(*rows, i, 0));
    if (found.empty() || found.back().epoch != epoch) {
      found.push_back({epoch,
                       {parse_number(cell(*rows, i, 1)), cell(*rows, i, 2)},
                       cell(*rows, i, 3) == "t",
                       {},
                       {}});
    }
    if (!rows->rows[i][4]) continue;
    found.back().gids.push_back(cell(*rows, i, 4));
    if (cell(*rows, i, 6) == "t") {
      found.back().present.push_back({cell(*rows, i, 4), cell(*rows, i, 5)});
    }
  }
  return found;
}

}  // namespace pgsink
