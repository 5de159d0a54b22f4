// The table of options: one row per option, in the order of the documentation. To add one: a member
// of SinkOptions with the meaning as its comment, a row here, and a newly generated
// `docs/reference/options.md` (the test options says how).

#include <array>
#include <iterator>

#include "pgsink/options/table_rows.h"

namespace pgsink {
namespace {

// ---- groups, and reasons why an option is refused -----------------------------------------------

constexpr std::string_view kServer = "The server and the table";
constexpr std::string_view kSecurity = "TLS and authentication";
constexpr std::string_view kTimes = "Time limits and keepalives";
constexpr std::string_view kWriting = "What is written";
constexpr std::string_view kAmounts = "How much at once";
constexpr std::string_view kTransactions = "Transactions and delivery";
constexpr std::string_view kSessions = "Roles and settings";
constexpr std::string_view kConnections = "Connections and lanes";
constexpr std::string_view kPartitions = "Partitions";
constexpr std::string_view kTriggers = "Triggers and foreign tables";
constexpr std::string_view kReplication = "Logical replication";
constexpr std::string_view kFailures = "Failures and rejected rows";

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kServerInt = 2'147'483'647;  // the server's settings are 32-bit integers

using O = SinkOptions;

// A row in few lines, so that the table can be overseen.
// clang-format off
constexpr OptionInfo kTable[] = {
    // ---- The server and the table
    text<&O::url>({.key = "url", .group = kServer, .aliases = "uri|dsn|conninfo|connection_string",
        .secret = true,
        .meaning = "A libpq URI or keyword/value string instead of `host`, `port`, `database`, "
                   "`username`, `password`, `target_session_attrs`, `load_balance_hosts` and the "
                   "TLS options.", .example = "'postgresql://user@localhost:5432/analytics'"}),
    text<&O::service>({.key = "service", .group = kServer, .aliases = "pgservice|service_name",
        .replaced_by_url = true,
        .meaning = "A service of libpq's service file (`PGSERVICEFILE`, `~/.pg_service.conf`, "
                   "`pg_service.conf` in `PGSYSCONFDIR`), which says what the other options leave "
                   "out.", .example = "'analytics'"}),
    read_by<&O::host, read_hosts>(OptionType::kText, {.key = "host", .group = kServer,
        .aliases = "hostname|server|hosts|address", .required = true,
        .in_specification = true, .replaced_by_url = true,
        .meaning = "Host name or address, a comma list of them to be tried in order, or a "
                   "directory (`/var/run/postgresql`) for a Unix socket.",
        .example = "'localhost'"}),
    text<&O::hostaddr>({.key = "hostaddr", .group = kServer,
        .aliases = "host_address|ip|ip_address", .replaced_by_url = true,
        .meaning = "Address to connect to, or a comma list with one for each of `host`: no name is "
                   "looked up. The names in `host` are those of certificates and of the password "
                   "file; they may be left out.", .example = "'192.0.2.7'"}),
    read_by<&O::port, read_ports>(OptionType::kInteger, {.key = "port", .group = kServer,
        .default_text = "5432", .min = 1, .max = 65535, .aliases = "ports",
        .in_specification = true, .replaced_by_url = true,
        .meaning = "TCP port, or the number in a Unix socket's name. With several hosts also a "
                   "text of ports separated by commas, one for each host.", .example = "5432"}),
    text<&O::database>({.key = "database", .group = kServer, .aliases = "dbname|db|database_name",
        .required = true, .in_specification = true, .replaced_by_url = true,
        .meaning = "Database name.", .example = "'analytics'"}),
    text<&O::username>({.key = "username", .group = kServer, .aliases = "user|login|user_name",
        .required = true, .in_specification = true, .replaced_by_url = true,
        .meaning = "Role to log in as.", .example = "'laminar'"}),
    text<&O::password>({.key = "password", .group = kServer,
        .unset = "`PGPASSWORD`, the password file, or none", .aliases = "passwd|pass|pwd|secret",
        .secret = true, .in_specification = true, .replaced_by_url = true,
        .meaning = "Password. Empty or left out: `PGPASSWORD`, then the password file as in libpq; "
                   "trust, peer and certificate logins need none.",
        .example = "'${secret:pg_password}'"}),
    text<&O::passfile>({.key = "passfile", .group = kServer,
        .unset = "`PGPASSFILE`, then `~/.pgpass`",
        .aliases = "pgpass|password_file|passwordfile", .replaced_by_url = true,
        .meaning = "Password file instead of `PGPASSFILE` and `~/.pgpass`. As in libpq, nobody but "
                   "its owner may be allowed to read it.", .example = "'/etc/pgsink/pgpass'"}),
    text<&O::password_command>({.key = "password_command", .group = kServer,
        .aliases = "password_cmd|passwordcommand|token_command",
        .meaning = "Command that a shell runs for each login; the first line that it writes is "
                   "the password. For tokens that expire.",
        .example = "'cat /run/token'"}),
    text<&O::table>({.key = "table", .group = kServer, .aliases = "table_name|relation|target",
        .required = true, .in_specification = true,
        .meaning = "Target table. Always quoted: `a.b` is a table of that name, not table `b` of "
                   "schema `a`.", .example = "'events'"}),
    text<&O::schema>({.key = "schema", .group = kServer, .default_text = "public",
        .aliases = "schema_name|namespace", .in_specification = true,
        .meaning = "Schema of the table.", .example = "'public'"}),
    text<&O::tables>({.key = "tables", .group = kServer,
        .aliases = "table_list|table_include_list|include_tables",
        .meaning = "Of a source instead of `table`: the tables that it reads through one slot. A "
                   "comma list of patterns with `*` and `?` for `schema.table`; without a dot, for "
                   "tables of `schema`.", .example = "'public.*'"}),
    text<&O::tables_exclude>({.key = "tables_exclude", .group = kServer,
        .aliases = "table_exclude_list|exclude_tables",
        .meaning = "Patterns as in `tables` of tables that a source leaves out.",
        .example = "'public.tmp_*'"}),
    text<&O::target_tables>({.key = "target_tables", .group = kServer,
        .aliases = "target_schema|table_mapping|destination_tables",
        .meaning = "Of a sink instead of `table`: where the rows of each table of a source go. "
                   "`{schema}` and `{table}` are those of the source; without a dot, the name of "
                   "a table in `schema`.", .example = "'{schema}.{table}'"}),
    choice<&O::type>({.key = "type", .group = kServer, .default_text = "sink",
        .choices = "sink|source", .aliases = "connection_type", .in_specification = true,
        .meaning = "Whether rows are written to the table or its changes are read.",
        .example = "'sink'"}),
    choice<&O::target_session_attrs>({.key = "target_session_attrs", .group = kServer,
        .default_text = "read-write",
        .choices = "any|read-write|read-only|primary|standby|prefer-standby",
        .replaced_by_url = true,
        .meaning = "Which kind of server to connect to if `host` names several: the first of this "
                   "kind, as in libpq. A sink needs one that accepts writes.",
        .example = "'primary'"}),
    choice<&O::load_balance_hosts>({.key = "load_balance_hosts", .group = kServer,
        .default_text = "disable", .choices = "disable|random", .aliases = "load_balance",
        .replaced_by_url = true,
        .meaning = "`random` tries the hosts in random order.", .example = "'random'"}),
    text<&O::application_name>({.key = "application_name", .group = kServer,
        .unset = "`pgsink/<connection>`",
        .aliases = "app_name|application|fallback_application_name",
        .meaning = "What `pg_stat_activity` shows.", .example = "'nightly load'"}),
    read_by<&O::traceparent, read_traceparent>(OptionType::kText, {.key = "traceparent",
        .group = kServer, .aliases = "trace_parent|trace|traceid|trace_id",
        .meaning = "The trace that the sink's transactions belong to, as in W3C's header "
                   "`traceparent`. It is shown as the application name, `pgsink/<traceparent>`, in "
                   "`pg_stat_activity` and the server's log.",
        .example = "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'"}),

    // ---- TLS and authentication
    choice<&O::ssl_mode>({.key = "ssl_mode", .group = kSecurity, .default_text = "prefer",
        .choices = "disable|allow|prefer|require|verify-ca|verify-full",
        .aliases = "ssl|sslmode|tls|tls_mode|use_ssl", .in_specification = true,
        .replaced_by_url = true,
        .meaning = "Whether TLS is used and what is verified, as libpq's sslmode. Only "
                   "`verify-full` protects against an impostor.", .example = "'verify-full'"}),
    text<&O::ssl_cert>({.key = "ssl_cert", .group = kSecurity,
        .aliases = "sslcert|client_cert|tls_cert", .in_specification = true,
        .replaced_by_url = true,
        .meaning = "File of the client's certificate (PEM).",
        .example = "'/certs/client-cert.pem'"}),
    text<&O::ssl_key>({.key = "ssl_key", .group = kSecurity, .aliases = "sslkey|client_key|tls_key",
        .in_specification = true, .replaced_by_url = true,
        .meaning = "File of the client's private key (PEM), readable by its owner only.",
        .example = "'/certs/client-key.pem'"}),
    text<&O::ssl_root_cert>({.key = "ssl_root_cert", .group = kSecurity,
        .aliases = "sslrootcert|ssl_ca|ca_cert|root_cert|tls_ca", .in_specification = true,
        .replaced_by_url = true,
        .meaning = "File of the certificate authorities that may sign the server's certificate "
                   "(PEM).",
        .example = "'/certs/ca-cert.pem'"}),
    text<&O::ssl_crl>({.key = "ssl_crl", .group = kSecurity, .aliases = "sslcrl|crl",
        .replaced_by_url = true,
        .meaning = "File of revoked certificates (PEM).", .example = "'/certs/root.crl'"}),
    choice<&O::ssl_min_version>({.key = "ssl_min_version", .group = kSecurity,
        .default_text = "TLSv1.2", .choices = "TLSv1|TLSv1.1|TLSv1.2|TLSv1.3",
        .aliases = "ssl_min_protocol_version|tls_min_version", .replaced_by_url = true,
        .meaning = "Oldest TLS version that is accepted.", .example = "'TLSv1.3'"}),
    choice<&O::ssl_negotiation>({.key = "ssl_negotiation", .group = kSecurity,
        .default_text = "postgres", .choices = "postgres|direct", .aliases = "sslnegotiation",
        .replaced_by_url = true,
        .meaning = "`direct` starts TLS with the first byte (PostgreSQL 17 and later), which saves "
                   "a round trip; needs `ssl_mode` `require` or stricter.", .example = "'direct'"}),
    choice<&O::channel_binding>({.key = "channel_binding", .group = kSecurity,
        .default_text = "prefer", .choices = "disable|prefer|require", .replaced_by_url = true,
        .meaning = "Ties the password proof to the TLS connection. `require` refuses every other "
                   "login.", .example = "'require'"}),
    read_by<&O::require_auth, read_require_auth>(OptionType::kText, {.key = "require_auth",
        .group = kSecurity, .unset = "any method", .aliases = "auth|auth_method",
        .replaced_by_url = true,
        .meaning = "Login methods that the server may ask for, separated by commas: `none`, "
                   "`password`, `md5`, `scram-sha-256`; or, each with a `!` before it, those that "
                   "it may not.",
        .example = "'scram-sha-256'"}),
    integer<&O::scram_iterations_max>({.key = "scram_iterations_max", .group = kSecurity,
        .default_text = "10000000", .min = 4096, .max = kServerInt,
        .aliases = "scram_iterations|max_scram_iterations",
        .meaning = "SCRAM iterations that the server may ask for. Each login with a new password "
                   "costs as much CPU time here; a million, some 0.4 s.", .example = "4096"}),

    // ---- Time limits and keepalives
    integer<&O::connection_timeout_ms>({.key = "connection_timeout_ms", .group = kTimes,
        .default_text = "5000", .min = 1, .max = kDayMs,
        .aliases = "connect_timeout|connect_timeout_ms|connection_timeout|timeout",
        .in_specification = true,
        .meaning = "Longest wait for each host, including TLS and login, and longest wait for a "
                   "connection of the pool to become free.",
        .example = "5000"}),
    integer<&O::statement_timeout_ms>({.key = "statement_timeout_ms", .group = kTimes,
        .unset = "the role's setting", .min = 0, .max = kServerInt,
        .aliases = "statement_timeout|query_timeout_ms",
        .meaning = "The server ends a statement that takes longer; 0: never.", .example = "60000"}),
    integer<&O::lock_timeout_ms>({.key = "lock_timeout_ms", .group = kTimes,
        .unset = "the role's setting", .min = 0, .max = kServerInt, .aliases = "lock_timeout",
        .meaning = "The server ends a statement that waits longer for a lock; 0: never. With "
                   "`use_2pc`, left out or 0 is 10000.",
        .example = "10000"}),
    integer<&O::keepalives_idle_s>({.key = "keepalives_idle_s", .group = kTimes,
        .default_text = "0", .min = 0, .max = 32767,
        .aliases = "keepalives_idle|keepalive_idle|keepalive_idle_s|keepalives",
        .meaning = "Seconds without traffic before TCP probes the server; 0: the system's.",
        .example = "30"}),
    integer<&O::keepalives_interval_s>({.key = "keepalives_interval_s", .group = kTimes,
        .default_text = "0", .min = 0, .max = 32767,
        .aliases = "keepalives_interval|keepalive_interval|keepalive_interval_s",
        .meaning = "Seconds between unanswered TCP probes; 0: the system's.", .example = "10"}),
    integer<&O::keepalives_count>({.key = "keepalives_count", .group = kTimes, .default_text = "0",
        .min = 0, .max = 127, .aliases = "keepalive_count",
        .meaning = "Unanswered TCP probes before the connection counts as lost; 0: the system's.",
        .example = "3"}),
    integer<&O::silence_timeout_ms>({.key = "silence_timeout_ms", .group = kTimes,
        .default_text = "60000", .min = 0, .max = kDayMs,
        .aliases = "silence_timeout|read_timeout_ms|socket_timeout_ms|socket_timeout",
        .meaning = "How long the server may be silent while an answer is due before a second "
                   "connection asks whether it still works on it. If it does not, the connection "
                   "counts as lost. 0: never.",
        .example = "60000"}),
    integer<&O::tcp_user_timeout_ms>({.key = "tcp_user_timeout_ms", .group = kTimes,
        .default_text = "0", .min = 0, .max = kServerInt, .aliases = "tcp_user_timeout",
        .meaning = "How long sent bytes may stay unacknowledged before the connection counts as "
                   "lost; 0: the system's.", .example = "30000"}),

    // ---- What is written
    choice<&O::write_mode>({.key = "write_mode", .group = kWriting, .default_text = "insert",
        .choices = "insert|upsert|update|delete|insert_ignore|changelog|replace",
        .aliases = "mode|insert_mode|operation", .in_specification = true,
        .meaning = "What a row does to the table: insert, insert or update (`upsert`), update, "
                   "delete, insert unless it exists (`insert_ignore`), or what its column `_op` "
                   "says (`changelog`). What [a batch means](../explanation/delivery.md"
                   "#what-a-batch-means) is what its rows do one by one. With `replace` the table "
                   "holds the rows of this load and nothing else afterwards: all former rows are "
                   "deleted in the one transaction that inserts them.",
        .example = "'insert'"}),
    columns<&O::conflict_columns>({.key = "conflict_columns", .group = kWriting,
        .unset = "the primary key",
        .aliases = "conflict_column|on_conflict|upsert_keys|unique_columns",
        .in_specification = true,
        .meaning = "Columns of upsert's conflict target; a unique index on them must exist.",
        .example = "'user_id'"}),
    columns<&O::update_columns>({.key = "update_columns", .group = kWriting,
        .unset = "all input columns that are not keys", .aliases = "set_columns",
        .in_specification = true,
        .meaning = "Columns that are set if the row exists already.",
        .example = "'last_seen,activity_count'"}),
    text<&O::newer_by>({.key = "newer_by", .group = kWriting, .aliases = "version_column",
        .meaning = "Column that decides which row is newer: an update happens only if the incoming "
                   "value is greater.", .example = "'updated_at'"}),
    boolean<&O::delete_missing>({.key = "delete_missing", .group = kWriting,
        .default_text = "false", .aliases = "full_snapshot",
        .meaning = "Of an upsert: the rows are all that the table is to hold. Rows of the table "
                   "whose key is not among them are deleted in the same transaction. As with "
                   "`atomic`, there is one for all rows.",
        .example = "true"}),
    choice<&O::on_rounding>({.key = "on_rounding", .group = kWriting, .default_text = "reject",
        .choices = "reject|round", .aliases = "rounding",
        .meaning = "What becomes of a value that its column can only hold rounded, such as 0.125 "
                   "in `numeric(4,2)`: its row is rejected, or the column gets what an assignment "
                   "in PostgreSQL would store.", .example = "'round'"}),
    columns<&O::key_columns>({.key = "key_columns", .group = kWriting, .unset = "the primary key",
        .aliases = "key_column|keys|key|primary_key|pk_columns", .in_specification = true,
        .meaning = "Columns by which update and delete find their row.",
        .example = "'product_id'"}),
    boolean<&O::create_table>({.key = "create_table", .group = kWriting, .default_text = "false",
        .aliases = "auto_create|create_if_missing",
        .meaning = "Creates the table from the query's columns if it is missing, with "
                   "`conflict_columns` or `key_columns` as its primary key.",
        .example = "true"}),
    choice<&O::schema_evolution>({.key = "schema_evolution", .group = kWriting,
        .default_text = "none", .choices = "none|validate|add_columns", .aliases = "auto_evolve",
        .meaning = "`add_columns` adds the columns that the query has and the table lacks, which "
                   "is an error otherwise. `validate` requires the query to fill every column of "
                   "the table that can be written.",
        .example = "'add_columns'"}),

    // ---- How much at once
    integer<&O::batch_size>({.key = "batch_size", .group = kAmounts, .default_text = "1000",
        .min = 1, .max = 10'000'000, .aliases = "max_batch_size|batch_rows|bulk_size",
        .in_specification = true,
        .meaning = "Rows of a batch: how many a lane waits for before it sends them, unless "
                   "`batch_timeout_ms` or `batch_bytes` comes first. A transaction may hold "
                   "several batches (`transaction_size`).",
        .example = "5000"}),
    integer<&O::batch_timeout_ms>({.key = "batch_timeout_ms", .group = kAmounts,
        .default_text = "1000", .min = 1, .max = kDayMs,
        .aliases = "batch_timeout|flush_interval|flush_interval_ms|linger_ms|batch_interval_ms",
        .in_specification = true,
        .meaning = "The longest time in milliseconds that a row waits for others before it is "
                   "sent.",
        .example = "1000"}),
    integer<&O::batch_bytes>({.key = "batch_bytes", .group = kAmounts, .default_text = "16777216",
        .min = 1024, .max = int64_t{1} << 30, .aliases = "max_batch_bytes|batch_size_bytes",
        .meaning = "Bytes of rows at which a batch ends before it has `batch_size` rows. At "
                   "most `buffer_bytes`; if only that is set, lowered to it.",
        .example = "4194304"}),
    boolean<&O::use_copy>({.key = "use_copy", .group = kAmounts,
        .unset = "whichever is faster for the mode and the batch size", .aliases = "copy|copy_mode",
        .in_specification = true,
        .meaning = "Whether rows are sent by binary COPY. If not, they are sent as arrays in one "
                   "statement. Left out: inserts of more than 1,000 rows or 1 MiB, and what "
                   "exceeds 8 MiB in the other modes. Views and tables with rules for INSERT take "
                   "no COPY in `write_mode = 'insert'`.",
        .example = "true"}),
    integer<&O::copy_batch_size>({.key = "copy_batch_size", .group = kAmounts,
        .default_text = "10000", .min = 1, .max = 100'000'000,
        .aliases = "copy_batch_rows|copy_size", .in_specification = true,
        .meaning = "Rows of a batch when `use_copy = true`, instead of `batch_size`.",
        .example = "10000"}),
    integer<&O::transaction_size>({.key = "transaction_size", .group = kAmounts,
        .unset = "all rows that wait", .min = 1, .max = 1'000'000'000,
        .aliases = "commit_size|commit_rows|rows_per_transaction", .in_specification = true,
        .meaning = "Rows of a transaction: a multiple or a fraction of a batch. Left out: a "
                   "transaction takes the batches that wait while the server works on the one "
                   "before, up to a quarter of `buffer_bytes`; with more than two lanes, up to a "
                   "half divided by `parallelism`. After a failure the next ones are small and "
                   "grow again.",
        .example = "100"}),
    boolean<&O::atomic>({.key = "atomic", .group = kAmounts, .default_text = "false",
        .aliases = "all_or_nothing|single_transaction|one_transaction",
        .meaning = "Whether all rows are one transaction, which ends when the sink is flushed or "
                   "closed, and a pipeline when its query does. Rows leave memory as soon as they "
                   "are sent, so the load may have any size; and so nothing is sent twice: a "
                   "failure ends the load, and nothing of it is committed.",
        .example = "true"}),
    integer<&O::buffer_bytes>({.key = "buffer_bytes", .group = kAmounts, .default_text = "67108864",
        .min = 65536, .max = int64_t{1} << 40, .aliases = "max_buffer_bytes|buffer_size",
        .meaning = "Bytes of rows that may be accepted and not durable yet; the producer waits "
                   "while there are more. A larger batch is accepted alone.",
        .example = "268435456"}),
    integer<&O::in_flight_max>({.key = "in_flight_max", .group = kAmounts, .default_text = "16",
        .min = 1, .max = 1024, .aliases = "max_in_flight|in_flight|window|pipeline_depth",
        .meaning = "Transactions of a lane that may be sent before the first is answered. A higher "
                   "number helps with long round trips. Behind a pooler it is always one.",
        .example = "4"}),
    boolean<&O::use_prepared_statements>({.key = "use_prepared_statements", .group = kAmounts,
        .default_text = "true", .aliases = "prepared_statements|prepare", .in_specification = true,
        .meaning = "Whether statements are prepared once for each connection. Writing by COPY "
                   "prepares nothing, so both values do the same there. Behind a pooler statements "
                   "have no name.",
        .example = "false"}),
    integer<&O::statement_cache_size>({.key = "statement_cache_size", .group = kAmounts,
        .default_text = "100", .min = 0, .max = 10'000,
        .aliases = "prepared_statement_cache_size|statement_cache", .in_specification = true,
        .meaning = "Prepared statements kept for each connection.", .example = "100"}),

    // ---- Transactions and delivery
    choice<&O::isolation_level>({.key = "isolation_level", .group = kTransactions,
        .default_text = "READ_COMMITTED",
        .choices = "READ_UNCOMMITTED|READ_COMMITTED|REPEATABLE_READ|SERIALIZABLE",
        .aliases = "isolation|transaction_isolation", .in_specification = true,
        .meaning = "Isolation level of every transaction, also with a blank instead of `_`.",
        .example = "'REPEATABLE READ'"}),
    choice<&O::delivery>({.key = "delivery", .group = kTransactions,
        .default_text = "at_least_once", .choices = "at_least_once|exactly_once",
        .aliases = "delivery_guarantee|semantics|delivery_mode",
        .meaning = "`exactly_once` stores in the target database, in the transaction of the rows, "
                   "how far each lane has come, with a fence against a second writer of the same "
                   "`sink_id`.",
        .example = "'exactly_once'"}),
    boolean<&O::streams>({.key = "streams", .group = kTransactions, .default_text = "false",
        .meaning = "With `exactly_once`: remembers a position for each [stream]"
                   "(../how-to/streams.md) of the input, so that many processes with one `sink_id` "
                   "can write one table. A pipeline that reads Kafka sets it by itself.",
        .example = "true"}),
    text<&O::sink_id>({.key = "sink_id", .group = kTransactions, .aliases = "writer_id|instance_id",
        .meaning = "Name by which the sink is known to its next process. `exactly_once` and "
                   "`use_2pc` store their progress under it, so another load needs another name; "
                   "without it they use the connection's name and the table. At least once, "
                   "in modes other than insert: opening the sink terminates the sessions that a "
                   "previous writer left.",
        .example = "'events-1'"}),
    boolean<&O::use_2pc>({.key = "use_2pc", .group = kTransactions, .default_text = "false",
        .aliases = "two_phase_commit|use_two_phase_commit|xa", .in_specification = true,
        .meaning = "Ends every transaction with PREPARE TRANSACTION. All transactions of an epoch "
                   "are committed together; flush(), the end of a pipeline or the host ends an "
                   "epoch.",
        .example = "true"}),
    read_by<&O::prepared_transaction_id, read_transaction_id>(OptionType::kText,
        {.key = "prepared_transaction_id",
        .group = kTransactions, .default_text = "pgsink_${uuid}", .aliases = "transaction_id|gid",
        .in_specification = true,
        .meaning = "Identifier of prepared transactions: a prefix that only this sink uses, and "
                   "`${uuid}`.",
        .example = "'laminar_${uuid}'"}),

    // ---- Roles and settings
    text<&O::set_role>({.key = "set_role", .group = kSessions, .aliases = "role|run_as",
        .in_specification = true,
        .meaning = "Role of every transaction (`SET LOCAL ROLE`), also through a pooler.",
        .example = "'data_writer'"}),
    read_by<&O::session_variables, read_settings>(OptionType::kMap, {.key = "session_variables",
        .group = kSessions, .aliases = "variables|settings|session_settings|options",
        .in_specification = true,
        .meaning = "Settings made in every transaction (`set_config(…, true)`), also through a "
                   "pooler; they never outlive it.",
        .example = "MAP { 'app.current_tenant': 'tenant_123' }"}),

    // ---- Connections and lanes
    integer<&O::connection_pool_size>({.key = "connection_pool_size", .group = kConnections,
        .default_text = "4", .min = 1, .max = 1000,
        .aliases = "pool_size|max_connections|max_pool_size", .in_specification = true,
        .meaning = "Connections that all users of this connection name share: each sink takes one "
                   "for each lane, and one more with `use_2pc`. If it is not set, it grows to what "
                   "one sink needs.",
        .example = "20"}),
    integer<&O::idle_timeout_ms>({.key = "idle_timeout_ms", .group = kConnections,
        .default_text = "600000", .min = 0, .max = kServerInt, .aliases = "idle_timeout",
        .in_specification = true,
        .meaning = "An idle pooled connection is closed after this time; 0: never.",
        .example = "600000"}),
    integer<&O::parallelism>({.key = "parallelism", .group = kConnections, .default_text = "1",
        .min = 1, .max = 256, .aliases = "threads|workers|writers|concurrency",
        .in_specification = true,
        .meaning = "Number of lanes: each writes at the same time, with a connection and an "
                   "encoder of its own.",
        .example = "10"}),
    read_by<&O::partition_by, read_partition_by>(OptionType::kText, {.key = "partition_by",
        .group = kConnections, .unset = "`round_robin`, or the key columns",
        .aliases = "distribute_by|shard_by", .in_specification = true,
        .meaning = "Which lane a row takes: `hash(column, …)` or `round_robin`. Rows of one key "
                   "keep their order only if they take the same lane.",
        .example = "'hash(id)'"}),

    // ---- Partitions
    text<&O::partition_column>({.key = "partition_column", .group = kPartitions,
        .aliases = "partition_key", .in_specification = true,
        .meaning = "Column by which the table is partitioned. It is compared with the catalog.",
        .example = "'created_at'"}),
    choice<&O::partition_type>({.key = "partition_type", .group = kPartitions,
        .choices = "range|list|hash", .aliases = "partition_method", .in_specification = true,
        .meaning = "How the table is partitioned. It is compared with the catalog.",
        .example = "'range'"}),
    boolean<&O::create_partitions>({.key = "create_partitions", .group = kPartitions,
        .default_text = "false", .aliases = "auto_partition|auto_create_partitions",
        .in_specification = true,
        .meaning = "Creates a missing partition before its rows are written. Without it, a row "
                   "that has no partition is rejected.",
        .example = "true"}),
    read_by<&O::partition_interval, read_partition_interval>(OptionType::kText,
        {.key = "partition_interval",
        .group = kPartitions, .unset = "`day`",
        .meaning = "Width of a created range: `hour`, `day`, `week` (from Monday), `month` or "
                   "`year`, in UTC for timestamptz; or a number for integer columns, which require "
                   "one. For `hash`, the number of partitions that a table without any gets, by "
                   "default 8.",
        .example = "'month'"}),
    text<&O::partition_name>({.key = "partition_name", .group = kPartitions,
        .unset = "`{table}_{start}`, `{table}_{value}` or `{table}_{remainder}`",
        .aliases = "partition_template",
        .meaning = "Template for the names of created partitions: `{table}`; for ranges `{start}` "
                   "and `{end}`, optionally with a format of strftime(), in UTC for timestamptz; "
                   "for lists `{value}`; for hashes `{remainder}` and `{modulus}`.",
        .example = "'{table}_{start:%Y%m%d}'"}),
    integer<&O::partition_copy_min_rows>({.key = "partition_copy_min_rows", .group = kPartitions,
        .default_text = "50000", .min = 0, .max = kServerInt,
        .aliases = "leaf_routing|route_to_partitions",
        .meaning = "How many rows of one transaction each of at least four partitions must get on "
                   "average (a fifth of that for more than 32 partitions) for the rows to be "
                   "copied straight into the partitions, where the result is the same as through "
                   "the table. 0: always through the table.",
        .example = "0"}),

    // ---- Triggers and foreign tables
    boolean<&O::disable_triggers>({.key = "disable_triggers", .group = kTriggers,
        .default_text = "false", .aliases = "no_triggers", .in_specification = true,
        .meaning = "Disables the table's triggers for the sink's own transactions, including those "
                   "of foreign keys, which are then not checked.",
        .example = "true"}),
    choice<&O::fire_triggers>({.key = "fire_triggers", .group = kTriggers, .default_text = "ALWAYS",
        .choices = "ALWAYS|REPLICA|DISABLED", .aliases = "triggers|session_replication_role",
        .in_specification = true,
        .meaning = "Which triggers fire: all as usual, only those enabled REPLICA or ALWAYS, or "
                   "none. Unless `ALWAYS`, foreign keys are not checked either, and the role "
                   "needs `GRANT SET ON PARAMETER session_replication_role`.",
        .example = "'REPLICA'"}),
    boolean<&O::is_foreign_table>({.key = "is_foreign_table", .group = kTriggers,
        .unset = "read from the catalog", .aliases = "foreign_table", .in_specification = true,
        .meaning = "States that the table is a foreign table. The catalog knows that anyway; a "
                   "contradiction is an error. Foreign tables take insert, update and delete.",
        .example = "true"}),

    // ---- Logical replication
    text<&O::replication_slot>({.key = "replication_slot", .group = kReplication,
        .aliases = "slot|slot_name", .in_specification = true,
        .meaning = "Logical slot (pgoutput), created if missing. It retains the changes of the "
                   "publication for its reader, and with them the server's log: a slot that nobody "
                   "reads fills the server's disk.",
        .example = "'laminar_slot'"}),
    text<&O::publication>({.key = "publication", .group = kReplication,
        .aliases = "publication_name", .in_specification = true,
        .meaning = "Publication of the table, created if missing; if it exists, the table is added "
                   "to it. Needs wal_level = logical on the server.", .example = "'laminar_pub'"}),
    text<&O::replication_origin>({.key = "replication_origin", .group = kReplication,
        .aliases = "origin",
        .meaning = "Marks the sink's transactions, so that replication in both directions does not "
                   "loop: a subscription WITH (origin = none) leaves them out. Created if missing; "
                   "the second lane has `NAME_2`, the third `NAME_3`, because one session at a "
                   "time may use an origin.", .example = "'pgsink'"}),
    boolean<&O::confirm_slot>({.key = "confirm_slot", .group = kReplication,
        .default_text = "false", .aliases = "confirm_by_slot|wait_for_slot",
        .meaning = "A batch counts as durable only when the server has decoded it for "
                   "`replication_slot`. The sink reads the slot only for that.",
        .example = "true"}),
    boolean<&O::snapshot>({.key = "snapshot", .group = kReplication, .default_text = "true",
        .aliases = "initial_snapshot|copy_data",
        .meaning = "A source whose slot is missing yields the table's rows before its changes.",
        .example = "false"}),
    integer<&O::snapshot_parallelism>({.key = "snapshot_parallelism", .group = kReplication,
        .default_text = "2", .min = 1, .max = 64, .aliases = "snapshot_threads|copy_workers",
        .meaning = "How many tables of a source with `tables` are copied at the same time, each "
                   "over a connection of its own.", .example = "4"}),
    read_by<&O::accept_gap_until, read_position>(OptionType::kText, {.key = "accept_gap_until",
        .group = kReplication, .aliases = "accept_gap|accept_loss_until",
        .meaning = "A source goes on although changes up to this position of the log are lost: "
                   "the position that the error names. Later losses stop it again.",
        .example = "'16/B374D848'"}),

    // ---- Failures and rejected rows
    integer<&O::max_retries>({.key = "max_retries", .group = kFailures, .default_text = "5",
        .min = 0, .max = 1'000'000, .aliases = "retries|retry_count|max_attempts|retry_max",
        .in_specification = true,
        .meaning = "How often a transaction that a transient failure rolled back is sent again, "
                   "and how often a server is tried again when the connection is opened: if it is "
                   "starting up or has no free connection, and, if this or `retry_timeout_ms` is "
                   "given, if it cannot be reached.",
        .example = "5"}),
    integer<&O::retry_backoff_ms>({.key = "retry_backoff_ms", .group = kFailures,
        .default_text = "1000", .min = 1, .max = 3'600'000,
        .aliases = "retry_backoff|backoff_ms|retry_delay_ms|retry_interval_ms",
        .in_specification = true,
        .meaning = "Upper limit in milliseconds of the wait before the first retry. It doubles "
                   "with each further retry, up to a minute; each wait is a random part of it.",
        .example = "1000"}),
    integer<&O::retry_timeout_ms>({.key = "retry_timeout_ms", .group = kFailures,
        .default_text = "0", .min = 0, .max = 30 * kDayMs,
        .aliases = "retry_deadline_ms|max_retry_time_ms",
        .meaning = "How long a lane retries while nothing succeeds, even if some of `max_retries` "
                   "are left. 0: no limit.",
        .example = "600000"}),
    read_by<&O::retry_on_errors, read_conditions>(OptionType::kText, {.key = "retry_on_errors",
        .group = kFailures, .unset = "transient failures", .aliases = "retry_on|retryable_errors",
        .in_specification = true,
        .meaning = "Failures that are retried, and no others: condition names, the short words "
                   "`deadlock`, `serialization`, `connection`, `timeout`, classes (`40`), "
                   "SQLSTATEs (`40001`).",
        .example = "'connection_failure,deadlock'"}),
    text<&O::dead_letter_table>({.key = "dead_letter_table", .group = kFailures,
        .aliases = "dlq_table|error_table|dlq",
        .meaning = "Table in the target's schema that takes rejected rows, in the transaction of "
                   "the good ones. Created if missing. Without this, `dead_letter_file` or a "
                   "callback, a rejected row stops the sink, with nothing of its transaction "
                   "committed.",
        .example = "'events_rejected'"}),
    text<&O::dead_letter_file>({.key = "dead_letter_file", .group = kFailures,
        .aliases = "dlq_file|reject_file",
        .meaning = "File that takes rejected rows (gzip, one JSON object per line), on disk before "
                   "the good ones commit. At 64 MiB it is renamed with a number after its name, "
                   "and a new one begins.",
        .example = "'rejected.ndjson.gz'"}),
    integer<&O::max_rejects>({.key = "max_rejects", .group = kFailures, .default_text = "0",
        .min = 0, .max = 1'000'000'000'000, .aliases = "max_errors|reject_limit",
        .meaning = "How many rows may be rejected. One more stops the sink, with nothing of its "
                   "transaction committed. 0: no limit.",
        .example = "100"}),
    read_by<&O::max_reject_ratio, read_decimal>(OptionType::kDecimal, {.key = "max_reject_ratio",
        .group = kFailures, .min = 0, .max = 1, .aliases = "max_error_ratio",
        .meaning = "The largest share of all rows so far that may be rejected; a higher share "
                   "stops the sink, as with `max_rejects`. One rejected row is always allowed "
                   "unless the ratio is 0.",
        .example = "0.01"}),
};
// clang-format on

}  // namespace

std::span<const OptionInfo> option_table() { return kTable; }

}  // namespace pgsink
