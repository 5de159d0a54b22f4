#pragma once
// Access to lists, maps and dictionaries, and the codecs of arrays and composites.

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

bool is_list(ColumnKind kind);  ///< A list of any layout; a map is not.

/// is_list_view says whether a list's elements may lie in any order: `heap` then has the number of
/// elements of each row, and `values` where they begin.
bool is_list_view(const ColumnView& column);

/// ListItems are the elements [first, first + count) of a column.
struct ListItems {
  const ColumnView* elements = nullptr;
  size_t first = 0;
  size_t count = 0;
};

/// list_items finds the elements of a row that is not NULL. `width` is that of a kFixedList. For a
/// C++ vector `scratch` becomes the view of its elements and must live as long as the result.
ListItems list_items(const ColumnView& column, size_t row, int32_t width, ColumnView& scratch);

/// list_counts is list_items() for consecutive rows, not of C++ vectors or list views, whose
/// elements may lie in any order: how many elements each has, and where they begin, counted from
/// the first row's. NULL rows are included.
void list_counts(const ColumnView& column, const Block& block, int32_t width, uint32_t* firsts,
                 uint32_t* counts);

/// dictionary_row is the row of children[0] that a row that is not NULL refers to.
size_t dictionary_row(const ColumnView& column, ColumnKind index_kind, size_t row);

/// dictionary_field passes the rows that a dictionary column refers to, to the codec of its values.
CodecPointer dictionary_field(const Field& source, CodecPointer values);

}  // namespace pgsink::encode
