#include "pgsink/partition/partitioner.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::as_text;

/// For a hash-partitioned table without any partition, unless partition_interval is given.
constexpr uint64_t kModulusDefault = 8;
constexpr uint64_t kModulusMax = 4096;
// The maximum for one batch: more is a mistake in the data or the interval, and every partition
// makes each query on the table slower.
constexpr size_t kMissingMax = 4096;
// The maximum for one transaction: each partition takes some of the server's lock table.
constexpr size_t kCreatedAtOnceMax = 32;
// If ranges are clipped, each look at the rows finds the next gaps.
constexpr int kLooksMax = 1000;
// How often other sessions that do not use our lock may come first.
constexpr int kRacesMax = 10;
constexpr Duration kLockTimeout = std::chrono::seconds(10);
// For each partition that is created, a default partition is scanned completely.
constexpr Duration kCreateTimeout = std::chrono::minutes(10);

Duration lock_timeout(const SinkOptions& options) {
  return options.lock_timeout_ms > 0 ? std::chrono::milliseconds(*options.lock_timeout_ms)
                                     : kLockTimeout;
}

constexpr std::string_view kDeletes = "D";

}  // namespace

Partitioner::Partitioner(Setup setup)
    : setup_(std::move(setup)), monitor_(setup_.env.tasks.monitor()) {}

Result<std::unique_ptr<Partitioner>> Partitioner::open(Setup setup, const Plan& plan,
                                                       const CatalogTable& table,
                                                       Connection& connection) {
  std::unique_ptr<Partitioner> made(new Partitioner(std::move(setup)));
  const SinkOptions& options = made->setup_.options;
  const PartitionScheme& scheme = made->setup_.scheme;
  auto name = PartitionName::parse(options.partition_name, scheme.type);
  if (!name) return fail(name.error());
  made->name_ = std::move(*name);
  made->types_ = plan.types;
  made->retry_ = RetryPolicy::from(options);
  const auto key = std::ranges::find(plan.columns, scheme.column, &EncodeColumn::target_name);
  const bool by_value = scheme.type != PartitionType::kHash;
  if (by_value && key == plan.columns.end()) {
    return fail(Errc::kColumnRequired,
                "create_partitions: the input lacks the column \"" + scheme.column +
                    "\", and what its default will be is not known here: add it to the input");
  }
  const CatalogColumn* column = table.find_column(scheme.column);
  made->type_oid_ = column->type_oid;
  auto target = encode::resolve_target(column->type_oid, column->type_modifier, plan.types);
  if (!target) return fail(target.error());
  if (encode::goes_as_text(*target)) {
    return fail(Errc::kColumnType, "create_partitions: which partition a value of " + target->name +
                                       " belongs to is not known here; create the partitions "
                                       "before the rows are written");
  }
  made->target_ = std::move(*target);
  if (scheme.type == PartitionType::kRange) {
    auto rule = RangeRule::create(made->target_, options.partition_interval);
    if (!rule) return fail(rule.error());
    made->rule_ = std::move(*rule);
  }
  if (by_value) {
    made->key_ = *key;
    made->key_.role = EncodeColumn::Role::kValue;
    const auto change =
        std::ranges::find(plan.columns, EncodeColumn::Role::kChange, &EncodeColumn::role);
    if (change != plan.columns.end()) made->change_ = *change;
  } else {
    const std::string& text = options.partition_interval;
    std::from_chars(text.data(), text.data() + text.size(), made->modulus_);
  }
  const Deadline deadline = made->setup_.env.clock.now() + made->setup_.connect.connect_timeout;
  auto map = made->make_map(read_partitions(connection, scheme, deadline));
  if (!map) return fail(map.error());
  made->map_ = std::make_shared<const PartitionMap>(std::move(*map));
  if (!by_value) {
    if (auto complete = made->change({.values = {}, .list = {}, .remainders = true}, made->retry_);
        !complete) {
      return fail(complete.error());
    }
  }
  return made;
}

std::vector<std::string> Partitioner::warnings() const {
  const Map known = map();
  const bool deeper = std::ranges::any_of(known->partitions(), &Partition::partitioned);
  if (!deeper) return {};
  return {"connection \"" + setup_.options.connection_name + "\": partitions of " +
          setup_.scheme.schema + "." + setup_.scheme.table +
          " are partitioned themselves, but pgsink creates only partitions that are plain tables: "
          "create sub-partitioned partitions yourself"};
}

// ---- looking -----------------------------------------------------------------------------------

Partitioner::Map Partitioner::map() const {
  const Monitor::Lock lock(*monitor_);
  return map_;
}

uint64_t Partitioner::generation() const {
  const Monitor::Lock lock(*monitor_);
  return generation_;
}

Result<std::unique_ptr<Partitioner::Readers>> Partitioner::borrow() {
  {
    const Monitor::Lock lock(*monitor_);
    if (!idle_.empty()) {
      auto readers = std::move(idle_.back());
      idle_.pop_back();
      return readers;
    }
  }
  auto readers = std::make_unique<Readers>();
  auto key = KeyReader::create(key_, types_);
  if (!key) return fail(key.error());
  readers->key = std::move(*key);
  if (change_) {
    auto change = KeyReader::create(*change_, types_);
    if (!change) return fail(change.error());
    readers->change = std::move(*change);
  }
  return readers;
}

void Partitioner::give_back(std::unique_ptr<Readers> readers) {
  const Monitor::Lock lock(*monitor_);
  idle_.push_back(std::move(readers));
}

Status Partitioner::ensure(const RecordBatch& batch) {
  return ensure_rows(batch, {.begin = 0, .count = batch.row_count(), .indexes = nullptr}, retry_);
}

Status Partitioner::ensure_rows(const RecordBatch& batch, RowRange rows, const RetryPolicy& retry) {
  if (setup_.scheme.type == PartitionType::kHash) return {};
  auto readers = borrow();
  if (!readers) return fail(readers.error());
  Status there;
  bool complete = false;
  for (int look = 0; there && !complete && look < kLooksMax; ++look) {
    const Map known = map();
    const Missing missing = find_missing(**readers, *known, batch, rows);
    complete = missing.empty();
    if (missing.size() > kMissingMax) {
      there = fail(Errc::kPartition, "create_partitions: one batch needs more than " +
                                         std::to_string(kMissingMax) + " new partitions of " +
                                         setup_.scheme.schema + "." + setup_.scheme.table +
                                         ": use a wider partition_interval, or look at column \"" +
                                         setup_.scheme.column + "\" of the input");
    } else if (!complete) {
      there = change(missing, retry);
    }
  }
  give_back(std::move(*readers));
  if (there && !complete) return fail(lost_race("the partitions of one batch"));
  return there;
}

Partitioner::Missing Partitioner::find_missing(Readers& readers, const PartitionMap& map,
                                               const RecordBatch& batch, RowRange rows) const {
  Missing missing;
  RangeSpan known{1, 0};  // The range of the previous value; none yet.
  while (rows.count > 0) {
    const size_t count = std::min(rows.count, KeyReader::kRowsMax);
    const KeyReader::Values* keys = &readers.key->read(batch, rows);
    KeyReader::Values inserted;
    if (readers.change) {
      const KeyReader::Values& changes = readers.change->read(batch, rows);
      inserted = *keys;
      for (size_t i = 0; i < count; ++i) {
        const bool inserts = changes.size[i] > 0 && as_text(changes.bytes(i)) != kDeletes;
        if (!inserts) inserted.size[i] = KeyReader::kRejected;
      }
      keys = &inserted;
    }
    if (rule_) {
      look_at_ranges(map, *keys, count, known, missing);
    } else {
      look_at_list(map, *keys, count, missing);
    }
    if (missing.size() > kMissingMax) return missing;
    rows.begin += count;
    rows.count -= count;
  }
  return missing;
}

void Partitioner::look_at_ranges(const PartitionMap& map, const KeyReader::Values& keys,
                                 size_t count, RangeSpan& known, Missing& missing) const {
  for (size_t i = 0; i < count; ++i) {
    if (keys.size[i] < 0) continue;
    const int64_t value = rule_->load(keys.bytes(i));
    if (known.contains(value)) continue;
    if (const PartitionMap::Range* found = map.find_range(value)) {
      known = found->span;
      continue;
    }
    if (!rule_->is_finite(value)) continue;
    known = rule_->around(value);
    // A range that is missing already, or a gap of it: the next look finds the rest.
    const bool noted =
        std::ranges::any_of(missing.values, [&](int64_t other) { return known.contains(other); });
    if (!noted) missing.values.push_back(value);
    if (missing.size() > kMissingMax) return;
  }
}

void Partitioner::look_at_list(const PartitionMap& map, const KeyReader::Values& keys, size_t count,
                               Missing& missing) const {
  std::optional<std::string_view> before;
  bool first = true;
  for (size_t i = 0; i < count; ++i) {
    if (keys.size[i] < KeyReader::kNull) continue;
    std::optional<std::string_view> value;
    if (keys.size[i] != KeyReader::kNull) value = as_text(keys.bytes(i));
    if (!first && value == before) continue;
    first = false;
    before = value;
    if (map.find_value(value)) continue;
    std::optional<std::string> wanted;
    if (value) wanted.emplace(*value);
    if (std::ranges::find(missing.list, wanted) == missing.list.end()) {
      missing.list.push_back(std::move(wanted));
    }
    if (missing.size() > kMissingMax) return;
  }
}

// ---- creating ----------------------------------------------------------------------------------

/// One thread at a time; a thread that waited checks the rows again.
Status Partitioner::change(const Missing& missing, const RetryPolicy& retry) {
  Map before;
  {
    const Monitor::Lock lock(*monitor_);
    const uint64_t seen = generation_;
    while (busy_) monitor_->wait(kNoDeadline);
    if (generation_ != seen) return {};
    busy_ = true;
    before = map_;
  }
  // Also without memory the next thread must get its turn.
  struct Turn {
    Partitioner& owner;
    ~Turn() {
      const Monitor::Lock lock(*owner.monitor_);
      owner.busy_ = false;
      owner.monitor_->notify_all();
    }
  } const turn{*this};
  auto made = create_with_retries(missing, retry);
  if (!made) return fail(made.error());
  const Monitor::Lock lock(*monitor_);
  const bool same = made->same_partitions(*before);
  map_ = std::make_shared<const PartitionMap>(std::move(*made));
  if (!same) ++generation_;
  return {};
}

Result<PartitionMap> Partitioner::create_with_retries(const Missing& missing,
                                                      const RetryPolicy& retry) {
  Backoff backoff(retry, setup_.env.random.next_u64());
  RetryLimit limit(retry);
  for (uint32_t attempt = 1;; ++attempt) {
    auto made = create_once(missing);
    if (made || !retries(made.error())) return made;
    const Status counted = limit.failed(attempt, made.error(), setup_.env.clock.now());
    if (!counted) return fail(counted.error());
    pause(backoff.delay(attempt));
  }
}

bool Partitioner::retries(const Error& error) const {
  // Locks of our own prepared transactions are held until the host commits them, and the host is
  // waiting in this call.
  if (setup_.options.use_2pc && error.sqlstate == "55P03") return false;
  const bool lost = error.code == Errc::kConnect || error.code == Errc::kConnectionLost ||
                    error.code == Errc::kTimeout;
  return lost ? retry_.rule.allows_reconnect(error) : retry_.rule.allows(error);
}

void Partitioner::pause(Duration delay) {
  const Deadline until = setup_.env.clock.now() + delay;
  const auto sleeping = setup_.env.tasks.monitor();
  const Monitor::Lock lock(*sleeping);
  while (sleeping->wait(until)) {
  }
}

Result<PartitionMap> Partitioner::make_map(Result<std::vector<Partition>> partitions) const {
  if (!partitions) return fail(partitions.error());
  return PartitionMap::create(std::move(*partitions), rule_ ? &*rule_ : nullptr, target_);
}

/// In transactions of a few partitions each.
Result<PartitionMap> Partitioner::create_once(const Missing& missing) {
  auto connection = Connection::open(setup_.env, setup_.connect, setup_.salted_keys);
  if (!connection) return fail(connection.error());
  const Deadline soon = setup_.env.clock.now() + kCreateTimeout;
  PartitionStore store(**connection, setup_.scheme, setup_.options.set_role,
                       lock_timeout(setup_.options), soon);
  std::vector<std::string> other_forms;
  for (size_t next = 0;;) {
    auto map = make_map(store.begin());
    if (!map) return map;
    Status done = missing.remainders ? create_remainders(store, *map) : Status();
    const size_t end = std::min(missing.size(), next + kCreatedAtOnceMax);
    for (; done && next < end; ++next) {
      done = rule_ ? create_range(store, *map, missing.values[next])
                   : create_list(store, *map, missing.list[next], other_forms);
    }
    // State that an error leaves ends with the connection.
    if (!done) return fail(done.error());
    auto after = make_map(store.commit());
    if (!after) return after;
    for (const std::string& value : other_forms) after->add_value(value);
    if (next < missing.size()) continue;
    // Until the catalog is read again, their rows go through the parent.
    if (setup_.leaves != nullptr) std::ignore = setup_.leaves->refresh(**connection, soon);
    return after;
  }
}

Status Partitioner::create_range(PartitionStore& store, PartitionMap& map, int64_t value) {
  std::string name;
  for (int race = 0; race < kRacesMax; ++race) {
    if (map.find_range(value) != nullptr) return {};
    const RangeSpan span = map.clip(rule_->around(value), value);
    const std::string bound = sql_text(Sql::kFromTo, {rule_->from_sql(span), rule_->to_sql(span)});
    name = name_.of_range(setup_.scheme.table, *rule_, span);
    const auto made = store.create(name, bound);
    if (!made) return fail(made.error());
    if (*made == PartitionStore::Outcome::kCreated) {
      map.add_range(span);
      return {};
    }
    auto now = make_map(store.read());
    if (!now) return fail(now.error());
    map = std::move(*now);
    const bool taken = *made == PartitionStore::Outcome::kNameTaken;
    if (taken && map.find_range(value) == nullptr) return fail(store.name_taken(name, bound));
  }
  return map.find_range(value) != nullptr ? Status()
                                          : fail(lost_race("partition \"" + name + "\""));
}

Status Partitioner::create_list(PartitionStore& store, PartitionMap& map,
                                const std::optional<std::string>& value,
                                std::vector<std::string>& other_forms) {
  const auto takes = [&] {
    const auto sought = value ? std::optional<std::string_view>(*value) : std::nullopt;
    return map.find_value(sought).has_value();
  };
  std::string name;
  for (int race = 0; race < kRacesMax; ++race) {
    if (takes()) return {};
    const auto constant = store.constant(value, type_oid_);
    if (!constant) return fail(constant.error());
    const std::string bound = sql_text(Sql::kInValues, {constant->sql});
    name = name_.of_value(setup_.scheme.table, constant->text);
    const auto made = store.create(name, bound);
    if (!made) return fail(made.error());
    if (*made == PartitionStore::Outcome::kCreated) {
      map.add_value(value);
      // Its bounds may show another form of the value, such as 1.00 for 1.0.
      if (value) other_forms.push_back(*value);
      return {};
    }
    auto now = make_map(store.read());
    if (!now) return fail(now.error());
    map = std::move(*now);
    if (takes()) return {};
    if (*made == PartitionStore::Outcome::kNameTaken) return fail(store.name_taken(name, bound));
    // Some partition takes it nevertheless.
    if (value) {
      map.add_value(value);
      other_forms.push_back(*value);
    }
  }
  return takes() ? Status() : fail(lost_race("partition \"" + name + "\""));
}

Status Partitioner::create_remainders(PartitionStore& store, PartitionMap& map) {
  const uint64_t found = map.modulus();
  if (found != 0 && modulus_ != 0 && found != modulus_) {
    return fail(Errc::kOptionConflict, "partition_interval: table " + setup_.scheme.schema + "." +
                                           setup_.scheme.table + " has partitions of modulus " +
                                           std::to_string(found) + ", not " +
                                           std::to_string(modulus_) + ": leave the option out");
  }
  const uint64_t modulus = found != 0 ? found : modulus_ != 0 ? modulus_ : kModulusDefault;
  if (modulus > kModulusMax) {
    return fail(Errc::kPartition, "create_partitions: a modulus of " + std::to_string(modulus) +
                                      " is more than " + std::to_string(kModulusMax) +
                                      ": create the partitions yourself");
  }
  for (const uint64_t remainder : map.missing_remainders(modulus)) {
    const std::string bound =
        sql_text(Sql::kWithModulus, {std::to_string(modulus), std::to_string(remainder)});
    const std::string name = name_.of_remainder(setup_.scheme.table, modulus, remainder);
    const auto made = store.create(name, bound);
    if (!made) return fail(made.error());
    if (*made == PartitionStore::Outcome::kCreated) continue;
    auto now = make_map(store.read());
    if (!now) return fail(now.error());
    const auto still = now->missing_remainders(modulus);
    if (std::ranges::find(still, remainder) == still.end()) continue;
    return fail(*made == PartitionStore::Outcome::kNameTaken
                    ? store.name_taken(name, bound)
                    : lost_race("partition \"" + name + "\""));
  }
  return {};
}

Error Partitioner::lost_race(const std::string& what) const {
  Error error;
  error.code = Errc::kPartition;
  error.message = "create_partitions: " + what + " of " + setup_.scheme.schema + "." +
                  setup_.scheme.table +
                  ": other sessions keep creating, attaching or dropping partitions in its place";
  return error;
}

Result<bool> Partitioner::restore(const std::vector<Rows>& rows, uint64_t sent) {
  if (generation() != sent) return true;
  RetryPolicy at_once = retry_;  // The caller retries itself.
  at_once.retries_max = 0;
  const bool hash = setup_.scheme.type == PartitionType::kHash;
  if (auto looked = change({.values = {}, .list = {}, .remainders = hash}, at_once); !looked) {
    return fail(looked.error());
  }
  for (const Rows& some : rows) {
    auto there = ensure_rows(*some.batch, some.rows, at_once);
    if (!there) return fail(there.error());
  }
  return generation() != sent;
}

}  // namespace pgsink
