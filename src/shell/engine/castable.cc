#include "shell/engine/castable.h"

#include "shell/engine/type_text.h"

namespace pgsink::shell {

std::optional<EngineSql> cast_awkward_columns(const EngineSql& query,
                                              const std::vector<Column>& columns) {
  std::string list;
  std::string aliases;
  bool any = false;
  for (size_t i = 0; i < columns.size(); ++i) {
    const TypeText type = type_text(columns[i].type.get());
    const std::string alias = "c" + std::to_string(i);
    list += i == 0 ? "" : ", ";
    list += type.awkward ? "CAST(" + alias + " AS " + type.name + ")" : alias;
    list += " AS " + engine_identifier(columns[i].name);
    aliases += (i == 0 ? "" : ", ") + alias;
    any = any || type.awkward;
  }
  if (!any) return std::nullopt;
  // The line break: the query may end in a comment.
  return query.wrapped("SELECT " + list + " FROM (", "\n) AS q(" + aliases + ")");
}

}  // namespace pgsink::shell
