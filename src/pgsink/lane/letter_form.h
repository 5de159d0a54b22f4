#pragma once
// LetterForm: how dead letters fit into a database of any encoding.

#include <cstdint>

namespace pgsink {

/// LetterForm is how the dead letter table is given characters outside ASCII.
enum class LetterForm : uint8_t {
  kUtf8,     ///< As they are. The database's encoding may lack some.
  kEscaped,  ///< Columns of text hold \uXXXX; the row has JSON's escapes, which type json keeps.
  kEscapedText,  ///< The row's texts hold \uXXXX too, since jsonb would resolve JSON's escapes.
};

}  // namespace pgsink
