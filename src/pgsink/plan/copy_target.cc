// How rows may get into a table.

#include <algorithm>

#include "pgsink/encode/rows/column_codec.h"
#include "pgsink/options/rules.h"
#include "pgsink/plan/statements.h"

namespace pgsink {

using pgproto::TypeInfo;

bool takes_copy(const CatalogTable& table) {
  return table.kind != CatalogTable::Kind::kView && !table.insert_rules;
}

bool copies_into_target(WriteMode mode, const CatalogTable& table,
                        const std::vector<EncodeColumn>& columns) {
  return only_inserts(mode) && !table.row_security && takes_copy(table) &&
         std::ranges::all_of(columns, [&](const EncodeColumn& column) {
           return encode::column_wire(column, table.types) == encode::Wire::kOwn;
         });
}

const EncodeColumn* first_not_unnestable(const CatalogTable& table,
                                         const std::vector<EncodeColumn>& columns) {
  for (const EncodeColumn& column : columns) {
    if (column.is_note()) continue;
    if (encode::column_wire(column, table.types) != encode::Wire::kOwn) continue;
    auto found = table.types.find(column.target_oid);
    if (found == table.types.end() || found->second.array_oid == 0) return &column;
    if (found->second.kind == TypeInfo::Kind::kDomain) {
      found = table.types.find(found->second.base_oid);
      if (found == table.types.end()) return &column;
    }
    const TypeInfo::Kind kind = found->second.kind;
    if (kind == TypeInfo::Kind::kArray || kind == TypeInfo::Kind::kComposite) return &column;
  }
  return nullptr;
}

}  // namespace pgsink
