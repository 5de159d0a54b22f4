#include "shell/kafka/kafka_consumer.h"

#ifdef PGSINK_HAVE_KAFKA

#include <algorithm>
#include <array>
#include <deque>
#include <future>
#include <librdkafka/rdkafka.h>
#include <thread>
#include <tuple>

#include "shell/text/json_text.h"

namespace pgsink::shell {
namespace {

using std::chrono::milliseconds;

/// How long a question to a broker may take.
constexpr int kAskMs = 10'000;
/// How long to wait for a cluster that may be starting, when joining and when only checking.
constexpr int kReachMs = 60'000;
constexpr int kCheckMs = 10'000;
/// How long to wait until the offsets are stored, then until the group is left, and then until the
/// client has ended: the end of this process does not wait for a broker that hangs.
constexpr milliseconds kLeaveWait{5000};

struct FreePartitions {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, FreePartitions>;

struct FreeQueue {
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, FreeQueue>;

struct FreeEvent {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
using Event = std::unique_ptr<rd_kafka_event_t, FreeEvent>;

const rd_kafka_message_t& as_message(const KafkaMessage::Pointer& pointer) {
  return *static_cast<const rd_kafka_message_t*>(pointer.get());
}

Status kafka_fault(std::string message) { return fail(Errc::kKafka, std::move(message)); }

Partitions list_of(const std::vector<KafkaPartition>& partitions) {
  Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const KafkaPartition& one : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), one.topic.c_str(), one.number);
  }
  return list;
}

Partitions list_of(const std::vector<KafkaOffset>& offsets) {
  Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
  for (const KafkaOffset& one : offsets) {
    rd_kafka_topic_partition_list_add(list.get(), one.partition.topic.c_str(), one.partition.number)
        ->offset = static_cast<int64_t>(one.offset);
  }
  return list;
}

std::vector<KafkaPartition> partitions_of(const rd_kafka_topic_partition_list_t* list) {
  std::vector<KafkaPartition> partitions;
  for (int i = 0; list != nullptr && i < list->cnt; ++i) {
    partitions.push_back({list->elems[i].topic, list->elems[i].partition});
  }
  return partitions;
}

/// Takes an error object.
Status status_of(rd_kafka_error_t* error, std::string_view what) {
  if (error == nullptr) return {};
  std::string message = std::string(what) + ": " + rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
  return kafka_fault(std::move(message));
}

class RdConsumer final : public KafkaConsumer {
 public:
  RdConsumer() = default;
  ~RdConsumer() override {
    if (handle_ == nullptr) return;
    closing_ = true;
    // Rebalances that nobody has answered would be waited for.
    while (!rebalances_.empty()) rebalances_.pop_front();
    if (unanswered_) answer_at_once(*unanswered_);
    leave_group();
    taken_.clear();
    messages_.reset();
    destroy(handle_);
  }
  RdConsumer(const RdConsumer&) = delete;
  RdConsumer& operator=(const RdConsumer&) = delete;

  Status open(const KafkaOptions& options, bool joins) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    if (auto made = configure(options, conf); !made) {
      rd_kafka_conf_destroy(conf);
      return made;
    }
    std::array<char, 512> why{};
    handle_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why.data(), why.size());
    if (handle_ == nullptr) {
      rd_kafka_conf_destroy(conf);
      return fail(Errc::kOptionValue,
                  std::string("the client of Kafka cannot be made: ") + why.data());
    }
    rd_kafka_poll_set_consumer(handle_);
    messages_.reset(rd_kafka_queue_new(handle_));
    joins_ = joins;
    if (!joins) return {};
    std::vector<KafkaPartition> topics;
    topics.reserve(options.topics.size());
    for (const std::string& topic : options.topics) {
      topics.push_back({topic, RD_KAFKA_PARTITION_UA});
    }
    const auto joined = rd_kafka_subscribe(handle_, list_of(topics).get());
    if (joined == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return kafka_fault(std::string("cannot subscribe: ") + rd_kafka_err2str(joined));
  }

  Result<Polled> poll(milliseconds wait) override {
    if (taken_.empty()) {
      auto polled = poll_group();
      if (!polled || !std::holds_alternative<Nothing>(*polled)) return polled;
      take_messages(wait);
      if (taken_.empty()) return Polled(Nothing{});
    }
    KafkaMessage::Pointer message = std::move(taken_.front());
    taken_.pop_front();
    return polled_of(std::move(message));
  }

  Result<Polled> poll_group() override {
    if (rebalances_.empty()) {
      rd_kafka_message_t* polled = rd_kafka_consumer_poll(handle_, 0);
      if (polled != nullptr) return polled_of(KafkaMessage::Pointer(polled));
    }
    if (auto fatal = fatal_error(); !fatal) return std::unexpected(fatal.error());
    if (rebalances_.empty()) return Polled(Nothing{});
    Polled next(std::move(rebalances_.front()));
    rebalances_.pop_front();
    return next;
  }

  Status assign(const std::vector<KafkaOffset>& offsets) override {
    unanswered_.reset();
    for (const KafkaOffset& one : offsets) {
      forget_messages(one.partition);
      forward_messages(one.partition);
    }
    const Partitions list = list_of(offsets);
    if (is_cooperative()) {
      return status_of(rd_kafka_incremental_assign(handle_, list.get()), "cannot take partitions");
    }
    return checked(rd_kafka_assign(handle_, list.get()), "cannot take partitions");
  }

  Status unassign(const std::vector<KafkaPartition>& partitions) override {
    unanswered_.reset();
    for (const KafkaPartition& one : partitions) forget_messages(one);
    if (is_cooperative()) {
      const Partitions list = list_of(partitions);
      return status_of(rd_kafka_incremental_unassign(handle_, list.get()),
                       "cannot give partitions up");
    }
    return checked(rd_kafka_assign(handle_, nullptr), "cannot give partitions up");
  }

  Status commit(const std::vector<KafkaOffset>& offsets, bool wait) override {
    if (offsets.empty()) return {};
    const char* const what = "cannot store the offsets of the group";
    const Partitions list = list_of(offsets);
    if (!wait) return checked(rd_kafka_commit(handle_, list.get(), 1), what);
    const Queue answers(rd_kafka_queue_new(handle_));
    const auto asked = rd_kafka_commit_queue(handle_, list.get(), answers.get(), nullptr, nullptr);
    if (auto sent = checked(asked, what); !sent) return sent;
    const Event answer(rd_kafka_queue_poll(answers.get(), static_cast<int>(kLeaveWait.count())));
    if (answer == nullptr) return checked(RD_KAFKA_RESP_ERR__TIMED_OUT, what);
    return checked(rd_kafka_event_error(answer.get()), what);
  }

  Result<std::vector<KafkaOffset>> committed(
      const std::vector<KafkaPartition>& partitions) override {
    const Partitions list = list_of(partitions);
    const auto asked = checked(rd_kafka_committed(handle_, list.get(), kAskMs),
                               "cannot read the offsets of the group");
    if (!asked) return fail(asked.error());
    std::vector<KafkaOffset> offsets;
    for (int i = 0; i < list->cnt; ++i) {
      const rd_kafka_topic_partition_t& one = list->elems[i];
      if (auto fine = checked(one.err, "cannot read the offsets of the group"); !fine) {
        return fail(fine.error());
      }
      if (one.offset < 0) continue;
      offsets.push_back({{one.topic, one.partition}, static_cast<uint64_t>(one.offset)});
    }
    return offsets;
  }

  Result<Range> range(const KafkaPartition& partition) override {
    int64_t first = 0, end = 0;
    const auto asked =
        checked(rd_kafka_query_watermark_offsets(handle_, partition.topic.c_str(), partition.number,
                                                 &first, &end, kAskMs),
                "cannot read which offsets partition " + std::to_string(partition.number) +
                    " of topic '" + partition.topic + "' has");
    if (!asked) return fail(asked.error());
    return Range{static_cast<uint64_t>(first), static_cast<uint64_t>(end)};
  }

  std::optional<Range> known_range(const KafkaPartition& partition) override {
    int64_t first = -1, end = -1;
    const auto known = rd_kafka_get_watermark_offsets(handle_, partition.topic.c_str(),
                                                      partition.number, &first, &end);
    if (known != RD_KAFKA_RESP_ERR_NO_ERROR || end < 0) return std::nullopt;
    return Range{static_cast<uint64_t>(std::max<int64_t>(first, 0)), static_cast<uint64_t>(end)};
  }

  Result<std::string> cluster() override {
    char* const id = rd_kafka_clusterid(handle_, joins_ ? kReachMs : kCheckMs);
    if (id == nullptr) {
      const KafkaMessage::Pointer brings_the_error(rd_kafka_consumer_poll(handle_, 100));
      return fail(Errc::kKafka, "no broker of Kafka can be reached: " + last_error_);
    }
    std::string text(id);
    rd_kafka_mem_free(handle_, id);
    return text;
  }

  Status check_topics(const std::vector<std::string>& topics) override {
    if (auto reached = cluster(); !reached) return fail(reached.error());
    for (const std::string& topic : topics) {
      rd_kafka_topic_t* const named = rd_kafka_topic_new(handle_, topic.c_str(), nullptr);
      const rd_kafka_metadata_t* metadata = nullptr;
      const auto asked = rd_kafka_metadata(handle_, 0, named, &metadata, kAskMs);
      auto error = asked;
      if (asked == RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = metadata->topic_cnt == 1 ? metadata->topics[0].err
                                         : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
      }
      rd_kafka_topic_destroy(named);
      if (auto there = checked(error, "topic '" + topic + "'"); !there) return there;
    }
    return {};
  }

 private:
  static Status set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
    std::array<char, 512> why{};
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) ==
        RD_KAFKA_CONF_OK) {
      return {};
    }
    // What librdkafka says may repeat the value.
    const bool secret = name.find("password") != std::string::npos ||
                        name.find("secret") != std::string::npos ||
                        name.find("sasl.jaas") != std::string::npos;
    return fail(Errc::kOptionValue, "the client of Kafka refuses " + name +
                                        (secret ? std::string() : std::string(": ") + why.data()));
  }

  static Status check_consumer_protocol() {
    constexpr int kSince = 0x020c0000;  // 2.12.0; before that it was a preview.
    if (rd_kafka_version() >= kSince) return {};
    return fail(Errc::kOptionUnsupported,
                std::string("group_protocol = 'consumer' needs librdkafka 2.12 or newer, and this "
                            "pgsink runs with ") +
                    rd_kafka_version_str() + ": leave it out, or use a newer librdkafka.so.1");
  }

  Status configure(const KafkaOptions& options, rd_kafka_conf_t* conf) {
    std::vector<std::pair<std::string, std::string>> settings{
        // librdkafka stops fetching for a second when it has more messages than that; its limit in
        // bytes (queued.max.messages.kbytes) is enough.
        {"queued.min.messages", "10000000"}};
    settings.insert(settings.end(), options.properties.begin(), options.properties.end());
    const auto add = [&](std::string_view name, const std::string& value) {
      if (!value.empty()) settings.emplace_back(name, value);
    };
    add("bootstrap.servers", options.brokers);
    add("group.id", options.group_id);
    add("security.protocol", options.security_protocol);
    add("sasl.mechanism", options.sasl_mechanism);
    add("sasl.username", options.sasl_username);
    add("sasl.password", options.sasl_password);
    add("ssl.ca.location", options.ssl_ca_location);
    add("isolation.level", options.read_committed ? "read_committed" : "read_uncommitted");
    // Offsets are stored by us, after the rows; one that is gone is an error, never a new start.
    add("enable.auto.commit", "false");
    add("enable.auto.offset.store", "false");
    add("auto.offset.reset", "error");
    add("enable.partition.eof", "true");
    if (options.consumer_protocol) {
      if (auto there = check_consumer_protocol(); !there) return there;
      add("group.protocol", "consumer");  // The broker assigns, always step by step.
    } else {
      add("partition.assignment.strategy", "cooperative-sticky");
    }
    // The same second, which only newer versions let us shorten.
    std::array<char, 512> unknown{};
    rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", unknown.data(), unknown.size());
    for (const auto& [name, value] : settings) {
      if (auto done = set(conf, name, value); !done) return done;
    }
    rd_kafka_conf_set_opaque(conf, this);
    rd_kafka_conf_set_rebalance_cb(conf, &RdConsumer::on_rebalance);
    rd_kafka_conf_set_error_cb(conf, &RdConsumer::on_error);
    rd_kafka_conf_set_log_cb(conf, nullptr);
    return {};
  }

  /// Leaves the group, which gives the partitions to others at once, if the broker answers in time;
  /// otherwise they wait until the session has timed out.
  void leave_group() {
    const Queue events(rd_kafka_queue_new(handle_));
    // The error, if there is one, is an object.
    if (rd_kafka_error_t* const error = rd_kafka_consumer_close_queue(handle_, events.get())) {
      rd_kafka_error_destroy(error);
      return;
    }
    const auto until = std::chrono::steady_clock::now() + kLeaveWait;
    while (rd_kafka_consumer_closed(handle_) == 0 && std::chrono::steady_clock::now() < until) {
      constexpr int kStepMs = 20;
      const Event event(rd_kafka_queue_poll(events.get(), kStepMs));
      if (event == nullptr || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_REBALANCE)
        continue;
      Rebalance rebalance;
      const bool assigned =
          rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
      rebalance.kind = assigned ? Rebalance::Kind::kAssigned : Rebalance::Kind::kRevoked;
      rebalance.partitions = partitions_of(rd_kafka_event_topic_partition_list(event.get()));
      answer_at_once(rebalance);
    }
  }

  /// librdkafka may wait until what it has asked a broker is answered or has timed out, up to a
  /// minute. After kLeaveWait a thread does that alone: nobody polls the client any more, so it
  /// calls nobody back.
  static void destroy(rd_kafka_t* handle) {
    std::promise<void> destroyed;
    const std::future<void> done = destroyed.get_future();
    std::thread([handle, destroyed = std::move(destroyed)]() mutable {
      // Does not try to leave the group again.
      rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
      destroyed.set_value();
    }).detach();
    std::ignore = done.wait_for(kLeaveWait);
  }

  /// Called in poll(), or while the consumer is closed: then the answer must be given at once.
  static void on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t error,
                           rd_kafka_topic_partition_list_t* list, void* opaque) {
    auto& self = *static_cast<RdConsumer*>(opaque);
    const bool assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    Rebalance rebalance;
    rebalance.kind = assigned                                ? Rebalance::Kind::kAssigned
                     : rd_kafka_assignment_lost(handle) != 0 ? Rebalance::Kind::kLost
                                                             : Rebalance::Kind::kRevoked;
    rebalance.partitions = partitions_of(list);
    if (self.closing_) return self.answer_at_once(rebalance);
    self.unanswered_ = rebalance;
    self.rebalances_.push_back(std::move(rebalance));
  }

  /// Gives up what is revoked, and takes nothing.
  void answer_at_once(const Rebalance& rebalance) {
    const bool assigned = rebalance.kind == Rebalance::Kind::kAssigned;
    std::ignore = assigned ? assign({}) : unassign(rebalance.partitions);
  }

  static void on_error(rd_kafka_t*, int, const char* reason, void* opaque) {
    static_cast<RdConsumer*>(opaque)->last_error_ = reason;
  }

  bool is_cooperative() const {
    const char* const protocol = rd_kafka_rebalance_protocol(handle_);
    return protocol == nullptr || std::string_view(protocol) != "EAGER";
  }

  Status checked(rd_kafka_resp_err_t error, const std::string& what) const {
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    std::string message = what + ": " + rd_kafka_err2str(error);
    if (!last_error_.empty()) message += " (last: " + last_error_ + ")";
    return kafka_fault(std::move(message));
  }

  Status fatal_error() const {
    std::array<char, 512> why{};
    const auto fatal = rd_kafka_fatal_error(handle_, why.data(), why.size());
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return kafka_fault(std::string("the client of Kafka has failed: ") + why.data());
  }

  // ---- messages --------------------------------------------------------------------------------
  /// Messages go to a queue of their own, so that events of the group are not stuck after them. A
  /// queue that is forwarded before its partition is assigned stays so.
  void forward_messages(const KafkaPartition& partition) {
    const Queue fetched(
        rd_kafka_queue_get_partition(handle_, partition.topic.c_str(), partition.number));
    if (fetched != nullptr) rd_kafka_queue_forward(fetched.get(), messages_.get());
  }

  /// Those that were taken, of an earlier assignment: the next one may begin before them.
  void forget_messages(const KafkaPartition& partition) {
    std::erase_if(taken_, [&](const KafkaMessage::Pointer& pointer) {
      return partition_of(as_message(pointer)) == partition;
    });
  }

  /// Many at once: each access to the queue is a lock that the thread that fetches wants too.
  void take_messages(milliseconds wait) {
    constexpr size_t kAtOnce = 1000;
    std::array<rd_kafka_message_t*, kAtOnce> messages{};
    const auto count = rd_kafka_consume_batch_queue(messages_.get(), static_cast<int>(wait.count()),
                                                    messages.data(), messages.size());
    for (ssize_t i = 0; i < count; ++i) taken_.emplace_back(messages[static_cast<size_t>(i)]);
  }

  static KafkaPartition partition_of(const rd_kafka_message_t& message) {
    return {message.rkt == nullptr ? "" : rd_kafka_topic_name(message.rkt), message.partition};
  }

  static Result<Polled> polled_of(KafkaMessage::Pointer polled) {
    const rd_kafka_message_t& message = as_message(polled);
    switch (message.err) {
      case RD_KAFKA_RESP_ERR_NO_ERROR:
        return Polled(KafkaMessage(std::move(polled)));
      case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return Polled(End{{partition_of(message), static_cast<uint64_t>(message.offset)}});
      case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        return Polled(OffsetGone{partition_of(message)});
      case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        return fail(Errc::kKafka, rd_kafka_message_errstr(&message));
      default:  // librdkafka tries again by itself.
        return Polled(Nothing{});
    }
  }

  rd_kafka_t* handle_ = nullptr;
  bool closing_ = false, joins_ = false;
  Queue messages_;                           ///< Of all partitions that are assigned.
  std::deque<KafkaMessage::Pointer> taken_;  ///< From messages_, and not returned by poll() yet.
  std::deque<Rebalance> rebalances_;         ///< Not returned by poll() yet.
  std::optional<Rebalance> unanswered_;      ///< The last one, until it is answered.
  std::string last_error_;
};

}  // namespace

void KafkaMessage::Free::operator()(void* message) const {
  rd_kafka_message_destroy(static_cast<rd_kafka_message_t*>(message));
}

KafkaPartition KafkaMessage::partition() const {
  const auto& message = as_message(message_);
  return {rd_kafka_topic_name(message.rkt), message.partition};
}

uint64_t KafkaMessage::offset() const { return static_cast<uint64_t>(as_message(message_).offset); }

std::optional<std::string_view> KafkaMessage::value() const {
  const auto& message = as_message(message_);
  if (message.payload == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(message.payload), message.len);
}

std::optional<std::string_view> KafkaMessage::key() const {
  const auto& message = as_message(message_);
  if (message.key == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(message.key), message.key_len);
}

std::optional<int64_t> KafkaMessage::timestamp_ms() const {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t at = rd_kafka_message_timestamp(&as_message(message_), &type);
  if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) return std::nullopt;
  return at;
}

std::optional<std::string> KafkaMessage::headers() const {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&as_message(message_), &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::nullopt;
  }
  std::string text = "[";
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0;
       rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    text += i == 0 ? "{" : ", {";
    text += json_string(name) + ": ";
    text += value == nullptr ? "null"
                             : json_string(std::string_view(static_cast<const char*>(value), size));
    text += "}";
  }
  return text + "]";
}

bool KafkaMessage::has_header(const char* name) const {
  rd_kafka_headers_t* headers = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  return rd_kafka_message_headers(&as_message(message_), &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
         rd_kafka_header_get_last(headers, name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

size_t KafkaMessage::bytes() const {
  const auto& message = as_message(message_);
  return message.len + message.key_len;
}

Result<std::unique_ptr<KafkaConsumer>> KafkaConsumer::create(const KafkaOptions& options,
                                                             bool joins) {
  auto made = std::make_unique<RdConsumer>();
  if (auto opened = made->open(options, joins); !opened) return fail(opened.error());
  return std::unique_ptr<KafkaConsumer>(std::move(made));
}

}  // namespace pgsink::shell

#else  // Without librdkafka.

namespace pgsink::shell {

void KafkaMessage::Free::operator()(void*) const {}
KafkaPartition KafkaMessage::partition() const { return {}; }
uint64_t KafkaMessage::offset() const { return 0; }
std::optional<std::string_view> KafkaMessage::value() const { return std::nullopt; }
std::optional<std::string_view> KafkaMessage::key() const { return std::nullopt; }
std::optional<int64_t> KafkaMessage::timestamp_ms() const { return std::nullopt; }
std::optional<std::string> KafkaMessage::headers() const { return std::nullopt; }
bool KafkaMessage::has_header(const char*) const { return false; }
size_t KafkaMessage::bytes() const { return 0; }

Result<std::unique_ptr<KafkaConsumer>> KafkaConsumer::create(const KafkaOptions&, bool) {
  return fail(Errc::kOptionUnsupported,
              "this pgsink was built without Kafka: install librdkafka (Debian: librdkafka-dev) "
              "and build it again");
}

}  // namespace pgsink::shell

#endif
