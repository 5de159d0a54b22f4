#pragma once
// ExactType: a type of the engine, with the rules that keep its casts of texts from changing
// values. The engine rounds 3.7 to the INTEGER 4, 1.005 to a DECIMAL(6,2), and reads numbers in
// JSON through a double. Texts that pass these rules are cast without loss.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shell/records/json_reader.h"

namespace pgsink::shell {

struct ExactType {
  enum class Kind : uint8_t {
    kText,     ///< VARCHAR: every text, unchanged.
    kJson,     ///< The JSON text of any value.
    kInteger,  ///< Whole numbers, of any width.
    kDecimal,  ///< Numbers with `scale` decimals.
    kFloat,    ///< The nearest floating-point number.
    kBoolean,
    kDate,
    kTime,    ///< Seconds with at most `scale` decimals; also timestamps and intervals.
    kOther,   ///< Any other type, which the engine reads without rounding, or refuses.
    kList,    ///< Of children[0]; also arrays of fixed size.
    kStruct,  ///< Of named children.
    kMap,     ///< From children[0] to children[1].
  };
  Kind kind = Kind::kText;
  std::string name{};  ///< In SQL: "DECIMAL(6,2)".
  int32_t scale = 0;
  std::vector<ExactType> children{};
  std::vector<std::string> names{};

  bool nested() const { return kind >= Kind::kList; }
};

/// exact_text is the text that the engine casts to the type without changing the value: the same
/// one, or a number in plain digits. The error says why there is none. A text that is not a value
/// of the type may pass: the engine refuses it. Nested types take JSON, which `reader` reads: it
/// must not be the one whose views are in use.
std::expected<std::string, std::string> exact_text(const ExactType& type, std::string_view text,
                                                   JsonReader& reader);

/// exact_json is the same for a JSON value; nullopt is NULL. For nested types and JSON it is JSON.
std::expected<std::optional<std::string>, std::string> exact_json(const ExactType& type,
                                                                  const JsonValue& value,
                                                                  JsonReader& reader);

}  // namespace pgsink::shell
