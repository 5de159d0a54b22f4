#pragma once
// Where in the rows of a COPY the server found an error. Its messages say so in no field of their
// own, only in the CONTEXT, whose words are those of the server's lc_messages, which most roles may
// not set.

#include <cstdint>
#include <string_view>

namespace pgsink {

/// CopyPlace views the text that it was read from.
struct CopyPlace {
  uint64_t line = 0;          ///< From 1; 0: the server named none.
  std::string_view column{};  ///< "": it named none.
  /// What the context says besides: of triggers, for example.
  std::string_view others{};
};

/// copy_place reads the CONTEXT of an error of a binary COPY into `table`, a name without its
/// schema, in any language that PostgreSQL is translated into.
CopyPlace copy_place(std::string_view context, std::string_view table);

}  // namespace pgsink
