// Four kinds of sinks that write without end while the server, its backends and the network fail
// every few seconds: nothing is lost, nothing is there twice that may not be, and the process needs
// no more memory, descriptors or threads at the end than soon after the start. PGSINK_SOAK_SECONDS
// is how long; tests/soak asks for half an hour.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <random>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"
#include "support/usage.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using test::PostgresServer;
using test::StopMode;
using test::Usage;
using test::WireProxy;

constexpr int64_t kBatchRows = 500;
constexpr int64_t kKeys = 5000;
constexpr int64_t kTextSizes = 200;
constexpr int64_t kBadEvery = 1000, kBadRow = 7;
/// Freed memory that the allocator keeps, and that of sanitizers, says nothing of leaks.
constexpr size_t kGrowthMax = size_t{16} << 20;
constexpr auto kWarmUpMin = 60s;
#ifdef PGSINK_SANITIZED
constexpr bool kMemoryTells = false;
#else
constexpr bool kMemoryTells = true;
#endif

struct Row {
  int64_t id = 0;
  int64_t version = 0;
  std::string text;
};

RecordBatch batch_of_rows(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("version", &Row::version),
                  column("text", &Row::text));
}

/// Stream writes rows 1, 2, 3 … into a table of its name until told to stop.
class Stream {
 public:
  Stream(SinkOptions options, uint64_t flush_every)
      : options_(std::move(options)), flush_every_(flush_every) {}

  void run(std::latch& opened, const std::atomic<bool>& stop) {
    auto sink = Sink::open(options_, batch_of_rows({}).schema());
    opened.count_down();
    ASSERT_TRUE(sink) << sink.error().to_string();
    for (uint64_t n = 1; !stop; ++n) {
      RecordBatch batch = batch_of_rows(next_rows());
      batch.position = n;
      const Status written = (*sink)->write(std::move(batch));
      ASSERT_TRUE(written) << written.error().to_string();
      if (n % flush_every_ == 0) {
        const Status flushed = (*sink)->flush();
        ASSERT_TRUE(flushed) << flushed.error().to_string();
      }
      // A quarter of the time as fast as it can.
      if (n / 200 % 4 != 3) std::this_thread::sleep_for(50ms);
    }
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
    EXPECT_GT(rows_, 0);
    metrics_ = (*sink)->metrics();
  }

  int64_t rows() const { return rows_; }
  const SinkMetrics& metrics() const { return metrics_; }
  /// Of an upsert: what the last row of each key says.
  const std::vector<int64_t>& versions() const { return versions_; }

 private:
  std::vector<Row> next_rows() {
    const bool by_key = options_.write_mode == WriteMode::kUpsert;
    std::vector<Row> made;
    for (int64_t i = 0; i < kBatchRows; ++i) {
      const int64_t row = ++rows_;
      const auto id = by_key ? static_cast<int64_t>(random_() % kKeys) : row;
      if (by_key) versions_[static_cast<size_t>(id)] = row;
      made.push_back({id, row, std::string(static_cast<size_t>(row * 7919 % kTextSizes), 't')});
    }
    return made;
  }

  SinkOptions options_;
  uint64_t flush_every_;
  std::mt19937_64 random_{23};
  std::atomic<int64_t> rows_ = 0;
  std::vector<int64_t> versions_ = std::vector<int64_t>(kKeys);
  SinkMetrics metrics_;
};

/// Faults brings about one after another, chosen at random.
class Faults {
 public:
  Faults(PostgresServer& server, WireProxy& proxy) : server_(server), proxy_(proxy) {}

  void one() {
    static constexpr std::array kAll{
        &Faults::end_session, &Faults::kill_backend, &Faults::restart_fast, &Faults::die,
        &Faults::pause,       &Faults::lock_tables,  &Faults::cut,          &Faults::leave_orphan,
        &Faults::swallow,     &Faults::refuse,
    };
    (this->*kAll[random_() % kAll.size()])();
    ++count_;
    server_.wait_until_ready();
    std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 2000));
  }
  uint64_t count() const { return count_; }

 private:
  void end_session() {
    server_.sql(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
        " WHERE application_name ~ 'pgsink' ORDER BY random() LIMIT 1) AS one");
  }
  void kill_backend() {
    const std::vector<pid_t> pids = server_.backend_pids();
    if (!pids.empty()) server_.kill_backend(pids[random_() % pids.size()]);
  }
  void restart_fast() { server_.restart(StopMode::kFast); }
  void die() { server_.restart(StopMode::kImmediate); }
  void pause() {
    const std::vector<pid_t> pids = server_.backend_pids();
    for (const pid_t pid : pids) server_.kill_backend(pid, SIGSTOP);
    std::this_thread::sleep_for(1s);
    for (const pid_t pid : pids) server_.kill_backend(pid, SIGCONT);
  }
  /// As a wise administrator does: what is prepared is not given up before its epoch ends, whose
  /// other transactions would wait for this.
  void lock_tables() {
    server_.sql(
        "DO $$ BEGIN SET LOCAL lock_timeout = '2s'; LOCK TABLE once, latest, checked, prepared;"
        " PERFORM pg_sleep(1); EXCEPTION WHEN lock_not_available THEN NULL; END $$");
  }
  void cut() { strike(WireProxy::Effect::kCut); }
  void leave_orphan() { strike(WireProxy::Effect::kOrphan); }
  void swallow() { strike(WireProxy::Effect::kSwallow); }
  void refuse() {
    proxy_.refuse_connections(true);
    strike(WireProxy::Effect::kCut);
    proxy_.refuse_connections(false);
  }
  void strike(WireProxy::Effect effect) {
    const bool of_backend = random_() % 2 == 0;
    proxy_.set_rule({.side = of_backend ? WireProxy::Side::kBackend : WireProxy::Side::kFrontend,
                     .nth = 1 + static_cast<int>(random_() % 20),
                     .pass_on = random_() % 2 == 0,
                     .effect = effect});
    std::this_thread::sleep_for(1s);
    proxy_.drop_orphans();
  }

  PostgresServer& server_;
  WireProxy& proxy_;
  std::mt19937_64 random_{42};
  uint64_t count_ = 0;
};

class SoakTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_->sql(
        "CREATE TABLE once (id bigint, version bigint, text text);"
        "CREATE TABLE latest (id bigint PRIMARY KEY, version bigint, text text);"
        "CREATE TABLE checked (id bigint CHECK (id % " +
        std::to_string(kBadEvery) + " <> " + std::to_string(kBadRow) +
        "), version bigint, text text);"
        "CREATE TABLE prepared (id bigint, version bigint, text text)");
  }

  SinkOptions options(const std::string& table, bool through_proxy) {
    SinkOptions made;
    made.connection_name = table;
    made.host = through_proxy ? "127.0.0.1" : server_->socket_dir();
    made.port = std::to_string(through_proxy ? proxy_.port() : server_->port());
    made.ssl_mode = "disable";
    made.database = "postgres";
    made.username = "postgres";
    made.table = table;
    made.batch_size = kBatchRows;
    made.batch_bytes = 1 << 20;
    made.buffer_bytes = 4 << 20;
    made.retry_backoff_ms = 20;
    made.max_retries = 100'000;
    return made;
  }
  SinkOptions once() {
    SinkOptions made = options("once", true);
    made.delivery = Delivery::kExactlyOnce;
    made.sink_id = "once";
    made.parallelism = 2;
    made.partition_by = "hash(id)";
    return made;
  }
  SinkOptions latest() {
    SinkOptions made = options("latest", true);
    made.write_mode = WriteMode::kUpsert;
    made.sink_id = "latest";
    made.parallelism = 2;
    return made;
  }
  SinkOptions checked() {
    SinkOptions made = options("checked", false);
    made.dead_letter_table = "rejected";
    return made;
  }
  SinkOptions prepared() {
    SinkOptions made = options("prepared", true);
    made.use_2pc = true;
    made.sink_id = "prepared";
    return made;
  }

  /// Fails the server every few seconds, and watches what this process needs meanwhile.
  void disturb(std::chrono::seconds duration) {
    Faults faults(*server_, proxy_);
    const auto begun = Clock::now();
    std::optional<Usage> warm;
    while (Clock::now() < begun + duration) {
      faults.one();
      const auto passed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begun);
      const Usage usage = Usage::now();
      std::printf("soak: %lld s, %llu faults, %zu KiB, %zu descriptors, %zu threads\n",
                  static_cast<long long>(passed.count()),
                  static_cast<unsigned long long>(faults.count()), usage.memory / 1024,
                  usage.descriptors, usage.threads);
      std::fflush(stdout);
      if (passed < std::max<std::chrono::seconds>(kWarmUpMin, duration / 6)) continue;
      if (!warm) warm = usage;
      EXPECT_EQ(usage.threads, warm->threads);
      if (kMemoryTells) {
        EXPECT_LT(usage.memory, warm->memory + kGrowthMax);
      }
    }
    EXPECT_GT(faults.count(), 0U);
  }

  std::string scalar(const std::string& text) { return server_->scalar(text); }

  std::unique_ptr<PostgresServer> server_ = PostgresServer::start(
      {.settings = {{"max_prepared_transactions", "20"}, {"max_wal_size", "4GB"}}});
  WireProxy proxy_{server_->socket_dir(), server_->port()};
};

TEST_F(SoakTest, EverythingIsThereAndNothingGrows) {
  const char* asked = std::getenv("PGSINK_SOAK_SECONDS");
  const std::chrono::seconds duration(asked != nullptr ? std::atoi(asked) : 8);
  const Usage before = Usage::now();
  std::atomic<bool> stop = false;
  Stream once_stream(once(), 50), latest_stream(latest(), 50), checked_stream(checked(), 50),
      prepared_stream(prepared(), 20);
  const std::array streams{&once_stream, &latest_stream, &checked_stream, &prepared_stream};
  std::latch opened(streams.size());  // open() itself does not try again.
  std::vector<std::thread> threads;
  for (Stream* stream : streams) {
    threads.emplace_back([stream, &opened, &stop] { stream->run(opened, stop); });
  }
  opened.wait();
  disturb(duration);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  proxy_.drop_orphans();  // One that a rule made after the last fault.
  const Usage after = Usage::settled(before);
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_LE(after.descriptors, before.descriptors);

  const auto whole = [](const Stream& stream) {
    const std::string rows = std::to_string(stream.rows());
    return rows + " " + rows + " " + std::to_string(stream.rows() * (stream.rows() + 1) / 2) + " 0";
  };
  const std::string digest =
      "count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) || ' ' ||"
      " count(*) FILTER (WHERE length(text) <> version * 7919 % " +
      std::to_string(kTextSizes) + ")";
  EXPECT_EQ(scalar("SELECT " + digest + " FROM once"), whole(once_stream));
  EXPECT_EQ(scalar("SELECT " + digest + " FROM prepared"), whole(prepared_stream));
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts"), "0");

  int64_t keys = 0, versions = 0;
  for (size_t id = 0; id < kKeys; ++id) {
    const int64_t version = latest_stream.versions()[id];
    keys += version != 0 ? 1 : 0;
    versions += version * (static_cast<int64_t>(id) + 1);
  }
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(version * (id + 1)) FROM latest"),
            std::to_string(keys) + " " + std::to_string(versions));

  const int64_t rows = checked_stream.rows();
  const int64_t bad = (rows + kBadEvery - kBadRow) / kBadEvery;
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM checked"), std::to_string(rows - bad));
  EXPECT_EQ(
      scalar("SELECT count(DISTINCT (\"row\"->>'id')) || ' ' ||"
             " count(*) FILTER (WHERE (\"row\"->>'id')::bigint % " +
             std::to_string(kBadEvery) + " <> " + std::to_string(kBadRow) + ") FROM rejected"),
      std::to_string(bad) + " 0");
  EXPECT_LE(std::stoull(scalar("SELECT count(*) FROM checked")),
            static_cast<uint64_t>(rows - bad) + checked_stream.metrics().possible_duplicates);
}

}  // namespace
}  // namespace pgsink
