#pragma once

#include <memory>

#include "pgsink/sink.h"

namespace pgsink {

/// make_whole_load wraps the sink of a load that replaces what the table held: it is one
/// transaction, which flush() or close() ends, and which happens also if the load has no rows.
std::unique_ptr<Sink> make_whole_load(std::unique_ptr<Sink> sink,
                                      std::shared_ptr<const Schema> schema);

}  // namespace pgsink
