#include "pgsink/options/rules.h"

#include <algorithm>
#include <array>

#include <pgsink/options.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/options/names.h"
#include "pgsink/options/option_checks.h"
#include "pgsink/options/retry.h"
#include "pgsink/options/table_patterns.h"
#include "pgsink/options/values.h"

namespace pgsink {

bool takes_dead_letters(const SinkOptions& options) {
  return !options.dead_letter_table.empty() || !options.dead_letter_file.empty() ||
         options.on_dead_letters;
}

std::string_view why_atomic(const SinkOptions& options) {
  if (options.write_mode == WriteMode::kReplace) return "write_mode = 'replace'";
  if (options.delete_missing) return "delete_missing = true";
  return options.atomic ? "atomic = true" : "";
}

bool only_inserts(WriteMode mode) {
  return mode == WriteMode::kInsert || mode == WriteMode::kReplace;
}

bool switches_triggers(const SinkOptions& options) {
  return options.disable_triggers || options.fire_triggers != FireTriggers::kAlways;
}

size_t sink_connections(const SinkOptions& options) {
  return static_cast<size_t>(options.parallelism) + (options.use_2pc ? 1 : 0);
}

size_t pool_size(const SinkOptions& options) {
  const auto size = static_cast<size_t>(options.connection_pool_size);
  const bool by_default = options.connection_pool_size == SinkOptions{}.connection_pool_size;
  return by_default ? std::max(size, sink_connections(options)) : size;
}

const OptionInfo* find_option(std::string_view key) {
  for (const OptionInfo& info : option_table()) {
    if (info.key == key) return &info;
  }
  return nullptr;
}

std::string_view nearest_option(std::string_view key) {
  // Such a short word is one edit away from anything: then only known aliases count.
  constexpr size_t kGuessedBytesMin = 3;
  std::vector<std::string_view> words;
  std::vector<std::string_view> meanings;
  for (const OptionInfo& info : option_table()) {
    words.push_back(info.key);
    meanings.push_back(info.key);
  }
  for (const OptionInfo& info : option_table()) {
    for (const std::string_view alias : option_aliases(info)) {
      words.push_back(alias);
      meanings.push_back(info.key);
    }
  }
  const std::string_view nearest = nearest_name(key, words);
  const bool guessed = !equal_without_case(nearest, key);
  if (nearest.empty() || (guessed && key.size() < kGuessedBytesMin)) return "";
  const auto at = std::ranges::find(words, nearest) - words.begin();
  return meanings[static_cast<size_t>(at)];
}

namespace {

constexpr size_t kNameBytesMax = 63;  // Source: NAMEDATALEN of the server

class Faults {
 public:
  Faults(const SinkOptions& options, const std::function<bool(std::string_view)>& given)
      : options_(options), given_(given) {}

  std::vector<OptionFault> find() {
    missing();
    names();
    passwords();
    traces();
    beside_url();
    modes();
    amounts();
    transactions();
    partitions_and_triggers();
    replication();
    many_tables();
    servers();
    failures();
    return std::move(faults_);
  }

 private:
  void add(Errc code, std::string message, std::string_view key, std::string_view other = "") {
    OptionFault fault;
    fault.error.code = code;
    fault.error.message = std::move(message);
    fault.key = key;
    fault.other = other;
    faults_.push_back(std::move(fault));
  }
  /// Reports a contradiction if `wrong`.
  void conflict_if(bool wrong, std::string_view key, std::string_view other, std::string message) {
    if (wrong) add(Errc::kOptionConflict, std::move(message), key, other);
  }
  /// `key` requires `condition`, which `other` describes.
  void needs(std::string_view key, bool condition, std::string_view other, std::string_view what) {
    conflict_if(is_set(key) && !condition, key, other,
                std::string(key) + " has no effect without " + std::string(what) +
                    ": set that, or leave " + std::string(key) + " out");
  }
  bool is_set(std::string_view key) const { return find_option(key)->is_set(options_); }

  /// Statements would name what the server makes of a longer one, and messages and what is kept
  /// in the database the longer one.
  void names() {
    const std::pair<std::string_view, const std::string&> given[] = {
        {"schema", options_.schema},
        {"table", options_.table},
        {"dead_letter_table", options_.dead_letter_table},
        {"publication", options_.publication},
        {"set_role", options_.set_role},
    };
    for (const auto& [key, name] : given) {
      if (name.size() <= kNameBytesMax) continue;
      add(Errc::kOptionValue,
          std::string(key) + " is " + std::to_string(name.size()) +
              " bytes long. PostgreSQL names have at most " + std::to_string(kNameBytesMax) +
              " bytes, and the server has cut a longer one: give the name as the server shows it",
          key);
    }
  }

  void missing() {
    for (const OptionInfo& info : option_table()) {
      const bool in_url =
          info.replaced_by_url && (!options_.url.empty() || !options_.service.empty());
      if (info.key == "host" && is_set("hostaddr")) continue;
      const bool by_many = info.key == "table" && (is_set("tables") || is_set("target_tables"));
      if (!info.required || in_url || by_many || is_set(info.key)) continue;
      add(Errc::kMissingOption,
          "the option " + std::string(info.key) + " is missing, for example " +
              std::string(info.key) + " = " + std::string(info.example),
          info.key);
    }
    if (options_.schema.empty()) {
      add(Errc::kOptionValue, "schema takes the name of a schema, for example 'public'", "schema");
    }
  }

  void traces() {
    conflict_if(
        is_set("traceparent") && is_set("application_name"), "traceparent", "application_name",
        "traceparent and application_name exclude each other: the server shows the trace as "
        "the application name");
  }

  void passwords() {
    conflict_if(is_set("password_command") && is_set("password"), "password_command", "password",
                "password_command and password exclude each other: give one of them");
  }

  void beside_url() {
    if (options_.url.empty()) return;
    for (const OptionInfo& info : option_table()) {
      conflict_if(info.replaced_by_url && given_(info.key), info.key, "url",
                  std::string(info.key) + " and url exclude each other: put it into the url");
    }
    const auto parsed = parse_conninfo(options_.url);
    if (!parsed) return add(parsed.error().code, "url: " + parsed.error().message, "url");
    const TargetSessionAttrs wanted = parsed->target_session_attrs;
    const bool never_writes = wanted == TargetSessionAttrs::kReadOnly ||
                              wanted == TargetSessionAttrs::kStandby ||
                              wanted == TargetSessionAttrs::kPreferStandby;
    conflict_if(never_writes && options_.type == ConnectionType::kSink, "url", "type",
                "url: a sink needs a server that accepts writes: use "
                "target_session_attrs=read-write or primary");
  }

  void modes() {
    const WriteMode mode = options_.write_mode;
    const bool upsert = mode == WriteMode::kUpsert || mode == WriteMode::kChangelog;
    const bool keyed =
        mode == WriteMode::kUpdate || mode == WriteMode::kDelete || mode == WriteMode::kChangelog;
    needs("conflict_columns", upsert || mode == WriteMode::kInsertIgnore, "write_mode",
          "write_mode = 'upsert', 'insert_ignore' or 'changelog'");
    needs("update_columns", upsert, "write_mode", "write_mode = 'upsert' or 'changelog'");
    needs("newer_by", mode == WriteMode::kUpsert, "write_mode", "write_mode = 'upsert'");
    needs("delete_missing", mode == WriteMode::kUpsert, "write_mode", "write_mode = 'upsert'");
    conflict_if(options_.delete_missing && takes_dead_letters(options_), "delete_missing",
                "dead_letter_table",
                "delete_missing = true and dead letters exclude each other: the row of the table "
                "with the key of a rejected row would count as missing, and be deleted: leave one "
                "out");
    needs("key_columns", keyed, "write_mode", "write_mode = 'update', 'delete' or 'changelog'");
    const bool foreign = options_.is_foreign_table.value_or(false);
    conflict_if(foreign && (upsert || mode == WriteMode::kInsertIgnore), "write_mode",
                "is_foreign_table",
                "foreign tables do not support ON CONFLICT; use 'insert' or 'update'");
  }

  void amounts() {
    conflict_if(options_.batch_bytes > options_.buffer_bytes, "batch_bytes", "buffer_bytes",
                "batch_bytes (" + std::to_string(options_.batch_bytes) +
                    ") exceeds buffer_bytes (" + std::to_string(options_.buffer_bytes) + ")");
    needs("copy_batch_size", options_.use_copy.value_or(true), "use_copy", "use_copy = true");
    const size_t needed = sink_connections(options_);
    conflict_if(given_("connection_pool_size") && options_.type == ConnectionType::kSink &&
                    static_cast<size_t>(options_.connection_pool_size) < needed,
                "connection_pool_size", "parallelism",
                "connection_pool_size = " + std::to_string(options_.connection_pool_size) +
                    " is less than the " + std::to_string(needed) +
                    " connections that parallelism = " + std::to_string(options_.parallelism) +
                    (options_.use_2pc ? " with use_2pc" : "") +
                    " needs: raise it, or leave it out");
  }

  void transactions() {
    needs("prepared_transaction_id", options_.use_2pc, "use_2pc", "use_2pc = true");
    const bool exactly_once = options_.delivery == Delivery::kExactlyOnce;
    needs("sink_id", exactly_once || options_.use_2pc || !only_inserts(options_.write_mode),
          "delivery", "delivery = 'exactly_once', use_2pc = true or a write_mode with keys");
    conflict_if(options_.use_2pc && exactly_once, "use_2pc", "delivery",
                "use_2pc and delivery = 'exactly_once' exclude each other: choose use_2pc if all "
                "lanes must commit together or the host decides, else exactly_once");
    needs("streams", exactly_once, "delivery", "delivery = 'exactly_once'");
    conflict_if(options_.streams && !options_.partition_by.empty(), "partition_by", "streams",
                "streams = true: all rows of a stream take one lane, so that their order is kept: "
                "leave partition_by out");
    atomic();
    conflict_if(exactly_once && options_.is_foreign_table.value_or(false), "delivery",
                "is_foreign_table",
                "delivery = 'exactly_once' does not work for a foreign table: its rows do not "
                "commit together with the progress that is stored on this server: leave delivery "
                "out");
    conflict_if(options_.use_2pc && options_.is_foreign_table.value_or(false), "use_2pc",
                "is_foreign_table", "a transaction that wrote a foreign table cannot be prepared");
  }

  /// One transaction of rows that nobody keeps: what needs several, or rows once more, is refused.
  void atomic() {
    const std::string what(why_atomic(options_));
    if (what.empty()) return;
    const std::string_view by = std::string_view(what).substr(0, what.find(' '));
    const auto refuse_if = [&](bool wrong, std::string_view key, std::string_view why) {
      conflict_if(wrong, by, key, what + " and " + std::string(why));
    };
    refuse_if(options_.transaction_size > 0, "transaction_size",
              "transaction_size contradict each other: leave one out");
    refuse_if(options_.parallelism > 1, "parallelism",
              "parallelism > 1 exclude each other: each lane has a transaction of its own");
    refuse_if(options_.use_2pc, "use_2pc",
              "use_2pc exclude each other: use_2pc keeps rows in memory until their transaction is "
              "prepared, and a load of one transaction does not keep them: leave one out");
    refuse_if(options_.delivery == Delivery::kExactlyOnce, "delivery",
              "delivery = 'exactly_once' exclude each other: such a load is one transaction, so "
              "it has no position from which a later run could continue: leave delivery out");
    refuse_if(options_.use_copy == false, "use_copy",
              "use_copy = false exclude each other: without COPY all rows of a transaction must be "
              "in memory before they are sent: leave use_copy out");
    refuse_if(
        options_.create_partitions, "create_partitions",
        "create_partitions exclude each other: the partitions of a transaction are made before "
        "its rows are sent; make them in advance");
  }

  void partitions_and_triggers() {
    needs("partition_type", !options_.partition_column.empty(), "partition_column",
          "partition_column");
    const bool described = !options_.partition_column.empty() && options_.partition_type;
    needs("create_partitions", described, "partition_column",
          "partition_column and partition_type");
    needs("partition_interval",
          options_.create_partitions && options_.partition_type != PartitionType::kList,
          "create_partitions", "create_partitions = true and partition_type = 'range' or 'hash'");
    needs("partition_name", options_.create_partitions, "create_partitions",
          "create_partitions = true");
    conflict_if(options_.disable_triggers && options_.fire_triggers == FireTriggers::kReplica,
                "disable_triggers", "fire_triggers",
                "disable_triggers = true and fire_triggers = 'REPLICA' contradict each other");
  }

  void replication() {
    const bool slot = !options_.replication_slot.empty();
    needs("confirm_slot", slot, "replication_slot", "replication_slot");
    conflict_if(options_.confirm_slot && options_.use_2pc, "confirm_slot", "use_2pc",
                "confirm_slot waits for commits, and with use_2pc they come when the host or the "
                "epoch decides: leave one of them out");
    conflict_if(options_.confirm_slot && options_.type == ConnectionType::kSource, "confirm_slot",
                "type", "confirm_slot works for sinks only: leave it out with type = 'source'");
    conflict_if(
        slot && options_.publication.empty(), "replication_slot", "publication",
        "replication_slot needs publication: the slot shows the changes of that publication");
    slot_name();
    source_options();
    const bool source = options_.type == ConnectionType::kSource;
    conflict_if(source && !options_.replication_origin.empty(), "replication_origin", "type",
                "replication_origin works for sinks only: leave it out with type = 'source'");
    needs("snapshot", options_.type == ConnectionType::kSource, "type", "type = 'source'");
  }

  /// One connection for the tables of a whole database.
  void many_tables() {
    const bool source = options_.type == ConnectionType::kSource;
    const bool reads = is_set("tables"), writes = is_set("target_tables");
    needs("tables", source, "type", "type = 'source'");
    needs("tables_exclude", reads, "tables", "tables");
    needs("snapshot_parallelism", reads, "tables", "tables");
    needs("target_tables", !source, "type", "type = 'sink'");
    for (const std::string_view key : {"tables", "target_tables"}) {
      conflict_if(is_set(key) && is_set("table"), key, "table",
                  std::string(key) + " and table exclude each other: give one of them");
    }
    for (const std::string_view key : {"tables", "tables_exclude"}) {
      const std::string& patterns = key == "tables" ? options_.tables : options_.tables_exclude;
      if (const auto read = TablePatterns::read(patterns, options_.schema); !read) {
        add(read.error().code, std::string(key) + ": " + read.error().message, key);
      }
    }
    if (!writes) return;
    if (const auto target = target_of({"s", "t"}, options_); !target) {
      add(target.error().code, target.error().message, "target_tables");
    }
    conflict_if(options_.write_mode != WriteMode::kChangelog, "target_tables", "write_mode",
                "target_tables takes the changes of a source: set write_mode = 'changelog'");
    for (const std::string_view key :
         {"conflict_columns", "update_columns", "key_columns", "use_2pc", "streams", "confirm_slot",
          "partition_by", "partition_column", "publication", "replication_origin",
          "dead_letter_file"}) {
      conflict_if(is_set(key), key, "target_tables",
                  std::string(key) + " is for one table and target_tables for many: leave one out");
    }
  }

  void source_options() {
    if (options_.type != ConnectionType::kSource) return;
    for (const std::string_view key : {"publication", "replication_slot"}) {
      if (is_set(key)) continue;
      add(Errc::kMissingOption,
          "type = 'source' needs " + std::string(key) + ", for example " + std::string(key) +
              " = " + std::string(find_option(key)->example),
          key);
    }
    constexpr size_t kSourceNameBytesMax = 54;  // "_snapshot" is appended during the snapshot
    if (options_.replication_slot.size() > kSourceNameBytesMax) {
      add(Errc::kOptionValue, "replication_slot of a source takes a name of up to 54 characters",
          "replication_slot");
    }
  }
  /// The server's rule, which it would report only at the first connection.
  void slot_name() {
    constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789_";
    const std::string& slot = options_.replication_slot;
    if (slot.size() > kNameBytesMax || slot.find_first_not_of(kAllowed) != std::string::npos) {
      add(Errc::kOptionValue,
          "replication_slot takes a name of up to 63 lower case letters, digits and underscores",
          "replication_slot");
    }
  }

  void servers() {
    const std::string& attributes = options_.target_session_attrs;
    const bool never_writes =
        attributes == "read-only" || attributes == "standby" || attributes == "prefer-standby";
    conflict_if(never_writes && options_.type == ConnectionType::kSink, "target_session_attrs",
                "type", "a sink needs a server that accepts writes: use 'read-write' or 'primary'");
    const std::string& ssl = options_.ssl_mode;
    const bool sure_tls = ssl == "require" || ssl == "verify-ca" || ssl == "verify-full";
    conflict_if(options_.ssl_negotiation == "direct" && !sure_tls && options_.url.empty(),
                "ssl_negotiation", "ssl_mode",
                "ssl_negotiation = 'direct' cannot fall back to a connection without TLS: use "
                "ssl_mode = 'require', 'verify-ca' or 'verify-full'");
    conflict_if(options_.channel_binding == "require" && ssl == "disable", "channel_binding",
                "ssl_mode", "channel_binding = 'require' needs TLS, which ssl_mode switches off");
    const auto count = [](const std::string& list) { return std::ranges::count(list, ',') + 1; };
    const auto ports = count(options_.port);
    const bool by_address = options_.host.empty();
    const std::string& hosts = by_address ? options_.hostaddr : options_.host;
    conflict_if(ports != 1 && !hosts.empty() && ports != count(hosts), "port",
                by_address ? "hostaddr" : "host",
                "port takes one number, or as many as host has names (" +
                    std::to_string(count(hosts)) + "), not " + std::to_string(ports));
    const auto addresses = count(options_.hostaddr);
    conflict_if(is_set("hostaddr") && is_set("host") && addresses != count(options_.host),
                "hostaddr", "host",
                "hostaddr takes as many addresses as host has names (" +
                    std::to_string(count(options_.host)) + "), not " + std::to_string(addresses));
  }

  void failures() {
    if (const auto rule = RetryRule::from(options_.retry_on_errors); !rule) {
      add(rule.error().code, rule.error().message, "retry_on_errors");
    }
    for (const std::string_view limit : {"max_rejects", "max_reject_ratio"}) {
      needs(limit, takes_dead_letters(options_), "dead_letter_table",
            "dead_letter_table or dead_letter_file");
    }
    conflict_if(!options_.dead_letter_table.empty() && options_.dead_letter_table == options_.table,
                "dead_letter_table", "table",
                "dead_letter_table and table are both '" + options_.table +
                    "': name another table for rejected rows");
  }

  const SinkOptions& options_;
  const std::function<bool(std::string_view)>& given_;
  std::vector<OptionFault> faults_;
};

}  // namespace

std::vector<OptionFault> option_faults(const SinkOptions& options,
                                       const std::function<bool(std::string_view key)>& given) {
  return Faults(options, given).find();
}

std::vector<Error> check_options(const SinkOptions& options) {
  const auto given = [&options](std::string_view key) { return find_option(key)->is_set(options); };
  std::vector<Error> errors;
  for (OptionFault& fault : option_faults(options, given)) {
    errors.push_back(std::move(fault.error));
  }
  return errors;
}

bool is_traceparent(std::string_view text) {
  // Version, trace, parent, flags.
  constexpr std::array<size_t, 4> kDigits{2, 32, 16, 2};
  std::array<std::string_view, kDigits.size()> parts;
  for (size_t i = 0; i < kDigits.size(); ++i) {
    if (text.size() < kDigits[i]) return false;
    parts[i] = text.substr(0, kDigits[i]);
    if (parts[i].find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
    text.remove_prefix(kDigits[i]);
    const bool last = i + 1 == kDigits.size();
    if (last ? !text.empty() : !text.starts_with('-')) return false;
    if (!last) text.remove_prefix(1);
  }
  const auto is_zero = [](std::string_view part) {
    return part.find_first_not_of('0') == std::string_view::npos;
  };
  return parts[0] != "ff" && !is_zero(parts[1]) && !is_zero(parts[2]);
}

std::string stored_sink_id(const SinkOptions& options) {
  if (!options.sink_id.empty()) return options.sink_id;
  const std::string name = options.connection_name + "/";
  if (options.table.empty() && !options.target_tables.empty()) return name + options.target_tables;
  return name + options.schema + "." + options.table;
}

}  // namespace pgsink
