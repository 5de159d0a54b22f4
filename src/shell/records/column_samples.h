#pragma once
// ColumnSamples: the form of the first values of a column, from which follows which type of the
// engine it can have without changing a value. Only for columns that a query computes with: values
// that go straight to the target stay as they are written.

#include <string>
#include <string_view>

#include "shell/records/exact_type.h"
#include "shell/records/json_reader.h"

namespace pgsink::shell {

/// ColumnUse is what queries do with a column.
struct ColumnUse {
  bool passed = false;  ///< It goes to a target as it is.
  bool hidden = false;  ///< It goes to a target as it is, through a hidden column.
  bool text = false;    ///< Queries use its text: ||, LIKE, upper(), = 'a', casts.
  bool number = false;  ///< Queries calculate with it, or compare it with numbers.
  bool other = false;   ///< Queries use it in any other way.

  bool computed() const { return text || number || other; }
};

class ColumnSamples {
 public:
  /// A field of CSV.
  void add_text(std::string_view text);
  void add_json(const JsonValue& value);
  void add_null() {}

  /// The type for a column that queries compute with. If the column also goes to a target, the type
  /// must print every sample as it is written. If no type does, it is VARCHAR, or JSON if it holds
  /// nested values. `complete` says that there are no more values than the samples: then a column
  /// without values has the type "NULL".
  ExactType type(const ColumnUse& use, bool complete) const;
  /// Whether every sample is a number, in any spelling.
  bool numbers() const { return values_ > 0 && numbers_ == values_; }

 private:
  void look_at_number(std::string_view text);
  void look_at_text(std::string_view text);
  ExactType number_type(const ColumnUse& use) const;

  size_t values_ = 0;  ///< Values other than NULL.
  size_t nested_ = 0, strings_ = 0, numbers_ = 0, booleans_ = 0;
  size_t dates_ = 0, timestamps_ = 0, instants_ = 0;  ///< In the engine's own format.
  size_t iso_timestamps_ = 0, iso_instants_ = 0;      ///< In any form of ISO 8601 with a date.
  bool json_ = false;
  // About the numbers:
  bool integers_ = true;  ///< Whole and in the engine's own format.
  bool fit_int64_ = true;
  bool decimals_ = true;  ///< Digits, and a point between digits; no leading zeros.
  bool trailing_zeros_ = false, exponents_ = false;
  bool fit_double_ = true;  ///< A double preserves all digits.
  size_t whole_max_ = 0, scale_max_ = 0, scale_min_ = SIZE_MAX;
};

/// prints_as says whether the engine prints the value that it reads from `text` in exactly this
/// form. For the types that ColumnSamples finds.
bool prints_as(const ExactType& type, std::string_view text);

}  // namespace pgsink::shell
