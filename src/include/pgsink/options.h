#pragma once
// SinkOptions: everything that CREATE CONNECTION … TO postgresql (…) can say, typed; and the one
// table that knows each option's key, type, default, range and meaning. docs/reference/options.md,
// `pgsink options`, completion, the "nearest key" of an error, and the comments of SinkOptions come
// from that table.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/dead_letter.h>
#include <pgsink/flight_event.h>

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// WriteMode is what a row does to the target: see SinkOptions::write_mode.
enum class WriteMode : uint8_t {
  kInsert,
  kUpsert,
  kUpdate,
  kDelete,
  kInsertIgnore,
  kChangelog,
  kReplace
};
/// IsolationLevel is PostgreSQL's isolation level of each transaction.
enum class IsolationLevel : uint8_t {
  kReadUncommitted,
  kReadCommitted,
  kRepeatableRead,
  kSerializable
};
/// PartitionType is PostgreSQL's partitioning strategy.
enum class PartitionType : uint8_t { kRange, kList, kHash };
/// FireTriggers says which triggers of the target fire: see SinkOptions::fire_triggers.
enum class FireTriggers : uint8_t { kAlways, kReplica, kDisabled };
/// OnRounding says what becomes of a value that its column can only hold rounded.
enum class OnRounding : uint8_t { kReject, kRound };
/// Delivery is what is guaranteed about each row across failures; two-phase commit is use_2pc.
enum class Delivery : uint8_t { kAtLeastOnce, kExactlyOnce };
/// SchemaEvolution says what happens to columns that the table lacks.
enum class SchemaEvolution : uint8_t { kNone, kValidate, kAddColumns };
/// ConnectionType says whether rows are written (a sink) or changes are read (a source).
enum class ConnectionType : uint8_t { kSink, kSource };

/// ServerWait is a pause of open(): the server could not be reached, and will be tried again.
struct ServerWait {
  const Error& error;                  ///< Why the last attempt failed.
  uint32_t failures = 0;               ///< How many attempts have failed so far.
  std::chrono::milliseconds pause{0};  ///< How long it is from the last attempt to the next.
  bool begins = true;                  ///< The first call in this pause.
};
/// Called in the thread that opens, many times a second. False ends the waiting: open() fails at
/// once, with kInterrupted.
using ServerWaitCallback = std::function<bool(const ServerWait&)>;

/// Takes one line of a connection, without its line end: a message, as libpq's PQtrace() writes it
/// without a time: "F" (the client) or "B" (the server), its size, its name, its fields. Passwords,
/// SASL data and cancel keys are replaced, and of CopyData only the size is given; SQL and the
/// values of parameters and results are shown. Must not throw.
using TraceLines = std::function<void(std::string_view line)>;
/// Called for each new connection to a server, with its address: "127.0.0.1:5432". What it returns
/// takes the lines of this connection, one after the other, in the thread that uses it; several
/// connections call at once. An empty function: this connection is not traced.
using TraceCallback = std::function<TraceLines(std::string_view endpoint)>;

/// Gives the password of the next login, or the error with which that fails.
using PasswordCallback = std::function<Result<std::string>()>;

/// SinkOptions are the options of one connection after checking. Members are named as the keys;
/// times keep the key's unit in their name.
struct SinkOptions {
  /// Keys of options that were written out, in order; bind_connection() fills it. The environment's
  /// variables (`PGSSLMODE`, …) replace defaults only, so not what is named here.
  std::vector<std::string> given;
  /// The name in CREATE CONNECTION. It labels errors, log lines and metrics.
  std::string connection_name;
  /// Whether rows are written to the table or its changes are read.
  ConnectionType type = ConnectionType::kSink;

  // ---- Server, table, TLS and time limits -------------------------------------------------------
  /// A libpq URI or keyword/value string instead of `host`, `port`, `database`, `username`,
  /// `password`, `target_session_attrs`, `load_balance_hosts` and the TLS options.
  std::string url;
  /// A service of libpq's service file (`PGSERVICEFILE`, `~/.pg_service.conf`, `pg_service.conf` in
  /// `PGSYSCONFDIR`), which says what the other options leave out.
  std::string service;
  /// Host name or address, a comma list of them to be tried in order, or a directory
  /// (`/var/run/postgresql`) for a Unix socket.
  std::string host;
  /// Address to connect to, or a comma list with one for each of `host`: no name is looked up. The
  /// names in `host` are those of certificates and of the password file; they may be left out.
  std::string hostaddr;
  /// TCP port, or the number in a Unix socket's name. With several hosts also a text of ports
  /// separated by commas, one for each host.
  std::string port = "5432";
  /// Database name.
  std::string database;
  /// Role to log in as.
  std::string username;
  /// Password. Empty or left out: `PGPASSWORD`, then the password file as in libpq; trust, peer and
  /// certificate logins need none.
  std::string password;
  /// Password file instead of `PGPASSFILE` and `~/.pgpass`. As in libpq, nobody but its owner may
  /// be allowed to read it.
  std::string passfile;
  /// Command that a shell runs for each login; the first line that it writes is the password. For
  /// tokens that expire.
  std::string password_command;
  /// Schema of the table.
  std::string schema = "public";
  /// Target table. Always quoted: `a.b` is a table of that name, not table `b` of schema `a`.
  std::string table;
  /// Of a source instead of `table`: the tables that it reads through one slot. A comma list of
  /// patterns with `*` and `?` for `schema.table`; without a dot, for tables of `schema`.
  std::string tables;
  /// Patterns as in `tables` of tables that a source leaves out.
  std::string tables_exclude;
  /// Of a sink instead of `table`: where the rows of each table of a source go. `{schema}` and
  /// `{table}` are those of the source; without a dot, the name of a table in `schema`.
  std::string target_tables;
  /// Which kind of server to connect to if `host` names several: the first of this kind, as in
  /// libpq. A sink needs one that accepts writes.
  std::string target_session_attrs = "read-write";
  /// `random` tries the hosts in random order.
  std::string load_balance_hosts = "disable";
  /// What `pg_stat_activity` shows.
  std::string application_name;
  /// The trace that the sink's transactions belong to, as in W3C's header `traceparent`. It is
  /// shown as the application name, `pgsink/<traceparent>`, in `pg_stat_activity` and the server's
  /// log.
  std::string traceparent;
  /// Whether TLS is used and what is verified, as libpq's sslmode. Only `verify-full` protects
  /// against an impostor.
  std::string ssl_mode = "prefer";
  /// File of the client's certificate (PEM).
  std::string ssl_cert;
  /// File of the client's private key (PEM), readable by its owner only.
  std::string ssl_key;
  /// File of the certificate authorities that may sign the server's certificate (PEM).
  std::string ssl_root_cert;
  /// File of revoked certificates (PEM).
  std::string ssl_crl;
  /// Oldest TLS version that is accepted.
  std::string ssl_min_version = "TLSv1.2";
  /// `direct` starts TLS with the first byte (PostgreSQL 17 and later), which saves a round trip;
  /// needs `ssl_mode` `require` or stricter.
  std::string ssl_negotiation = "postgres";
  /// Ties the password proof to the TLS connection. `require` refuses every other login.
  std::string channel_binding = "prefer";
  /// Login methods that the server may ask for, separated by commas: `none`, `password`, `md5`,
  /// `scram-sha-256`; or, each with a `!` before it, those that it may not.
  std::string require_auth;
  /// SCRAM iterations that the server may ask for. Each login with a new password costs as much CPU
  /// time here; a million, some 0.4 s.
  int64_t scram_iterations_max = 10'000'000;
  /// Seconds without traffic before TCP probes the server; 0: the system's.
  int64_t keepalives_idle_s = 0;
  /// Seconds between unanswered TCP probes; 0: the system's.
  int64_t keepalives_interval_s = 0;
  /// Unanswered TCP probes before the connection counts as lost; 0: the system's.
  int64_t keepalives_count = 0;
  /// How long the server may be silent while an answer is due before a second connection asks
  /// whether it still works on it. If it does not, the connection counts as lost. 0: never.
  int64_t silence_timeout_ms = 60'000;
  /// How long sent bytes may stay unacknowledged before the connection counts as lost; 0: the
  /// system's.
  int64_t tcp_user_timeout_ms = 0;
  /// Longest wait for each host, including TLS and login, and longest wait for a connection of the
  /// pool to become free.
  int64_t connection_timeout_ms = 5000;
  /// The server ends a statement that takes longer; 0: never.
  std::optional<int64_t> statement_timeout_ms;
  /// The server ends a statement that waits longer for a lock; 0: never. With `use_2pc`, left out
  /// or 0 is 10000.
  std::optional<int64_t> lock_timeout_ms;

  // ---- What is written --------------------------------------------------------------------------
  /// What a row does to the table: insert, insert or update (`upsert`), update, delete, insert
  /// unless it exists (`insert_ignore`), or what its column `_op` says (`changelog`). What a batch
  /// means is what its rows do one by one. With `replace` the table holds the rows of this load and
  /// nothing else afterwards: all former rows are deleted in the one transaction that inserts them.
  WriteMode write_mode = WriteMode::kInsert;
  /// Columns of upsert's conflict target; a unique index on them must exist.
  std::vector<std::string> conflict_columns;
  /// Columns that are set if the row exists already.
  std::vector<std::string> update_columns;
  /// Columns by which update and delete find their row.
  std::vector<std::string> key_columns;
  /// Column that decides which row is newer: an update happens only if the incoming value is
  /// greater.
  std::string newer_by;
  /// Of an upsert: the rows are all that the table is to hold. Rows of the table whose key is not
  /// among them are deleted in the same transaction. As with `atomic`, there is one for all rows.
  bool delete_missing = false;
  /// What becomes of a value that its column can only hold rounded, such as 0.125 in
  /// `numeric(4,2)`: its row is rejected, or the column gets what an assignment in PostgreSQL would
  /// store.
  OnRounding on_rounding = OnRounding::kReject;
  /// Creates the table from the query's columns if it is missing, with `conflict_columns` or
  /// `key_columns` as its primary key.
  bool create_table = false;
  /// `add_columns` adds the columns that the query has and the table lacks, which is an error
  /// otherwise. `validate` requires the query to fill every column of the table that can be
  /// written.
  SchemaEvolution schema_evolution = SchemaEvolution::kNone;

  // ---- Batches, transactions and memory ---------------------------------------------------------
  /// Rows of a batch: how many a lane waits for before it sends them, unless `batch_timeout_ms` or
  /// `batch_bytes` comes first. A transaction may hold several batches (`transaction_size`).
  int64_t batch_size = 1000;
  /// The longest time in milliseconds that a row waits for others before it is sent.
  int64_t batch_timeout_ms = 1000;
  /// Bytes of rows at which a batch ends before it has `batch_size` rows. At most `buffer_bytes`;
  /// if only that is set, lowered to it.
  int64_t batch_bytes = 16 << 20;
  /// Rows of a batch when `use_copy = true`, instead of `batch_size`.
  int64_t copy_batch_size = 10000;
  /// Whether rows are sent by binary COPY. If not, they are sent as arrays in one statement. Left
  /// out: inserts of more than 1,000 rows or 1 MiB, and what exceeds 8 MiB in the other modes.
  /// Views and tables with rules for INSERT take no COPY in `write_mode = 'insert'`.
  std::optional<bool> use_copy;
  /// Rows of a transaction: a multiple or a fraction of a batch. Left out: a transaction takes the
  /// batches that wait while the server works on the one before, up to a quarter of
  /// `buffer_bytes`; with more than two lanes, up to a half divided by `parallelism`. After a
  /// failure the next ones are small and grow again.
  int64_t transaction_size = 0;
  /// Whether all rows are one transaction, which ends when the sink is flushed or closed, and a
  /// pipeline when its query does. Rows leave memory as soon as they are sent, so the load may have
  /// any size; and so nothing is sent twice: a failure ends the load, and nothing of it is
  /// committed.
  bool atomic = false;
  /// Bytes of rows that may be accepted and not durable yet; the producer waits while there are
  /// more. A larger batch is accepted alone.
  int64_t buffer_bytes = 64 << 20;
  /// Transactions of a lane that may be sent before the first is answered. A higher number helps
  /// with long round trips. Behind a pooler it is always one.
  int64_t in_flight_max = 16;
  /// Whether statements are prepared once for each connection. Writing by COPY prepares nothing, so
  /// both values do the same there. Behind a pooler statements have no name.
  bool use_prepared_statements = true;
  /// Prepared statements kept for each connection.
  int64_t statement_cache_size = 100;

  // ---- Transactions and delivery ----------------------------------------------------------------
  /// Isolation level of every transaction, also with a blank instead of `_`.
  IsolationLevel isolation_level = IsolationLevel::kReadCommitted;
  /// Ends every transaction with PREPARE TRANSACTION. All transactions of an epoch are committed
  /// together; flush(), the end of a pipeline or the host ends an epoch.
  bool use_2pc = false;
  /// Identifier of prepared transactions: a prefix that only this sink uses, and `${uuid}`.
  std::string prepared_transaction_id = "pgsink_${uuid}";
  /// `exactly_once` stores in the target database, in the transaction of the rows, how far each
  /// lane has come, with a fence against a second writer of the same `sink_id`.
  Delivery delivery = Delivery::kAtLeastOnce;
  /// With `exactly_once`: remembers a position for each stream of the input, so that many processes
  /// with one `sink_id` can write one table. A pipeline that reads Kafka sets it by itself.
  bool streams = false;
  /// Name by which the sink is known to its next process. `exactly_once` and `use_2pc` store their
  /// progress under it, so another load needs another name; without it they use the connection's
  /// name and the table. At least once, in modes other than insert: opening the sink terminates the
  /// sessions that a previous writer left.
  std::string sink_id;

  // ---- Connections and lanes --------------------------------------------------------------------
  /// Connections that all users of this connection name share: each sink takes one for each lane,
  /// and one more with `use_2pc`. If it is not set, it grows to what one sink needs.
  int64_t connection_pool_size = 4;
  /// An idle pooled connection is closed after this time; 0: never.
  int64_t idle_timeout_ms = 600000;
  /// Number of lanes: each writes at the same time, with a connection and an encoder of its own.
  int64_t parallelism = 1;
  /// Which lane a row takes: `hash(column, …)` or `round_robin`. Rows of one key keep their order
  /// only if they take the same lane.
  std::string partition_by;

  // ---- Partitions, triggers, foreign tables, replication ----------------------------------------
  /// Column by which the table is partitioned. It is compared with the catalog.
  std::string partition_column;
  /// Width of a created range: `hour`, `day`, `week` (from Monday), `month` or `year`, in UTC for
  /// timestamptz; or a number for integer columns, which require one. For `hash`, the number of
  /// partitions that a table without any gets, by default 8.
  std::string partition_interval;
  /// Template for the names of created partitions: `{table}`; for ranges `{start}` and `{end}`,
  /// optionally with a format of strftime(), in UTC for timestamptz; for lists `{value}`; for
  /// hashes `{remainder}` and `{modulus}`.
  std::string partition_name;
  /// How the table is partitioned. It is compared with the catalog.
  std::optional<PartitionType> partition_type;
  /// Creates a missing partition before its rows are written. Without it, a row that has no
  /// partition is rejected.
  bool create_partitions = false;
  /// How many rows of one transaction each of at least four partitions must get on average (a fifth
  /// of that for more than 32 partitions) for the rows to be copied straight into the partitions,
  /// where the result is the same as through the table. 0: always through the table.
  int64_t partition_copy_min_rows = 50'000;
  /// Disables the table's triggers for the sink's own transactions, including those of foreign
  /// keys, which are then not checked.
  bool disable_triggers = false;
  /// Which triggers fire: all as usual, only those enabled REPLICA or ALWAYS, or none. Unless
  /// `ALWAYS`, foreign keys are not checked either, and the role needs `GRANT SET ON PARAMETER
  /// session_replication_role`.
  FireTriggers fire_triggers = FireTriggers::kAlways;
  /// States that the table is a foreign table. The catalog knows that anyway; a contradiction is an
  /// error. Foreign tables take insert, update and delete.
  std::optional<bool> is_foreign_table;
  /// Logical slot (pgoutput), created if missing. It retains the changes of the publication for its
  /// reader, and with them the server's log: a slot that nobody reads fills the server's disk.
  std::string replication_slot;
  /// Publication of the table, created if missing; if it exists, the table is added to it. Needs
  /// wal_level = logical on the server.
  std::string publication;
  /// Marks the sink's transactions, so that replication in both directions does not loop: a
  /// subscription WITH (origin = none) leaves them out. Created if missing; the second lane has
  /// `NAME_2`, the third `NAME_3`, because one session at a time may use an origin.
  std::string replication_origin;
  /// A batch counts as durable only when the server has decoded it for `replication_slot`. The sink
  /// reads the slot only for that.
  bool confirm_slot = false;
  /// A source whose slot is missing yields the table's rows before its changes.
  bool snapshot = true;
  /// How many tables of a source with `tables` are copied at the same time, each over a connection
  /// of its own.
  int64_t snapshot_parallelism = 2;
  /// A source goes on although changes up to this position of the log are lost: the position that
  /// the error names. Later losses stop it again.
  std::string accept_gap_until;

  // ---- Roles and settings -----------------------------------------------------------------------
  /// Role of every transaction (`SET LOCAL ROLE`), also through a pooler.
  std::string set_role;
  /// Settings made in every transaction (`set_config(…, true)`), also through a pooler; they never
  /// outlive it.
  std::vector<std::pair<std::string, std::string>> session_variables;

  // ---- Failures and rejected rows ---------------------------------------------------------------
  /// How often a transaction that a transient failure rolled back is sent again, and how often a
  /// server is tried again when the connection is opened: if it is starting up or has no free
  /// connection, and, if this or `retry_timeout_ms` is given, if it cannot be reached.
  int64_t max_retries = 5;
  /// Upper limit in milliseconds of the wait before the first retry. It doubles with each further
  /// retry, up to a minute; each wait is a random part of it.
  int64_t retry_backoff_ms = 1000;
  /// How long a lane retries while nothing succeeds, even if some of `max_retries` are left. 0: no
  /// limit.
  int64_t retry_timeout_ms = 0;
  /// Failures that are retried, and no others: condition names, the short words `deadlock`,
  /// `serialization`, `connection`, `timeout`, classes (`40`), SQLSTATEs (`40001`).
  std::vector<std::string> retry_on_errors;
  /// Table in the target's schema that takes rejected rows, in the transaction of the good ones.
  /// Created if missing. Without this, `dead_letter_file` or a callback, a rejected row stops the
  /// sink, with nothing of its transaction committed.
  std::string dead_letter_table;
  /// File that takes rejected rows (gzip, one JSON object per line), on disk before the good ones
  /// commit. At 64 MiB it is renamed with a number after its name, and a new one begins.
  std::string dead_letter_file;
  /// How many rows may be rejected. One more stops the sink, with nothing of its transaction
  /// committed. 0: no limit.
  int64_t max_rejects = 0;
  /// The largest share of all rows so far that may be rejected; a higher share stops the sink, as
  /// with `max_rejects`. One rejected row is always allowed unless the ratio is 0.
  std::optional<double> max_reject_ratio;
  /// Takes rejected rows, in addition to table and file or instead of them. C++ only: scripts have
  /// no such option. See DeadLetterCallback.
  DeadLetterCallback on_dead_letters;
  /// Gives the password for each login, instead of `password`. Called in the thread that connects,
  /// with several lanes in several at once. C++ only.
  PasswordCallback on_password;
  /// Hears of it while open() waits for a server, and can end that. C++ only.
  ServerWaitCallback on_server_wait;
  /// Hears of every transaction, for traces. C++ only. See FlightCallback.
  FlightCallback on_flight;
  /// Hears what happens to the sink's connections, for a log. C++ only. See LogCallback.
  LogCallback on_log;
  /// Takes what is said on every connection, a line for each message: for looking for faults. C++
  /// only; the command has --trace.
  TraceCallback on_trace;
};

/// OptionType is the type of an option's value.
enum class OptionType : uint8_t { kText, kInteger, kDecimal, kBoolean, kChoice, kColumns, kMap };

/// OptionValue is the value right of `=` in CREATE CONNECTION, before it is checked.
struct OptionValue {
  enum class Kind : uint8_t { kText, kInteger, kDecimal, kBoolean, kMap };
  Kind kind = Kind::kText;  ///< How the value was written.
  std::string text{};  ///< Text without quotes; a number or boolean as written. Secrets filled in.
  /// The entries of a MAP, in the order as written.
  std::vector<std::pair<std::string, std::string>> map{};
};

/// OptionInfo is one row of the table of options.
struct OptionInfo {
  // Each member has an initializer, so that a row may leave it out.
  std::string_view key{};    ///< The key in lower case, which is also the member's name.
  std::string_view group{};  ///< The heading in the documentation; rows of a group are adjacent.
  OptionType type = OptionType::kText;
  std::string_view default_text{};  ///< The value that equals leaving the option out; "" for none.
  std::string_view unset{};         ///< What leaving it out means if no value says so.
  int64_t min = 0, max = 0;         ///< kInteger and kDecimal only; both ends are allowed.
  std::string_view choices{};  ///< kChoice only: "insert|upsert|…"; case, '_' or ' ' do not matter.
  std::string_view aliases{};  ///< Names in other programs, "user|login"; used to suggest the key.
  bool required = false;       ///< Required unless `url` or `service` is given.
  bool secret = false;         ///< The value is never shown.
  bool in_specification = false;  ///< Part of the specification; otherwise an extension ("+").
  bool replaced_by_url = false;   ///< Excludes `url`, which contains it.
  std::string_view meaning{};     ///< One sentence or two, for the documentation.
  std::string_view example{};     ///< The value as it would be written, quotes included.
  /// Stores a checked value. Fails with kOptionValue and a message that names the allowed values
  /// and never contains the value, which may come from a secret.
  Status (*store)(const OptionValue& value, const OptionInfo& info, SinkOptions& options) = nullptr;
  /// Whether the option differs from its default.
  bool (*is_set)(const SinkOptions& options) = nullptr;
};

/// option_table lists all options, in the order of the documentation. Valid forever.
std::span<const OptionInfo> option_table();
/// find_option returns the row of a key (lower case); null if unknown.
const OptionInfo* find_option(std::string_view key);
/// nearest_option returns the known key most similar to `key`, or the one that other programs call
/// so; "" if none is similar.
std::string_view nearest_option(std::string_view key);
/// option_documentation is the whole text of docs/reference/options.md.
std::string option_documentation();
/// option_json is the table for programs (`pgsink options --json`): an array of objects.
std::string option_json();

/// check_options checks what involves more than one option: required ones, contradictions (url with
/// host, use_2pc with a foreign table, …). It returns all faults, not only the first.
std::vector<Error> check_options(const SinkOptions& options);

/// is_traceparent says whether a text has the form of W3C's traceparent, which the option of that
/// name demands.
bool is_traceparent(std::string_view text);

/// stored_sink_id is the name under which the database remembers a sink with delivery exactly_once
/// or use_2pc: the option sink_id, else the connection's name and the table, or target_tables.
std::string stored_sink_id(const SinkOptions& options);

}  // namespace pgsink
