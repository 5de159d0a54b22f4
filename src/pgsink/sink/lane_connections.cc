#include "pgsink/sink/lane_connections.h"

#include <utility>

#include "pgsink/options/open_retry.h"
#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"
#include "pgsink/replication/publication.h"
#include "pgsink/sink/open_target.h"
#include "pgsink/sink/pool.h"

namespace pgsink {

Result<std::shared_ptr<Pool>> choose_pool(const SinkOptions& options, const Schema* schema,
                                          Env* env, const ConnectionPool* shared) {
  if (schema == nullptr) return fail(Errc::kUsage, "Sink::open: no schema");
  if (auto faults = check_options(options); !faults.empty()) {
    return fail_at(options, faults.front());
  }
  if (!options.target_tables.empty()) {
    return fail(Errc::kUsage,
                "connection \"" + options.connection_name +
                    "\": target_tables is for replicate(), and for pipelines that read a source "
                    "with tables: a sink writes one table");
  }
  if (options.type == ConnectionType::kSource) {
    return fail_at(options, fail(Errc::kUsage,
                                 "a connection with type = 'source' cannot be written: set type = "
                                 "'sink', or read it with Source::open()")
                                .error());
  }
  if (shared == nullptr) {
    auto own = make_sink_pool(options, env, false);
    return own ? std::move(own) : fail_at(options, own.error());
  }
  const std::shared_ptr<Pool>& pool = shared->pool();
  if (env != nullptr && env != &pool->env()) {
    return fail_at(options, fail(Errc::kUsage,
                                 "Sink::open: pass the Env that the pool was created with, or null")
                                .error());
  }
  if (auto fits = check_sink_pool(*pool, options); !fits) return fail_at(options, fits.error());
  return pool;
}

Result<std::vector<PoolLease>> take_places(const SinkOptions& options, Pool& pool,
                                           OpenRetry& retry) {
  auto places = pool.reserve(sink_connections(options));
  if (!places) return fail_at(options, places.error());
  const Status opened = retry.run([&] { return places->front().connect(); });
  if (!opened) return fail_at(options, opened.error());
  return places;
}

Status connect_lanes(const SinkOptions& options, const TwoPhaseClaim* two_phase,
                     std::optional<WriterSessions>& sessions, Env& env, std::span<PoolLease> lanes,
                     OpenRetry& retry) {
  Clock& clock = env.clock;
  Status done = retry.run([&] { return Pool::connect_all(lanes); });
  if (done && sessions) {
    const Deadline deadline = clock.now() + kClaimTimeout;
    done = sessions->take_over(*lanes.front(), deadline);
    for (size_t i = 1; done && i < lanes.size(); ++i) done = sessions->join(*lanes[i], deadline);
  }
  for (size_t i = 0; done && two_phase != nullptr && i < lanes.size(); ++i) {
    done = two_phase->two_phase.attach(*lanes[i], clock.now() + kClaimTimeout);
  }
  const auto timeout = std::chrono::milliseconds(options.connection_timeout_ms);
  if (done) done = mark_sessions(lanes, options.replication_origin, clock.now() + timeout);
  if (done) return done;
  for (PoolLease& lane : lanes) lane.drop();  // A marked session must not be used by others.
  return fail_at(options, done.error());
}

}  // namespace pgsink
