#pragma once
// The number of an attempt, in front of its first and its last statement. pg_stat_activity shows
// it, so the fence can tell how far a backend had come whose answers were lost.

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsink {

/// mark_begin and mark_end are comments to put before the statements of attempt `number`.
std::string mark_begin(uint64_t number);
std::string mark_end(uint64_t number);

/// last_attempt reads the query of a backend that waits for its client: the last attempt that can
/// be committed; 0: unknown. One that was not ended is open, and its backend is terminated.
uint64_t last_attempt(std::string_view query);

}  // namespace pgsink
