#pragma once
// JSON as the server's json and jsonb types read it, so that a row whose text is none is rejected
// before it is sent. A row that the server rejects costs a transaction.

#include <cstddef>
#include <optional>
#include <string_view>

namespace pgsink::encode {

enum class JsonFlavor : uint8_t {
  kNone,   ///< Not looked at.
  kJson,   ///< The syntax alone: what an escape stands for is not looked at.
  kJsonb,  ///< No \u0000, and surrogates come in pairs.
};

/// JsonFault is the first byte that does not fit.
struct JsonFault {
  size_t at = 0;
  bool escape = false;  ///< It begins an escape that is well-formed, and that jsonb cannot hold.
};

/// find_json_fault looks for what the server would refuse in valid UTF-8. It leaves to the server
/// what depends on its settings: values in more than 2048 others, and numbers beyond numeric.
std::optional<JsonFault> find_json_fault(std::string_view text, JsonFlavor flavor);

}  // namespace pgsink::encode
