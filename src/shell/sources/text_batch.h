#pragma once
// Rows of a source that reads texts: what the records of a micro-batch hold, column by column.

#include <cstddef>
#include <memory>
#include <vector>

#include <pgsink/record_batch.h>

#include "shell/records/record_columns.h"

namespace pgsink::shell {

/// TextColumns has the values of each column; null where a record has none.
using TextColumns = std::vector<RecordValues>;

/// text_batch makes a batch of `rows` rows from them without copying: it keeps them alive. The
/// schema is given, or one without names.
RecordBatch text_batch(const std::shared_ptr<TextColumns>& texts, size_t rows,
                       std::shared_ptr<const Schema> given = nullptr);

}  // namespace pgsink::shell
