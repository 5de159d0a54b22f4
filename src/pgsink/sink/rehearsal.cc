#include "pgsink/sink/rehearsal.h"

#include <new>
#include <utility>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/check.h"
#include "pgsink/lane/router.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/plan/plan.h"
#include "pgsink/replication/publication.h"
#include "pgsink/sink.h"
#include "pgsink/sink/claim.h"
#include "pgsink/sink/open_target.h"
#include "pgsink/source.h"

namespace pgsink {
namespace {

constexpr size_t kScratchBytes = size_t{1} << 20;

/// The target, checked without a schema; nothing if it has yet to be created.
Result<std::optional<CatalogTable>> test_target(const SinkOptions& options, Env& env) {
  const auto connect = to_connect_options(options, env.files);
  if (!connect) return fail_at(options, connect.error());
  const auto connection = Connection::open(env, *connect);
  if (!connection) return fail_at(options, not_retried(options, env, connection.error()));
  const Deadline deadline = env.clock.now() + connect->connect_timeout;
  const auto read = [&]() -> Result<Opened> {
    auto opened = open_target(options, nullptr, **connection, deadline);
    if (!opened) return opened;
    const Status fits = check_target(options, opened->table);
    return fits ? std::move(opened) : fail_at(options, fits.error());
  };
  auto opened = until_settled(options, **connection, deadline, read);
  const bool to_be_made =
      !opened && opened.error().code == Errc::kNoSuchTable && options.create_table;
  if (to_be_made) return std::nullopt;
  if (!opened) return fail(opened.error());
  Status fits = check_delivery(options, **connection, opened->table, deadline);
  if (fits) fits = check_replication(options, opened->table, **connection, deadline);
  if (!fits) return fail_at(options, fits.error());
  return std::move(opened->table);
}

/// Which tables there are to be is known when a source is read.
Status test_login(const SinkOptions& options, Env& env) {
  const auto connect = to_connect_options(options, env.files);
  if (!connect) return fail_at(options, connect.error());
  const auto opened = Connection::open(env, *connect);
  if (opened) return {};
  return fail_at(options, not_retried(options, env, opened.error()));
}

}  // namespace

Status test_connection(const SinkOptions& options, Env* env) {
  if (options.type == ConnectionType::kSource) return Source::test(options, env);
  if (auto faults = check_options(options); !faults.empty()) {
    return fail_at(options, faults.front());
  }
  try {
    OsEnv own_env;
    if (!options.target_tables.empty()) {
      return test_login(options, env != nullptr ? *env : own_env.env());
    }
    const auto tested = test_target(options, env != nullptr ? *env : own_env.env());
    return tested ? Status() : fail(tested.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Result<std::unique_ptr<Rehearsal>> Rehearsal::open(const SinkOptions& options, const Schema& schema,
                                                   Env* env) {
  OsEnv own_env;
  auto table = test_target(options, env != nullptr ? *env : own_env.env());
  if (!table) return fail(table.error());
  std::unique_ptr<Rehearsal> rehearsal(new Rehearsal);
  if (!*table) {
    rehearsal->missing_ = "table " + options.schema + "." + options.table + " would be created";
    return rehearsal;
  }
  const auto plan = make_plan(options, **table, schema);
  if (!plan && options.schema_evolution == SchemaEvolution::kAddColumns &&
      plan.error().code == Errc::kNoSuchColumn) {
    rehearsal->missing_ = "columns would be added (" + plan.error().message + ")";
    return rehearsal;
  }
  if (!plan) return fail_at(options, plan.error());
  const auto router = Router::create(options, **table, *plan);
  if (!router) return fail_at(options, router.error());
  auto encoder = RowEncoder::create(plan->columns, plan->types);
  if (!encoder) return fail_at(options, encoder.error());
  rehearsal->encoder_ = std::move(*encoder);
  rehearsal->scratch_.resize(kScratchBytes);
  return rehearsal;
}

Result<size_t> Rehearsal::encode(const RecordBatch& batch, std::vector<Rejection>& rejected) {
  size_t bytes = 0;
  for (size_t row = 0; row < batch.row_count();) {
    const auto step = encoder_->encode(batch, {row, batch.row_count() - row}, scratch_, rejected);
    row += step.rows;
    bytes += step.bytes;
    if (step.rows > 0) continue;
    if (step.bytes_needed <= scratch_.size()) {
      return fail(Errc::kInternal, "a row finds no room that is large enough");
    }
    scratch_.resize(step.bytes_needed);
  }
  return bytes;
}

}  // namespace pgsink
