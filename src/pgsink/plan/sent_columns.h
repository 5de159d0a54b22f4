#pragma once
// SentColumns: what is sent of a row, and how a statement makes the columns' types of it.

#include <string>
#include <vector>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {

class SentColumns {
 public:
  /// `names` are the quoted names of `columns`. All three must live as long as this.
  SentColumns(const CatalogTable& table, const std::vector<EncodeColumn>& columns,
              const std::vector<std::string>& names);

  /// Whether some columns are sent as another type than their own.
  bool casts() const;
  /// The columns of the staging table: as the table itself has them, or as they are sent.
  std::string staged() const;
  /// The arrays of a statement as rows, and their types.
  std::string unnests() const;
  std::vector<Oid> array_types() const;
  /// The rows of `source`, named `given` and numbered by `ordinal`, with the columns' own types.
  std::string with_casts(const std::string& source, const std::string& ordinal) const;

 private:
  std::string cast(size_t column) const;

  const CatalogTable& table_;
  const std::vector<EncodeColumn>& columns_;
  const std::vector<std::string>& names_;
  std::vector<encode::Wire> wires_;
};

}  // namespace pgsink
