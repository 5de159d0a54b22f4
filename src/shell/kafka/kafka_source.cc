#include "shell/kafka/kafka_source.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "shell/kafka/kafka_consumer.h"
#include "shell/kafka/message_columns.h"

namespace pgsink::shell {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using TimePoint = UnboundedSource::TimePoint;
using Rebalance = KafkaConsumer::Rebalance;

/// More messages than that are not taken from librdkafka before some are delivered; nor more bytes.
constexpr size_t kHeldMessagesMax = 20'000;
constexpr size_t kHeldBytesMax = size_t{64} << 20;
/// How often the offsets of the group are stored.
constexpr milliseconds kCommitEvery{1000};
/// How long a delete that has a new key waits for the insert of that key, which Debezium writes
/// directly after it.
constexpr milliseconds kPairWait{2000};
/// Headers of Debezium: of the delete and of the insert of a row that got another key.
constexpr const char* kNewKeyHeader = "__debezium.newkey";
constexpr const char* kOldKeyHeader = "__debezium.oldkey";

/// OwnedPartition is a partition that this member reads.
struct OwnedPartition {
  std::deque<KafkaMessage> messages;
  int64_t read_ms = 0;  ///< When the last one that was delivered was sent; 0: not known.
  uint64_t next = 0;    ///< The offset after the last message that was delivered.
  std::vector<uint64_t> boundaries;        ///< Offsets, ascending, that no micro-batch crosses.
  std::optional<uint64_t> end;             ///< Of a bounded read.
  bool at_end = false;                     ///< Of a bounded read: its end was met.
  std::optional<std::string> deleted_key;  ///< Of the last message delivered, if it is a delete.
  std::optional<TimePoint> pair_waits;     ///< Since when a delete waits for its insert.
  bool draining = false;                   ///< It is being given up: nothing more is delivered.
};

class KafkaSource final : public UnboundedSource, public StreamControl {
 public:
  KafkaSource(KafkaOptions options, Reporter& reporter)
      : options_(std::move(options)), columns_(options_), reporter_(reporter) {}

  // ---- UnboundedSource -------------------------------------------------------------------------
  Limits limits() const override { return options_.limits; }
  bool is_endless() const override { return !options_.stops_at_latest; }
  bool open_waits() const override { return false; }
  Result<SourceShape> open(const std::function<bool()>&) override { return columns_.shape(); }
  SourceShape shape_for(std::span<const ColumnUse>) override { return columns_.shape(); }
  bool select_columns(std::string_view statement) override { return columns_.select(statement); }
  std::shared_ptr<const Schema> report_unchanged(bool without_truncates) override {
    whole_ = columns_.whole_schema();
    without_truncates_ = without_truncates;
    return whole_;
  }
  StreamControl* streams() override { return this; }

  Result<Rows> next(size_t rows_max, TimePoint deadline) override {
    if (finishing_) return end_of_rows();
    if (consumer_ == nullptr) {
      if (auto joined = join(); !joined) return fail(joined.error());
    }
    if (auto polled = poll_until(deadline, rows_max); !polled) return fail(polled.error());
    if (auto given = finish_revocation(); !given) return fail(given.error());
    if (auto stored = store_offsets(false); !stored) return fail(stored.error());
    if (all_at_end()) return end_of_rows();
    return take_rows(rows_max);
  }

  void finish() override { finishing_ = true; }

  std::optional<SourceReport> report() override {
    SourceReport all{.name = {},
                     .streams = {},
                     .records = records_,
                     .rejected = rejected_,
                     .rebalances = rebalances_,
                     .fenced = fenced_};
    for (const auto& [partition, owned] : owned_) {
      StreamReport& stream = all.streams.emplace_back();
      stream.topic = partition.topic;
      stream.partition = partition.number;
      stream.position = owned.next;
      const auto range = consumer_->known_range(partition);
      if (!range || range->end <= owned.next) continue;
      stream.lag_records = range->end - owned.next;
      if (owned.read_ms == 0) continue;
      const auto now = std::chrono::system_clock::now().time_since_epoch();
      const int64_t now_ms = std::chrono::duration_cast<milliseconds>(now).count();
      stream.lag_seconds = static_cast<double>(std::max<int64_t>(now_ms - owned.read_ms, 0)) / 1000;
    }
    return all;
  }

  std::string place(size_t row) const override { return place_of(delivered_[row]); }
  RejectedInput input(size_t row) const override { return rejected(delivered_[row], ""); }

  Status committed(uint64_t position) override {
    committed_ = std::max(committed_, position);
    for (; !waiting_.empty() && waiting_.front().number <= committed_; waiting_.pop_front()) {
      const Delivered& done = waiting_.front();
      if (owned_.contains(done.at.partition)) to_store_[done.at.partition] = done.at.offset;
    }
    return finishing_ || all_at_end() ? store_offsets(true) : Status();
  }

  // ---- StreamControl ---------------------------------------------------------------------------
  void begin_run(bool by_sinks) override {
    by_sinks_ = by_sinks;
    // The next run may be one with a query.
    columns_.set_whole(std::exchange(whole_, nullptr), without_truncates_);
    leave();
    finishing_ = false;
  }

  std::optional<StreamChange> change() const override { return change_; }

  Status begin_streams(const std::vector<StreamBegin>& streams) override {
    change_.reset();
    std::vector<KafkaOffset> offsets;
    for (const StreamBegin& stream : streams) {
      const KafkaPartition partition = partition_of(stream.stream);
      std::vector<uint64_t> positions = stream.positions;
      std::ranges::sort(positions);
      offsets.push_back({partition, positions.front()});
      owned_[partition].boundaries.assign(positions.begin() + 1, positions.end());
    }
    return begin_at(offsets);
  }

  Status end() override {
    change_.reset();
    return give_up();
  }

  Status keep_alive() override {
    if (consumer_ == nullptr) return {};
    return answer(consumer_->poll_group());
  }

  Status restart() override {
    ++fenced_;
    leave();
    return join();
  }

 private:
  struct Delivered {
    uint64_t number = 0;  ///< Of the micro-batch.
    KafkaOffset at;       ///< After it.
  };

  // ---- the group -------------------------------------------------------------------------------
  Status join() {
    auto made = KafkaConsumer::create(options_, true);
    if (!made) return fail(made.error());
    consumer_ = std::move(*made);
    auto cluster = consumer_->cluster();
    if (!cluster) return fail(cluster.error());
    cluster_ = std::move(*cluster);
    return consumer_->check_topics(options_.topics);
  }

  void leave() {
    delivered_.clear();
    owned_.clear();
    waiting_.clear();
    to_store_.clear();
    change_.reset();
    revoked_.reset();
    held_messages_ = held_bytes_ = 0;
    was_assigned_ = false;
    consumer_.reset();
  }

  std::string stream_of(const KafkaPartition& partition) const {
    return cluster_ + "/" + partition.topic + "/" + std::to_string(partition.number);
  }
  KafkaPartition partition_of(const std::string& stream) const {
    const size_t slash = stream.rfind('/');
    const size_t begin = cluster_.size() + 1;
    return {stream.substr(begin, slash - begin), std::stoi(stream.substr(slash + 1))};
  }

  Status on_rebalance(const Rebalance& rebalance) {
    ++rebalances_;
    if (rebalance.kind == Rebalance::Kind::kAssigned) return on_assigned(rebalance.partitions);
    Revocation revocation;
    revocation.lost = rebalance.kind == Rebalance::Kind::kLost;
    revocation.until = steady_clock::now() + options_.rebalance_timeout;
    for (const KafkaPartition& partition : rebalance.partitions) {
      const auto found = owned_.find(partition);
      if (found == owned_.end()) continue;
      revocation.partitions.push_back(partition);
      found->second.draining = true;
      drop_messages(found->second);
    }
    revoked_all_ = rebalance.partitions;
    revoked_ = std::move(revocation);
    return finish_revocation();
  }

  Status on_assigned(const std::vector<KafkaPartition>& partitions) {
    was_assigned_ = true;
    if (partitions.empty()) return consumer_->assign({});
    if (by_sinks_) {
      StreamChange change;
      change.assigned = true;
      for (const KafkaPartition& partition : partitions) {
        const auto range = consumer_->range(partition);
        if (!range) return fail(range.error());
        change.streams.push_back({.stream = stream_of(partition),
                                  .position = options_.from_latest ? range->end : range->first});
      }
      change_ = std::move(change);
      return {};
    }
    auto offsets = consumer_->committed(partitions);
    if (!offsets) return fail(offsets.error());
    for (const KafkaPartition& partition : partitions) {
      const bool known = std::ranges::any_of(
          *offsets, [&](const KafkaOffset& one) { return one.partition == partition; });
      if (known) continue;
      const auto range = consumer_->range(partition);
      if (!range) return fail(range.error());
      offsets->push_back({partition, options_.from_latest ? range->end : range->first});
      // From now on the group remembers where it began.
      if (auto stored = consumer_->commit({offsets->back()}, true); !stored) return stored;
    }
    return begin_at(*offsets);
  }

  Status begin_at(const std::vector<KafkaOffset>& offsets) {
    for (const KafkaOffset& begin : offsets) {
      const auto range = consumer_->range(begin.partition);
      if (!range) return fail(range.error());
      if (begin.offset < range->first || begin.offset > range->end) {
        return gone(begin.partition, begin.offset, *range);
      }
      OwnedPartition& owned = owned_[begin.partition];
      owned.next = begin.offset;
      if (options_.stops_at_latest) owned.end = range->end;
      owned.at_end = owned.end && begin.offset >= *owned.end;
    }
    return consumer_->assign(offsets);
  }

  /// The log has lost what comes next: nobody may notice that only by missing rows.
  Status gone(const KafkaPartition& partition, uint64_t offset, KafkaConsumer::Range range) const {
    const std::string first = std::to_string(range.first), end = std::to_string(range.end);
    const bool before = offset < range.first;
    std::string message =
        "partition " + std::to_string(partition.number) + " of topic '" + partition.topic +
        "' was delivered up to offset " + std::to_string(offset) + ", and the broker has only " +
        "offsets " + first + " to " + end + ": " +
        (before ? "retention has deleted " + std::to_string(range.first - offset) +
                      " messages that were not read"
                : "the topic was deleted and created again, or its broker has lost messages");
    message += by_sinks_ ? ". To go on from what is there, set the position in pgsink_offsets to " +
                               (before ? first : end) + " for stream '" + stream_of(partition) +
                               "'; to read the topic as a new one, use another sink_id"
                         : ". To go on from what is there, set the offset of group '" +
                               options_.group_id + "' to " + (before ? first : end) +
                               "; to read the topic as a new one, use another group_id";
    return fail(Errc::kOffsetGone, std::move(message));
  }

  // ---- giving partitions up --------------------------------------------------------------------
  struct Revocation {
    std::vector<KafkaPartition> partitions;
    bool lost = false;
    TimePoint until;
  };

  /// Whether everything that was delivered of these is committed.
  bool is_drained(const Revocation& revocation) const {
    return std::ranges::none_of(waiting_, [&](const Delivered& one) {
      return std::ranges::find(revocation.partitions, one.at.partition) !=
             revocation.partitions.end();
    });
  }

  /// Gives revoked partitions up as soon as it may.
  Status finish_revocation() {
    if (!revoked_ || change_) return {};
    const bool drained = is_drained(*revoked_);
    if (!revoked_->lost && !drained && steady_clock::now() < revoked_->until) return {};
    if (!by_sinks_ || revoked_->partitions.empty()) return give_up();
    StreamChange change;
    change.discard = revoked_->lost || !drained;
    for (const KafkaPartition& partition : revoked_->partitions) {
      change.streams.push_back({.stream = stream_of(partition), .position = 0});
    }
    change_ = std::move(change);
    return {};
  }

  Status give_up() {
    if (!revoked_) return {};
    if (!revoked_->lost) {
      // A member of a later generation has the partitions if this fails: it begins at older
      // offsets, which at-least-once allows.
      if (auto stored = store_offsets(true); !stored) reporter_.warning(stored.error().message);
    }
    for (const KafkaPartition& partition : revoked_->partitions) {
      owned_.erase(partition);
      to_store_.erase(partition);
      std::erase_if(waiting_, [&](const Delivered& one) { return one.at.partition == partition; });
    }
    revoked_.reset();
    return consumer_->unassign(std::exchange(revoked_all_, {}));
  }

  Status store_offsets(bool wait) {
    const auto now = steady_clock::now();
    if (to_store_.empty() || consumer_ == nullptr) return {};
    if (!wait && now - stored_at_ < kCommitEvery) return {};
    stored_at_ = now;
    std::vector<KafkaOffset> offsets;
    offsets.reserve(to_store_.size());
    for (const auto& [partition, offset] : to_store_) offsets.push_back({partition, offset});
    to_store_.clear();
    const Status stored = consumer_->commit(offsets, wait);
    if (!stored && wait && !by_sinks_) return stored;
    return {};
  }

  // ---- messages --------------------------------------------------------------------------------
  Status poll_until(TimePoint deadline, size_t rows_max) {
    for (;;) {
      if (change_ || all_at_end()) return {};
      const bool enough = held_messages_ >= kHeldMessagesMax || held_bytes_ >= kHeldBytesMax ||
                          std::ranges::any_of(owned_, [&](const auto& one) {
                            return one.second.messages.size() >= rows_max && !waits(one.second);
                          });
      if (enough) return {};
      const bool some = std::ranges::any_of(owned_, [this](const auto& one) {
        return !one.second.messages.empty() && !waits(one.second);
      });
      auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
      if (held_messages_ > 0) left = std::min(left, kPairWait);
      const uint64_t before = polled_;
      const auto wait = some ? milliseconds(0) : std::max(left, milliseconds(0));
      if (auto done = answer(consumer_->poll(wait)); !done) return done;
      if (polled_ == before && (some || left.count() <= 0)) return {};
    }
  }

  Status answer(Result<KafkaConsumer::Polled> polled) {
    if (!polled) return fail(polled.error());
    if (std::holds_alternative<KafkaConsumer::Nothing>(*polled)) return {};
    ++polled_;
    if (auto* message = std::get_if<KafkaMessage>(&*polled)) {
      keep(std::move(*message));
    } else if (const auto* rebalance = std::get_if<Rebalance>(&*polled)) {
      return on_rebalance(*rebalance);
    } else if (const auto* end = std::get_if<KafkaConsumer::End>(&*polled)) {
      on_end(end->at);
    } else if (const auto* lost = std::get_if<KafkaConsumer::OffsetGone>(&*polled)) {
      const auto range = consumer_->range(lost->partition);
      if (!range) return fail(range.error());
      return gone(lost->partition, owned_[lost->partition].next, *range);
    }
    return {};
  }

  void keep(KafkaMessage message) {
    const auto found = owned_.find(message.partition());
    if (found == owned_.end() || found->second.draining) return;
    OwnedPartition& owned = found->second;
    if (message.offset() < owned.next) return;
    if (owned.end && message.offset() >= *owned.end) {
      owned.at_end = true;
      return;
    }
    ++held_messages_;
    held_bytes_ += message.bytes();
    // The end may be followed by nothing but marks of transactions.
    if (owned.end && message.offset() + 1 >= *owned.end) owned.at_end = true;
    owned.messages.push_back(std::move(message));
  }

  void on_end(const KafkaOffset& at) {
    const auto found = owned_.find(at.partition);
    if (found == owned_.end() || !found->second.end) return;
    if (at.offset >= *found->second.end) found->second.at_end = true;
  }

  void drop_messages(OwnedPartition& owned) {
    for (const KafkaMessage& message : owned.messages) held_bytes_ -= message.bytes();
    held_messages_ -= owned.messages.size();
    owned.messages.clear();
  }

  /// Of a bounded read: whether all of it was delivered.
  bool all_at_end() const {
    if (!options_.stops_at_latest || !was_assigned_ || change_ || revoked_) return false;
    return std::ranges::all_of(
        owned_, [](const auto& one) { return one.second.at_end && one.second.messages.empty(); });
  }

  Rows end_of_rows() {
    delivered_.clear();
    Rows rows;
    rows.end = true;
    rows.batch = columns_.batch(std::make_shared<TextColumns>(columns_.no_texts()));
    rows.batch.position = number_;
    return rows;
  }

  Rows take_rows(size_t rows_max) {
    Rows rows;
    delivered_.clear();
    auto texts = std::make_shared<TextColumns>(columns_.no_texts());
    // The partition with the most messages, so that micro-batches are large.
    const auto most = std::ranges::max_element(owned_, {}, [this](const auto& one) {
      return waits(one.second) ? 0 : one.second.messages.size();
    });
    if (most != owned_.end() && !most->second.messages.empty()) {
      fill(most->first, most->second, rows_max, *texts, rows);
    }
    rows.batch = columns_.batch(texts);
    rows.batch.position = number_;
    return rows;
  }

  void fill(const KafkaPartition& partition, OwnedPartition& owned, size_t rows_max,
            TextColumns& texts, Rows& rows) {
    auto& boundaries = owned.boundaries;
    while (!boundaries.empty() && boundaries.front() <= owned.next) {
      boundaries.erase(boundaries.begin());
    }
    const uint64_t boundary = boundaries.empty() ? UINT64_MAX : boundaries.front();
    size_t taken = 0;
    // What goes on to `unit_end` stays together, whatever the limit of rows is.
    for (size_t unit_end = 0; !owned.messages.empty(); ++taken) {
      if (taken >= unit_end) {
        const size_t unit = unit_of(owned);
        const bool fits = taken + unit <= rows_max || taken == 0;
        if (unit == 0 || taken >= rows_max || !fits) break;
        unit_end = taken + unit;
      }
      if (owned.messages.front().offset() >= boundary) {
        owned.next = boundary;  // What is missing before it does not exist.
        break;
      }
      take(owned, texts, rows);
    }
    if (taken == 0 && owned.next < boundary) {  // A delete waits for its insert.
      if (!owned.pair_waits) owned.pair_waits = steady_clock::now();
      return;
    }
    rows.stream = stream_of(partition);
    rows.stream_position = owned.next;
    waiting_.push_back({++number_, {partition, owned.next}});
  }

  /// How many of the next messages belong into one micro-batch: 1, or more if a row got another
  /// key, so that the delete of the old one and the insert of the new one are not separated; 0 if
  /// the insert is not there yet.
  size_t unit_of(const OwnedPartition& owned) const {
    if (!columns_.are_changes() || !owned.messages.front().has_header(kNewKeyHeader)) return 1;
    for (size_t i = 1; i < owned.messages.size(); ++i) {
      if (!columns_.change_of(owned.messages[i])) continue;  // A tombstone of the old key.
      // The new key may have gone to another partition.
      return owned.messages[i].has_header(kOldKeyHeader) ? i + 1 : 1;
    }
    if (owned.at_end) return 1;
    const TimePoint since = owned.pair_waits.value_or(steady_clock::now());
    return steady_clock::now() < since + kPairWait ? 0 : 1;
  }

  /// Whether it has messages of which none can be taken yet.
  bool waits(const OwnedPartition& owned) const { return owned.pair_waits && unit_of(owned) == 0; }

  /// Takes the next message.
  void take(OwnedPartition& owned, TextColumns& texts, Rows& rows) {
    owned.pair_waits.reset();
    KafkaMessage message = std::move(owned.messages.front());
    owned.messages.pop_front();
    --held_messages_;
    held_bytes_ -= message.bytes();
    owned.next = message.offset() + 1;
    owned.read_ms = message.timestamp_ms().value_or(0);
    ++records_;
    auto appended = columns_.append(message, owned.deleted_key, texts);
    if (!appended) {
      ++rejected_;
      rows.rejected.push_back(rejected(message, appended.error()));
    } else if (*appended) {
      delivered_.push_back(std::move(message));
    }
  }

  static std::string place_of(const KafkaMessage& message) {
    const KafkaPartition partition = message.partition();
    std::string place = "topic " + partition.topic + ", partition " +
                        std::to_string(partition.number) + ", offset " +
                        std::to_string(message.offset());
    if (const auto key = message.key()) {
      constexpr size_t kKeyBytesMax = 100;
      const bool text = key->find_first_of(std::string_view("\0\n\r", 3)) == std::string_view::npos;
      if (text && key->size() <= kKeyBytesMax) place += ", key '" + std::string(*key) + "'";
    }
    return place;
  }

  static RejectedInput rejected(const KafkaMessage& message, const std::string& why) {
    RejectedInput input;
    input.number = message.offset();
    input.text = std::string(message.value().value_or(""));
    input.error.code = Errc::kRowRejected;
    input.error.sqlstate = pgproto::Sqlstate("22P02");
    input.error.message = place_of(message) + ": " + why;
    return input;
  }

  KafkaOptions options_;
  MessageColumns columns_;
  Reporter& reporter_;
  std::unique_ptr<KafkaConsumer> consumer_;  ///< Null until the first rows are wanted.
  std::string cluster_;
  std::shared_ptr<const Schema> whole_;  ///< Of the next run: report_unchanged() was called.
  bool without_truncates_ = false;
  bool by_sinks_ = false;
  bool finishing_ = false, was_assigned_ = false;
  std::map<KafkaPartition, OwnedPartition> owned_;
  std::optional<StreamChange> change_;
  std::optional<Revocation> revoked_;        ///< Of those of owned_ that must be given up …
  std::vector<KafkaPartition> revoked_all_;  ///< … and of all that the group named.
  size_t held_messages_ = 0, held_bytes_ = 0;
  uint64_t polled_ = 0;
  uint64_t records_ = 0, rejected_ = 0, rebalances_ = 0, fenced_ = 0;  ///< For monitoring.
  std::vector<KafkaMessage> delivered_;  ///< Messages of the last micro-batch.
  uint64_t number_ = 0, committed_ = 0;  ///< Of micro-batches.
  std::deque<Delivered> waiting_;        ///< Delivered and not committed.
  std::map<KafkaPartition, uint64_t> to_store_;
  TimePoint stored_at_;
};

}  // namespace

std::unique_ptr<UnboundedSource> make_kafka_source(KafkaOptions options, Reporter& reporter) {
  return std::make_unique<KafkaSource>(std::move(options), reporter);
}

Status check_kafka_options(const KafkaOptions& options) {
  if (auto made = KafkaConsumer::create(options, false); !made) return fail(made.error());
  return {};
}

Status check_kafka(const KafkaOptions& options) {
  auto consumer = KafkaConsumer::create(options, false);
  if (!consumer) return fail(consumer.error());
  return (*consumer)->check_topics(options.topics);
}

}  // namespace pgsink::shell
