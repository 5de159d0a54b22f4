#pragma once
// LoadInput: what `pgsink load` reads.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <pgproto/error.h>

#include "shell/engine/engine.h"
#include "shell/flags/flags.h"

namespace pgsink::shell {

struct LoadInput {
  enum class Format : uint8_t { kCsv, kTsv, kJson, kNdjson, kParquet };

  bool csv() const { return format == Format::kCsv || format == Format::kTsv; }
  bool json() const { return format == Format::kJson || format == Format::kNdjson; }

  bool from_stdin = false;
  Format format = Format::kCsv;
  std::vector<std::string> patterns;  ///< As the engine takes them.
  bool several = false;               ///< Whether there is more than one file.
};

/// find_input looks at the names, and at what is in the file system under them. Fails with kUsage,
/// naming the file: it is missing or a folder, nothing matches a pattern, no name or several names
/// of formats.
pgproto::Result<LoadInput> find_input(const Flags::Load& load, Engine& engine);

/// refuse says what is wrong with the flags, or with what they name.
inline std::unexpected<pgproto::Error> refuse(std::string message) {
  return pgproto::fail(pgproto::Errc::kUsage, std::move(message));
}

}  // namespace pgsink::shell
