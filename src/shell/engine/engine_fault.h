#pragma once
// EngineFault: why the embedded SQL engine refused, and where in the text it was given.

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include <pgproto/error.h>

namespace pgsink::shell {

/// EngineFault is a refusal of the engine. `offset` counts bytes of the text that was prepared.
struct EngineFault {
  pgproto::Error error;  ///< kQuery; the message is the engine's, without its own excerpt.
  std::optional<size_t> offset;
  bool interrupted = false;  ///< Engine::interrupt() ended it: not a fault of the statement.
};

template <typename T>
using EngineResult = std::expected<T, EngineFault>;

/// Reads an error text of DuckDB under `errors_as_json`: its JSON object anywhere in the text, or
/// the plain text when there is none.
EngineFault parse_engine_error(std::string_view text);

}  // namespace pgsink::shell
