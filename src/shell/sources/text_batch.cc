#include "shell/sources/text_batch.h"

#include <optional>
#include <string>
#include <utility>

namespace pgsink::shell {

RecordBatch text_batch(const std::shared_ptr<TextColumns>& texts, size_t rows,
                       std::shared_ptr<const Schema> given) {
  auto schema = std::make_shared<Schema>();
  std::vector<ColumnView> columns;
  for (const auto& values : *texts) {
    using Value = std::optional<std::string>;
    Field field;
    field.kind = ColumnKind::kStdString;
    schema->push_back(field);
    ColumnView view;
    view.kind = ColumnKind::kStdString;
    view.values = values.data();
    view.stride_bytes = sizeof(Value);
    view.validity_bytes = reinterpret_cast<const uint8_t*>(values.data()) + sizeof(std::string);
    view.validity_stride_bytes = sizeof(Value);
    columns.push_back(view);
  }
  if (given == nullptr) given = std::move(schema);
  return {std::move(given), std::move(columns), rows, 0, [texts] {}};
}

}  // namespace pgsink::shell
