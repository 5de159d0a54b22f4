#pragma once
// ColumnSamples: what the first values of a column look like, and so which type of the engine it
// can have without a value being changed. Only for columns that a query computes with: what goes
// straight to the target stays as it is written.

#include <string>
#include <string_view>

#include "shell/records/exact_type.h"
#include "shell/records/json_reader.h"

namespace pgsink::shell {

/// ColumnUse is what queries do with a column.
struct ColumnUse {
  bool passed = false;  ///< It goes to a target as it is.
  bool hidden = false;  ///< It goes to a target as it is, from a hidden column beside it.
  bool text = false;    ///< They work on its text: ||, LIKE, upper(), = 'a', casts.
  bool number = false;  ///< They calculate with it, or compare it with numbers.
  bool other = false;   ///< They do anything else with it.

  bool computed() const { return text || number || other; }
};

class ColumnSamples {
 public:
  /// A field of CSV.
  void add_text(std::string_view text);
  void add_json(const JsonValue& value);
  void add_null() {}

  /// The type for a column that queries compute with. A column that also goes to a target gets only
  /// a type that prints every sample as it is written. Without such a type it is VARCHAR, or JSON
  /// if it holds nested values. `complete` says that there are no values but the samples: a column
  /// without any has the type "NULL" then.
  ExactType type(const ColumnUse& use, bool complete) const;
  /// Whether every sample is a number, however it is written.
  bool numbers() const { return values_ > 0 && numbers_ == values_; }

 private:
  void look_at_number(std::string_view text);
  void look_at_text(std::string_view text);
  ExactType number_type(const ColumnUse& use) const;

  size_t values_ = 0;  ///< Other than NULL.
  size_t nested_ = 0, strings_ = 0, numbers_ = 0, booleans_ = 0;
  size_t dates_ = 0, timestamps_ = 0, instants_ = 0;  ///< As the engine prints them.
  size_t iso_timestamps_ = 0, iso_instants_ = 0;      ///< In any form of ISO 8601 with a date.
  bool json_ = false;
  // Of the numbers:
  bool integers_ = true;  ///< Whole and as the engine prints them.
  bool fit_int64_ = true;
  bool decimals_ = true;  ///< Digits, and a point between digits; no leading zeros.
  bool trailing_zeros_ = false, exponents_ = false;
  bool fit_double_ = true;  ///< All digits come back.
  size_t whole_max_ = 0, scale_max_ = 0, scale_min_ = SIZE_MAX;
};

/// prints_as says whether the engine prints the value that it reads for `text` in just this way.
/// For the types that ColumnSamples finds.
bool prints_as(const ExactType& type, std::string_view text);

}  // namespace pgsink::shell
