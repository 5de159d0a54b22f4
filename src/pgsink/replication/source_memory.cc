// What is remembered of a source, in the database of its sink.

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/options/server.h"
#include "pgsink/options/table_patterns.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

class TargetMemory final : public SourceMemory {
 public:
  TargetMemory(std::unique_ptr<OsEnv> own_env, Env& env, SinkOptions options, std::string_view slot,
               std::vector<TableName> targets)
      : own_env_(std::move(own_env)),
        env_(env),
        options_(std::move(options)),
        slot_(slot),
        targets_(std::move(targets)) {}

  Result<SourceState> read() override {
    if (auto ready = connect(); !ready) return fail(ready.error());
    const Status there =
        ensure_control_table(*connection_, options_.schema, ControlTable::kSources, soon());
    if (!there) return fail(there.error());
    Quoted quoted;
    const std::string sql =
        sql_text(Sql::kReadSource,
                 {table(quoted), quoted.literal(stored_sink_id(options_)), quoted.literal(slot_)});
    if (!quoted.status()) return fail(quoted.status().error());
    const auto row = run_control(*connection_, sql, soon());
    if (!row) return explain(row.error());
    SourceState state;
    if (row->rows.empty()) return state;
    state.server = cell(*row, 0, 0);
    state.seen = parse_number(cell(*row, 0, 1));
    state.published = cell(*row, 0, 2);
    return state;
  }

  Status write(const SourceState& state) override {
    if (auto ready = connect(); !ready) return ready;
    Quoted quoted;
    const std::string sql =
        sql_text(Sql::kWriteSource, {table(quoted), quoted.literal(stored_sink_id(options_)),
                                     quoted.literal(slot_), quoted.literal(state.server),
                                     std::to_string(state.seen), quoted.literal(state.published)});
    if (!quoted.status()) return quoted.status();
    const auto done = run_control(*connection_, sql, soon(), true);
    return done ? Status() : Status(explain(done.error()));
  }

  bool position_is_known() const override {
    return options_.delivery == Delivery::kExactlyOnce || options_.use_2pc;
  }

  bool is_empty() override {
    if (!connect()) return false;
    return std::ranges::all_of(targets_, [this](const TableName& table) {
      Quoted quoted;
      const std::string target =
          quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
      const auto row = run_control(*connection_, sql_text(Sql::kIsEmpty, {target}), soon());
      return row && !row->rows.empty() && cell(*row, 0, 0) == "t";
    });
  }

 private:
  Status connect() {
    if (connection_ && !connection_->broken()) return {};
    const auto options = to_connect_options(options_, env_.files);
    if (!options) return fail(options.error());
    auto opened = Connection::open(env_, *options);
    if (!opened) return fail(opened.error());
    connection_ = std::move(*opened);
    return {};
  }
  std::string table(Quoted& quoted) const {
    return quoted.identifier(options_.schema) + "." +
           std::string(control_table_name(ControlTable::kSources));
  }
  static std::unexpected<Error> explain(Error error) {
    if (error.sqlstate == "42501") error.code = Errc::kPrivilege;
    return fail(std::move(error));
  }
  /// The source answers its server's keepalives in the same thread.
  Deadline soon() const { return env_.clock.now() + std::chrono::seconds(5); }

  std::unique_ptr<OsEnv> own_env_;
  Env& env_;
  const SinkOptions options_;
  const std::string slot_;
  const std::vector<TableName> targets_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace

std::unique_ptr<SourceMemory> remember_in_target(const SinkOptions& options, std::string_view slot,
                                                 Env* env, std::span<const SinkOptions> targets) {
  if (options.type == ConnectionType::kSource) return nullptr;
  std::unique_ptr<OsEnv> own_env;
  if (env == nullptr) {
    own_env = std::make_unique<OsEnv>();
    env = &own_env->env();
  }
  std::vector<TableName> tables;
  for (const SinkOptions& one : targets) tables.push_back({one.schema, one.table});
  if (targets.empty()) tables.push_back({options.schema, options.table});
  return std::make_unique<TargetMemory>(std::move(own_env), *env, options, slot, std::move(tables));
}

}  // namespace pgsink
