#pragma once
// LetterForm: how dead letters fit into a database of any encoding.

#include <cstdint>

#include <pgproto/error.h>

namespace pgsink {

/// LetterForm is how the dead letter table is given characters outside ASCII.
enum class LetterForm : uint8_t {
  kUtf8,     ///< As they are. The database's encoding may lack some.
  kEscaped,  ///< Columns of text hold \uXXXX; the row has JSON's escapes, which type json keeps.
  kEscapedText,  ///< The row's texts hold \uXXXX too, since jsonb would resolve JSON's escapes.
};

/// escape_more moves to the next form if the database's encoding lacks a character of the dead
/// letters; false if that is not the error, or no form helps.
inline bool escape_more(LetterForm& form, const pgproto::Error& error) {
  constexpr std::string_view kUntranslatableCharacter = "22P05";
  if (error.sqlstate != kUntranslatableCharacter || form == LetterForm::kEscapedText) return false;
  form = form == LetterForm::kUtf8 ? LetterForm::kEscaped : LetterForm::kEscapedText;
  return true;
}

}  // namespace pgsink
