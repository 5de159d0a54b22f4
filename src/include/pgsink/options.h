#pragma once
// SinkOptions: everything that CREATE CONNECTION … TO postgresql (…) can say, typed; and the one
// table that knows each option's key, type, default, range and meaning.
// docs/reference/options.md, `pgsink options`, completion and the "nearest key" of an error are all
// made from that table.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/dead_letter.h>

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

enum class WriteMode : uint8_t { kInsert, kUpsert, kUpdate, kDelete, kInsertIgnore, kChangelog };
enum class IsolationLevel : uint8_t {
  kReadUncommitted,
  kReadCommitted,
  kRepeatableRead,
  kSerializable
};
enum class PartitionType : uint8_t { kRange, kList, kHash };
enum class FireTriggers : uint8_t { kAlways, kReplica, kDisabled };
enum class OnRounding : uint8_t { kReject, kRound };
enum class Delivery : uint8_t { kAtLeastOnce, kExactlyOnce };
enum class SchemaEvolution : uint8_t { kNone, kValidate, kAddColumns };
enum class ConnectionType : uint8_t { kSink, kSource };

/// SinkOptions are the options of one connection after checking. Members are named as the keys;
/// times keep the key's unit in their name.
struct SinkOptions {
  std::string connection_name;  ///< From CREATE CONNECTION; labels errors and metrics.
  ConnectionType type = ConnectionType::kSink;

  // where
  std::string url;            ///< libpq URI or keyword/value string; excludes host … ssl_….
  std::string host;           ///< Comma list, or a directory for a Unix socket.
  std::string port = "5432";  ///< Comma list parallel to host, or one for all.
  std::string database, username, password;
  std::string schema = "public", table;
  std::string target_session_attrs = "read-write";
  std::string load_balance_hosts = "disable";
  std::string application_name;  ///< Default "pgsink/<connection>".
  std::string ssl_mode = "prefer", ssl_cert, ssl_key, ssl_root_cert, ssl_crl;
  std::string ssl_min_version = "TLSv1.2", ssl_negotiation = "postgres";
  std::string channel_binding = "prefer", require_auth;
  int64_t keepalives_idle_s = 0, keepalives_interval_s = 0, keepalives_count = 0;
  int64_t tcp_user_timeout_ms = 0;
  int64_t connection_timeout_ms = 5000, statement_timeout_ms = 0, lock_timeout_ms = 0;

  // what is written
  WriteMode write_mode = WriteMode::kInsert;
  std::vector<std::string> conflict_columns, update_columns, key_columns;
  std::string newer_by;
  OnRounding on_rounding = OnRounding::kReject;
  bool create_table = false;
  SchemaEvolution schema_evolution = SchemaEvolution::kNone;

  // how much at once
  int64_t batch_size = 1000, batch_timeout_ms = 1000, batch_bytes = 16 << 20;
  int64_t copy_batch_size = 10000;
  std::optional<bool> use_copy;  ///< Unset: the faster one for the mode and batch size.
  int64_t transaction_size = 0;  ///< 0: one batch.
  int64_t buffer_bytes = 64 << 20, in_flight_max = 16;
  bool use_prepared_statements = true;
  int64_t statement_cache_size = 100;

  // transactions and delivery
  IsolationLevel isolation_level = IsolationLevel::kReadCommitted;
  bool use_2pc = false;
  std::string prepared_transaction_id = "pgsink_${uuid}";
  Delivery delivery = Delivery::kAtLeastOnce;
  std::string sink_id;

  // connections and lanes
  int64_t connection_pool_size = 4, idle_timeout_ms = 600000;
  int64_t parallelism = 1;
  std::string partition_by;

  // partitions, triggers, foreign tables, replication
  std::string partition_column, partition_interval, partition_name;
  std::optional<PartitionType> partition_type;
  bool create_partitions = false;
  int64_t partition_copy_min_rows = 50'000;
  bool disable_triggers = false;
  FireTriggers fire_triggers = FireTriggers::kAlways;
  std::optional<bool> is_foreign_table;
  std::string replication_slot, publication, replication_origin;
  bool confirm_slot = false;
  bool snapshot = true;

  // sessions
  std::string set_role;
  std::vector<std::pair<std::string, std::string>> session_variables;

  // failures
  int64_t max_retries = 5, retry_backoff_ms = 1000, retry_timeout_ms = 0;
  std::vector<std::string> retry_on_errors;
  std::string dead_letter_table, dead_letter_file;
  int64_t max_rejects = 0;
  std::optional<double> max_reject_ratio;
  /// Takes rejected rows, beside table and file or instead of them. No key of SQL's.
  DeadLetterCallback on_dead_letters;
};

enum class OptionType : uint8_t { kText, kInteger, kDecimal, kBoolean, kChoice, kColumns, kMap };

/// OptionValue is what stands right of `=` in CREATE CONNECTION, before it is checked.
struct OptionValue {
  enum class Kind : uint8_t { kText, kInteger, kDecimal, kBoolean, kMap };
  Kind kind = Kind::kText;
  std::string text{};  ///< Text without quotes; a number or boolean as written. Secrets filled in.
  std::vector<std::pair<std::string, std::string>> map{};
};

/// OptionInfo is one row of the table of options.
struct OptionInfo {
  // Each member has an initializer, so that a row may leave it out.
  std::string_view key{};
  std::string_view group{};  ///< Heading of the documentation; rows of a group stand together.
  OptionType type = OptionType::kText;
  std::string_view default_text{};  ///< The value that equals leaving the option out; "" for none.
  std::string_view unset{};         ///< What leaving it out means where no value says so.
  int64_t min = 0, max = 0;         ///< kInteger and kDecimal only; both ends are allowed.
  std::string_view choices{};  ///< kChoice only: "insert|upsert|…"; case, '_' or ' ' do not matter.
  std::string_view aliases{};  ///< What other programs call it, "user|login"; to suggest the key.
  bool required = false;       ///< Unless `url` gives it.
  bool secret = false;         ///< Never shown.
  bool in_specification = false;  ///< Otherwise an extension ("+").
  bool replaced_by_url = false;   ///< May not stand beside `url`, which says it too.
  std::string_view meaning{};     ///< One sentence or two, for the documentation.
  std::string_view example{};     ///< The value as it would be written, quotes included.
  /// Stores a checked value; fails with kOptionValue and a message that names what is allowed and
  /// never holds the value, which may come from a secret.
  Status (*store)(const OptionValue& value, const OptionInfo& info, SinkOptions& options) = nullptr;
  /// Whether the option differs from its default.
  bool (*is_set)(const SinkOptions& options) = nullptr;
};

/// option_table lists all options, in the order of the documentation. Valid for ever.
std::span<const OptionInfo> option_table();
/// find_option gives the row of a key (lower case); null if unknown.
const OptionInfo* find_option(std::string_view key);
/// nearest_option gives the known key most like `key`, or the one that other programs call so; ""
/// if none is near.
std::string_view nearest_option(std::string_view key);
/// option_documentation is docs/reference/options.md, whole.
std::string option_documentation();
/// option_json is the table for programs (`pgsink options --json`): an array of objects.
std::string option_json();

/// check_options checks what single options cannot say: required ones, contradictions (url with
/// host, use_2pc with a foreign table, …). All faults, not only the first.
std::vector<Error> check_options(const SinkOptions& options);

/// stored_sink_id is the name under which the database remembers a sink with delivery exactly_once
/// or use_2pc: the option sink_id, else the connection's name and the table.
std::string stored_sink_id(const SinkOptions& options);

}  // namespace pgsink
