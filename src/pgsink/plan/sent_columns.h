#pragma once
// SentColumns: what is sent of a row, and how a statement makes the columns' types of it.

#include <string>
#include <vector>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {

class SentColumns {
 public:
  /// `names` are the quoted names of `columns`. All three must live as long as this. With
  /// `own_types`, others have brought the values into the columns' types.
  SentColumns(const CatalogTable& table, const std::vector<EncodeColumn>& columns,
              const std::vector<std::string>& names, bool own_types = false);

  /// Whether some columns are sent as another type than their own.
  bool casts() const;
  /// The columns of the staging table: as the table itself has them, or as they are sent.
  std::string staged() const;
  /// The arrays of a statement as rows, and their types.
  std::string unnests() const;
  std::vector<Oid> array_types() const;
  /// The type of a parameter that holds one value of a column, and an expression over such a value
  /// that has the column's own type, below all domains.
  Oid parameter_type(size_t column) const;
  std::string own_type(size_t column, const std::string& value) const;
  /// The rows of `source`, named `given` and numbered by `ordinal`, with the columns' own types.
  std::string with_casts(const std::string& source, const std::string& ordinal) const;

 private:
  const CatalogTable& table_;
  const std::vector<EncodeColumn>& columns_;
  const std::vector<std::string>& names_;
  std::vector<encode::Wire> wires_;
};

}  // namespace pgsink
