#include "shell/kafka/kafka_options.h"

#include <algorithm>
#include <array>

#include <pgsink/record_batch.h>
#include <pgsink/source.h>

#include "pgsink/options/names.h"
#include "shell/sources/option_binder.h"

namespace pgsink::shell {
namespace {

using Refusal = OptionBinder::Refusal;
using K = KafkaOptions;

struct KafkaOption {
  std::string_view key;
  Refusal (*store)(const OptionValue& value, KafkaOptions& options);
};

template <std::string K::* member>
Refusal read_text(const OptionValue& value, KafkaOptions& options) {
  if (value.kind == OptionValue::Kind::kMap || value.text.empty()) return "takes a text";
  options.*member = value.text;
  return {};
}

/// Names that commas separate.
Refusal read_topics(const OptionValue& value, KafkaOptions& options) {
  std::string_view rest = value.text;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view name = rest.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name.empty() || name.starts_with('^')) return "takes names of topics, separated by commas";
    if (std::ranges::find(options.topics, name) == options.topics.end()) {
      options.topics.emplace_back(name);
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return options.topics.empty() ? "takes names of topics, separated by commas" : "";
}

/// One of two words.
Refusal read_choice(const OptionValue& value, std::string_view no, std::string_view yes,
                    bool& chosen) {
  chosen = equal_without_case(value.text, yes);
  if (chosen || equal_without_case(value.text, no)) return {};
  return "takes '" + std::string(no) + "' or '" + std::string(yes) + "'";
}

Refusal read_format(const OptionValue& value, KafkaOptions& options) {
  constexpr std::array<std::string_view, 4> kFormats{"json", "csv", "raw", "debezium_json"};
  const auto found = std::ranges::find_if(
      kFormats, [&](std::string_view name) { return equal_without_case(value.text, name); });
  if (found == kFormats.end()) return "takes 'json', 'csv', 'raw' or 'debezium_json'";
  options.format = static_cast<KafkaFormat>(found - kFormats.begin());
  return {};
}

template <auto read>
Refusal read_limit(const OptionValue& value, KafkaOptions& options, int64_t min, int64_t max) {
  int64_t number = 0;
  Refusal refusal = OptionBinder::read_number(value, min, max, number);
  if (refusal.empty()) read(options, number);
  return refusal;
}

/// Properties that would take away what the source promises.
constexpr std::array<std::string_view, 10> kOwnProperties{
    "bootstrap.servers",  "metadata.broker.list",          "group.id",
    "enable.auto.commit", "enable.auto.offset.store",      "auto.offset.reset",
    "isolation.level",    "partition.assignment.strategy", "enable.partition.eof",
    "group.protocol"};

Refusal read_properties(const OptionValue& value, KafkaOptions& options) {
  if (value.kind != OptionValue::Kind::kMap) return "takes MAP { 'property': 'value', … }";
  for (const auto& [name, text] : value.map) {
    if (std::ranges::find(kOwnProperties, name) != kOwnProperties.end()) {
      return "must not set " + name + ": an option of the connection or the delivery decides it";
    }
    options.properties.emplace_back(name, text);
  }
  return {};
}

constexpr std::array<KafkaOption, 22> kKafkaOptions{{
    {"type",
     [](const OptionValue& value, K&) -> Refusal {
       return equal_without_case(value.text, "source") ? ""
                                                       : "can only be 'source': rows come from it";
     }},
    {"brokers", read_text<&K::brokers>},
    {"topic", read_topics},
    {"topics", read_topics},
    {"group_id", read_text<&K::group_id>},
    {"format", read_format},
    {"columns",
     [](const OptionValue& value, K&) -> Refusal {
       return value.kind == OptionValue::Kind::kMap && !value.map.empty()
                  ? ""
                  : "takes MAP { 'name': 'TYPE', … }";
     }},
    {"start",
     [](const OptionValue& value, K& options) {
       return read_choice(value, "earliest", "latest", options.from_latest);
     }},
    {"stop",
     [](const OptionValue& value, K& options) {
       return read_choice(value, "never", "latest", options.stops_at_latest);
     }},
    {"isolation",
     [](const OptionValue& value, K& options) {
       return read_choice(value, "read_uncommitted", "read_committed", options.read_committed);
     }},
    {"group_protocol",
     [](const OptionValue& value, K& options) {
       return read_choice(value, "classic", "consumer", options.consumer_protocol);
     }},
    {"security_protocol", read_text<&K::security_protocol>},
    {"sasl_mechanism", read_text<&K::sasl_mechanism>},
    {"sasl_username", read_text<&K::sasl_username>},
    {"sasl_password", read_text<&K::sasl_password>},
    {"ssl_ca_location", read_text<&K::ssl_ca_location>},
    {"properties", read_properties},
    {"rebalance_timeout_ms",
     [](const OptionValue& value, K& options) {
       constexpr auto kStore = [](K& o, int64_t n) {
         o.rebalance_timeout = std::chrono::milliseconds(n);
       };
       return read_limit<kStore>(value, options, 0, 3'600'000);
     }},
    {"batch_size",
     [](const OptionValue& value, K& options) {
       constexpr auto kStore = [](K& o, int64_t n) {
         o.limits.batch_rows_max = static_cast<size_t>(n);
       };
       return read_limit<kStore>(value, options, 1, 2048);
     }},
    {"batch_timeout_ms",
     [](const OptionValue& value, K& options) {
       constexpr auto kStore = [](K& o, int64_t n) {
         o.limits.delivery_timeout = std::chrono::milliseconds(n);
       };
       return read_limit<kStore>(value, options, 1, 3'600'000);
     }},
    {"max_rejects",
     [](const OptionValue& value, K& options) {
       constexpr auto kStore = [](K& o, int64_t n) {
         o.limits.rejects_max = static_cast<uint64_t>(n);
       };
       return read_limit<kStore>(value, options, 0, INT64_MAX);
     }},
    {"client_id",
     [](const OptionValue& value, K& options) -> Refusal {
       options.properties.emplace_back("client.id", value.text);
       return {};
     }},
}};

}  // namespace

std::expected<KafkaOptions, std::vector<Diagnostic>> bind_kafka(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine) {
  // One chunk of the engine: what a query makes of it is one batch, which has one position.
  KafkaOptions options;
  options.limits.batch_rows_max = 2048;
  OptionBinder binder(statement, substitution, engine, "kafka", kafka_option_keys());
  binder.bind([&](std::string_view key, const OptionValue& value) {
    return std::ranges::find(kKafkaOptions, key, &KafkaOption::key)->store(value, options);
  });
  options.columns = binder.take_columns();
  for (const std::string_view key : {"brokers", "topic", "group_id", "format"}) {
    const bool there =
        binder.given(key) != nullptr || (key == "topic" && binder.given("topics") != nullptr);
    if (!there) {
      binder.refuse(Errc::kMissingOption, "the option " + std::string(key) + " is missing");
    }
  }
  const bool raw = options.format == KafkaFormat::kRaw;
  const RawOption* const columns = binder.given("columns");
  if (binder.clean() && raw && columns != nullptr) {
    binder.refuse(*columns, Errc::kOptionConflict,
                  "format = 'raw' has the column value: leave columns out");
  }
  if (binder.clean() && options.format == KafkaFormat::kDebeziumJson) {
    for (const std::string_view own : {kOperationColumn, kUnchangedColumn}) {
      const bool taken = std::ranges::any_of(options.columns, [&](const RecordColumn& column) {
        return equal_without_case(column.name, own);
      });
      if (!taken) continue;
      binder.refuse(*columns, Errc::kOptionConflict,
                    "format = 'debezium_json' makes the column " + std::string(own) +
                        " of each change: leave it out of columns");
    }
  }
  if (binder.clean() && !raw && columns == nullptr) {
    binder.refuse(Errc::kMissingOption,
                  "the option columns is missing: columns = MAP { 'name': 'TYPE', … } names what "
                  "queries read of a message");
  }
  if (binder.clean()) return options;
  return std::unexpected(binder.take_faults());
}

std::vector<std::string_view> kafka_option_keys() {
  std::vector<std::string_view> keys;
  keys.reserve(kKafkaOptions.size());
  for (const KafkaOption& option : kKafkaOptions) keys.push_back(option.key);
  return keys;
}

}  // namespace pgsink::shell
