#include "pgsink/sink/part_attempt.h"

#include <utility>

#include "pgsink/delivery/job_rows.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/sink/claim.h"
#include "pgsink/sink/pool.h"

namespace pgsink {
namespace {

Status check_open(const JobRows& rows, const JobTicket& ticket, Connection& connection,
                  Deadline deadline) {
  const auto row = rows.read(connection, deadline);
  if (!row) return fail(row.error());
  if (*row && (*row)->writer == ticket.writer && (*row)->decided_by != ticket.writer) return {};
  return fail(Errc::kFenced, "open_part: job \"" + ticket.sink_id +
                                 "\" was committed or aborted, or another driver has opened it");
}

}  // namespace

Result<std::unique_ptr<PartAttempt>> PartAttempt::open(const SinkOptions& options,
                                                       const JobTicket& ticket, uint32_t partition,
                                                       int64_t number, Env* env) {
  const auto rows = JobRows::create(ticket.schema, ticket.sink_id);
  if (!rows) return fail_at(options, rows.error());
  auto pool = make_sink_pool(options, env, false);
  if (!pool) return fail_at(options, pool.error());
  std::unique_ptr<PartAttempt> attempt(new PartAttempt(options, *std::move(pool), partition));
  auto connection = attempt->connect();
  if (!connection) return fail(connection.error());
  const Deadline deadline = attempt->pool_->env().clock.now() + kClaimTimeout;
  if (auto open = check_open(*rows, ticket, **connection, deadline); !open) {
    return fail_at(options, open.error());
  }
  auto parts =
      PreparedParts::create(**connection, ticket.schema, ticket.sink_id, ticket.writer, deadline);
  if (!parts) return fail_at(options, parts.error());
  auto other = parts->find(**connection, partition, deadline);
  if (!other) return fail_at(options, other.error());
  attempt->other_ = *std::move(other);
  attempt->ending_ =
      std::make_shared<PartEnding>(attempt->pool_->env(), *std::move(parts),
                                   PreparedPart{.partition = partition, .part = number, .gid = {}});
  return attempt;
}

Result<PoolLease> PartAttempt::connect() {
  auto lease = OpenRetry(options_, pool_->env()).run([&] { return pool_->checkout(); });
  return lease ? std::move(lease) : fail_at(options_, lease.error());
}

Result<bool> PartAttempt::look_for_other() {
  const Monitor::Lock lock(*monitor_);
  if (other_) return true;
  auto connection = connect();
  if (!connection) return fail(connection.error());
  auto other =
      ending_->parts().find(**connection, partition_, pool_->env().clock.now() + kClaimTimeout);
  if (!other) return fail_at(options_, other.error());
  other_ = *std::move(other);
  return other_.has_value();
}

}  // namespace pgsink
