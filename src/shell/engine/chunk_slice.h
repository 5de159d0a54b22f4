#pragma once
// Some rows of a chunk of the engine, as a chunk of their own.

#include <cstddef>

#include "shell/engine/owned.h"

namespace pgsink::shell {

/// chunk_slice copies `count` rows from `begin` on. REQUIRES: the chunk has them.
OwnedChunk chunk_slice(const OwnedChunk& chunk, size_t begin, size_t count);

}  // namespace pgsink::shell
