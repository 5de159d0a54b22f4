#pragma once
// RowOrder: what a batch means is what its rows do one by one (docs/explanation/delivery.md). Most
// tables cannot tell whether a statement applied many rows or one. This says which can, from what
// the catalog knows of a table, and so which statements may stand for the rows.

#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/plan/keys.h"

namespace pgsink {

/// Together says when one statement may apply many rows.
enum class Together : uint8_t {
  kAlways,        ///< One row of each key may stand for all rows of the key.
  kDistinctKeys,  ///< If no key comes twice.
  kNever,
};

struct RowOrder {
  Together together = Together::kAlways;
  /// A statement must take rows in the order of their arrival, not of their keys.
  bool by_arrival = false;
  /// Where rows of different keys may meet, so that their order counts; "" if nowhere. Of insert,
  /// which has no keys: where any rows may.
  std::string meeting_place;
};

/// row_order decides for one mode. `columns` are those to send.
RowOrder row_order(const SinkOptions& options, const CatalogTable& table,
                   const std::vector<EncodeColumn>& columns, const Keys& keys);

/// keeps_first says whether of the rows of one key the first decides about this column: updates do
/// not set it, or it is a key that may be spelled in several ways.
bool keeps_first(const SinkOptions& options, const CatalogTable& table, const CatalogColumn& column,
                 const Keys& keys);

}  // namespace pgsink
