#pragma once
// KafkaSource: CREATE CONNECTION name TO kafka (type = 'source', …): topics of a Kafka cluster,
// read by the members of a consumer group. A micro-batch holds messages of one partition.
//
// Where positions are:
//   by the sinks     Each partition is a stream of the sinks (pgsink/stream.h), which return where
//                    it goes on. The group's offsets are stored afterwards, for tools that show
//                    lag.
//   by the group     The offsets of the group, stored after the rows are durable, and before a
//                    partition is given up.

#include <memory>

#include "shell/kafka/kafka_options.h"
#include "shell/output/reporter.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

/// make_kafka_source makes the source; it connects when its first rows are wanted. The caller keeps
/// the reporter.
std::unique_ptr<UnboundedSource> make_kafka_source(KafkaOptions options, Reporter& reporter);

/// check_kafka_options fails if librdkafka refuses them, or this pgsink was built without it.
pgproto::Status check_kafka_options(const KafkaOptions& options);
/// check_kafka reaches the brokers and looks for the topics.
pgproto::Status check_kafka(const KafkaOptions& options);

}  // namespace pgsink::shell
