#pragma once
// The options of CREATE CONNECTION … TO kafka.

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/ddl.h>

#include "shell/engine/engine.h"
#include "shell/records/record_columns.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

/// KafkaFormat is what the value of a message is.
enum class KafkaFormat : uint8_t { kJson, kCsv, kRaw, kDebeziumJson };

struct KafkaOptions {
  std::string brokers;
  std::vector<std::string> topics;
  std::string group_id;
  KafkaFormat format = KafkaFormat::kJson;
  std::vector<RecordColumn> columns;
  bool from_latest = false;      ///< Where a partition begins that the group has never read.
  bool stops_at_latest = false;  ///< The pipeline ends where the topics ended when it began.
  bool read_committed = true;
  bool consumer_protocol = false;  ///< The group's protocol of KIP-848 instead of the classic one.
  std::string security_protocol, sasl_mechanism, sasl_username, sasl_password;
  std::string ssl_ca_location;
  /// Of librdkafka, as they are.
  std::vector<std::pair<std::string, std::string>> properties;
  std::chrono::milliseconds rebalance_timeout{20'000};
  UnboundedSource::Limits limits;
};

/// bind_kafka checks every option and returns all faults together, each with its position.
std::expected<KafkaOptions, std::vector<Diagnostic>> bind_kafka(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine);
/// The keys that bind_kafka() accepts.
std::vector<std::string_view> kafka_option_keys();

}  // namespace pgsink::shell
