#pragma once

#include <memory>

#include "pgsink/lane/part_ending.h"
#include "pgsink/pool.h"
#include "pgsink/sink.h"

namespace pgsink {

/// open_part_sink opens a sink whose one transaction ends as `part` says, which is not committed
/// then; null: the sink that Sink::open() opens. REQUIRES: with a part, atomic = true.
Result<std::unique_ptr<Sink>> open_part_sink(SinkOptions options,
                                             std::shared_ptr<const Schema> schema, Env* env,
                                             const std::shared_ptr<PartEnding>& part,
                                             const std::shared_ptr<ConnectionPool>& pool);

}  // namespace pgsink
