// Clients, backends and connections that die in the middle of everything: what is in the table
// afterwards must be what the delivery promises. PGSINK_CRASH_KILLS is how many deaths each of the
// tests below brings about; tests/soak asks for thousands.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using test::WireProxy;
using Effect = WireProxy::Effect;
using Side = WireProxy::Side;

constexpr int64_t kBatchRows = 10;
/// Flights that travel together before a flush waits for them.
constexpr uint64_t kBatchesOfFlush = 7;

/// Kind is one way of delivering. Another one is another row of kKinds, nothing else.
struct Kind {
  const char* name;
  WriteMode mode;
  /// Every row exactly once, and a new process learns from the database where to go on. Otherwise
  /// rows may come again, and the host remembers what it was told.
  bool once;
  void (*configure)(SinkOptions&);
  /// What must be 0 in the end, as a query; null for nothing.
  const char* left_behind;

  bool upserts() const { return mode == WriteMode::kUpsert; }
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

void exactly_once(SinkOptions& options) {
  options.delivery = Delivery::kExactlyOnce;
  options.sink_id = "orders";
}
/// At least once, but no older row over a newer one, whatever a dead process left behind.
void named(SinkOptions& options) { options.sink_id = "orders"; }
void staged(SinkOptions& options) {
  named(options);
  options.use_copy = true;
}
void by_default(SinkOptions&) {}
void by_copy(SinkOptions& options) { options.use_copy = true; }

constexpr Kind kKinds[] = {
    {"AtLeastOnce", WriteMode::kInsert, false, by_default, nullptr},
    {"AtLeastOnceCopy", WriteMode::kInsert, false, by_copy, nullptr},
    {"AtLeastOnceUpsert", WriteMode::kUpsert, false, named, nullptr},
    {"AtLeastOnceStagedUpsert", WriteMode::kUpsert, false, staged, nullptr},
    {"ExactlyOnce", WriteMode::kInsert, true, exactly_once, nullptr},
    {"ExactlyOnceUpsert", WriteMode::kUpsert, true, exactly_once, nullptr},
};

struct Row {
  int64_t id = 0;
  int64_t version = 0;
};

uint64_t kills_wanted(uint64_t otherwise) {
  const char* asked = std::getenv("PGSINK_CRASH_KILLS");
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : otherwise;
}

void pause_us(uint64_t us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

class CrashTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { use(test::shared_server()); }

  void use(PostgresServer& server) {
    server_ = &server;
    database_ = server.create_database("crash");
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = server.socket_dir();
    options_.port = std::to_string(server.port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.ssl_mode = "disable";
    options_.write_mode = kind().mode;
    options_.batch_size = kBatchRows;
    options_.copy_batch_size = kBatchRows;
    options_.retry_backoff_ms = 3;
    options_.max_retries = 1000;
    options_.connection_timeout_ms = 60'000;  // open() does not try again.
    kind().configure(options_);
    make_table();
  }
  void use_proxy() {
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
  }
  void make_table() {
    sql("DROP TABLE IF EXISTS t, regressions, pgsink_epochs; "
        "CREATE TABLE t (id bigint, version bigint)");
    if (!kind().upserts()) return;
    // An older value over a newer one does not stay unseen.
    sql("ALTER TABLE t ADD PRIMARY KEY (id); CREATE TABLE regressions (id bigint); "
        "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO regressions VALUES (NEW.id); RETURN NEW; END $$; "
        "CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.version < OLD.version) "
        "EXECUTE FUNCTION note()");
  }

  static const Kind& kind() { return GetParam(); }
  void sql(const std::string& text) { server_->sql(text, database_); }
  std::string scalar(const std::string& text) { return server_->scalar(text, database_); }
  int64_t number(const std::string& text) { return std::stoll(scalar(text)); }

  /// Batch n holds the input's rows 10(n-1)+1 … 10n, and its position is n. Upserts write few keys
  /// again and again, also within a batch.
  static RecordBatch batch(uint64_t n) {
    std::vector<Row> rows;
    for (int64_t i = 1; n > 0 && i <= kBatchRows; ++i) {
      const int64_t row = static_cast<int64_t>(n - 1) * kBatchRows + i;
      rows.push_back({.id = kind().upserts() ? row * row % 13 : row, .version = row});
    }
    RecordBatch made =
        batch_of(std::move(rows), column("id", &Row::id), column("version", &Row::version));
    made.position = n;
    return made;
  }
  std::unique_ptr<Sink> open() {
    proxy_->set_rule({.type = '!'});  // No message has that type: what was set before is over.
    auto sink = Sink::open(options_, batch(0).schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    return std::move(*sink);
  }

  /// Expects what `batches` batches leave, and of rows that stand more than once at most that many.
  void expect_table(uint64_t batches, uint64_t duplicates_max) {
    const std::string rows = std::to_string(batches * static_cast<uint64_t>(kBatchRows));
    const std::string input = "SELECT r AS version, " +
                              std::string(kind().upserts() ? "r * r % 13" : "r") +
                              " AS id FROM generate_series(1::bigint, " + rows + ") r";
    const std::string sums =
        "SELECT count(*) || ' rows, sums ' || coalesce(sum(id), 0) || ' ' || "
        "coalesce(sum(version), 0) || ' ' || "
        "coalesce(sum(hashint8extended(id * 1000003 + version, 7)), 0) FROM ";
    if (kind().upserts()) {
      EXPECT_EQ(scalar(sums + "t"), scalar(sums + "(SELECT id, max(version) AS version FROM (" +
                                           input + ") i GROUP BY id) last"));
      EXPECT_LE(number("SELECT count(*) FROM regressions"), static_cast<int64_t>(duplicates_max))
          << "rows that were older than what they replaced";
    } else {
      EXPECT_EQ(scalar(sums + "(SELECT DISTINCT id, version FROM t) d"),
                scalar(sums + "(" + input + ") i"));
      EXPECT_LE(number("SELECT count(*) - count(DISTINCT id) FROM t"),
                static_cast<int64_t>(duplicates_max));
    }
    if (kind().left_behind != nullptr) {
      EXPECT_EQ(scalar(kind().left_behind), "0") << kind().left_behind;
    }
  }
  void expect_table(uint64_t batches, const Sink& sink) {
    if (kind().once) {
      EXPECT_EQ(sink.metrics().possible_duplicates, 0U);
    }
    expect_table(batches, sink.metrics().possible_duplicates);
  }

  /// Writes until `enough`, looking at the table after each flush. Returns the last batch.
  uint64_t write_until(Sink& sink, const std::function<bool()>& enough) {
    uint64_t n = 0;
    while (!enough() || n < kBatchesOfFlush) {
      for (uint64_t i = 0; i < kBatchesOfFlush; ++i) must(sink.write(batch(++n)));
      must(sink.flush());
      EXPECT_EQ(sink.durable_position(), n);
      if (n % (8 * kBatchesOfFlush) == 0) expect_table(n, sink);
    }
    return n;
  }
  static void must(const Status& status) {
    if (!status) throw std::runtime_error(status.error().to_string());
  }
  /// Backends that outlive their clients have said their last.
  void wait_for_backends() {
    const std::string alive =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
        "application_name = 'pgsink/test'";
    for (int i = 0; i < 2000 && scalar(alive) != "0"; ++i) pause_us(2000);
    EXPECT_EQ(scalar(alive), "0");
  }

  PostgresServer* server_ = nullptr;
  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
  std::mt19937_64 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Kinds, CrashTest, ::testing::ValuesIn(kKinds),
                         [](const auto& instance) { return instance.param.name; });

// ---- the client --------------------------------------------------------------------------------

/// Diary is the memory of the host that outlives its processes.
struct Diary {
  std::atomic<uint64_t> first{0};    ///< The batch that this life began with; 0: not yet.
  std::atomic<uint64_t> offered{0};  ///< The last batch given to write() in this life.
  std::atomic<uint64_t> durable{0};
};

class SharedDiary {
 public:
  SharedDiary()
      : memory_(mmap(nullptr, sizeof(Diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    diary_ = new (memory_) Diary;
  }
  ~SharedDiary() { munmap(memory_, sizeof(Diary)); }
  SharedDiary(const SharedDiary&) = delete;
  SharedDiary& operator=(const SharedDiary&) = delete;
  Diary* operator->() { return diary_; }
  Diary& operator*() { return *diary_; }

 private:
  void* memory_;
  Diary* diary_;
};

class ClientCrashTest : public CrashTest {
 protected:
  /// One life of the host: goes on where the last one was, up to a batch, or until it is killed.
  int live(uint64_t last_batch) {
    auto sink = Sink::open(options_, batch(0).schema());
    if (!sink) return complain(sink.error());
    const uint64_t before = kind().once ? (*sink)->durable_position() : diary_->durable.load();
    diary_->offered = before;
    diary_->first = before + 1;
    for (uint64_t n = before + 1; n <= last_batch; ++n) {
      diary_->offered = n;
      if (const Status written = (*sink)->write(batch(n)); !written) {
        return complain(written.error());
      }
      if (n % kBatchesOfFlush == 0) {
        if (const Status flushed = (*sink)->flush(); !flushed) return complain(flushed.error());
      }
      remember(**sink);
    }
    const Status closed = (*sink)->close();
    remember(**sink);
    return closed ? 0 : complain(closed.error());
  }
  void remember(const Sink& sink) {
    diary_->durable = std::max(diary_->durable.load(), sink.durable_position());
  }
  static int complain(const Error& error) {
    std::fprintf(stderr, "the host: %s\n", error.to_string().c_str());
    return 3;
  }

  /// Starts a life and kills it: sometimes while it opens, mostly somewhere in its writing.
  void live_and_die() {
    diary_->first = 0;
    const pid_t host = fork();
    if (host == 0) _exit(live(UINT64_MAX));
    ASSERT_GT(host, 0);
    if (random_() % 8 == 0) {
      pause_us(random_() % 20'000);
    } else {
      const uint64_t batches = random_() % 20;
      const auto begun = [&] { return diary_->first > 0 && diary_->offered >= diary_->first; };
      const auto far = [&] { return diary_->offered >= diary_->first + batches; };
      for (int i = 0; i < 100'000 && !(begun() && far()); ++i) pause_us(100);
      pause_us(random_() % 2000);
    }
    kill(host, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(host, &status, 0), host);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the host ended by itself: " << status;
    for (uint64_t n = diary_->first; diary_->first > 0 && n <= diary_->offered; ++n) {
      ++times_offered_[n];
    }
  }

  SharedDiary diary_;
  std::map<uint64_t, int64_t> times_offered_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, ClientCrashTest, ::testing::ValuesIn(kKinds),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(ClientCrashTest, AClientKilledAtAnyTime) {
  const uint64_t kills = kills_wanted(4);
  for (uint64_t i = 0; i < kills && !HasFatalFailure(); ++i) {
    live_and_die();
  }
  const uint64_t last = std::max(diary_->offered.load(), diary_->durable.load()) + 10;
  diary_->first = 0;
  ASSERT_EQ(live(last), 0);
  for (uint64_t n = diary_->first; n <= last; ++n) ++times_offered_[n];
  EXPECT_EQ(diary_->durable, last);
  wait_for_backends();

  uint64_t again = 0;
  for (const auto& [n, times] : times_offered_) again += static_cast<uint64_t>(times - 1);
  const uint64_t rows_again = again * static_cast<uint64_t>(kBatchRows);
  expect_table(last, kind().once ? 0 : rows_again);
  std::printf("%llu clients killed, %llu batches, %llu of them given again\n",
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(last),
              static_cast<unsigned long long>(again));
  if (kind().upserts() || kind().once) return;
  // No row more often than the host gave it.
  for (const auto& row :
       server_->sql("SELECT (id - 1) / 10 + 1, max(n) FROM (SELECT id, count(*) n "
                    "FROM t GROUP BY id HAVING count(*) > 1) d GROUP BY 1",
                    database_)) {
    EXPECT_LE(std::stoll(*row[1]), times_offered_[std::stoull(*row[0])]) << "batch " << *row[0];
  }
}

// ---- the backend -------------------------------------------------------------------------------

TEST_P(CrashTest, BackendsTerminatedAtAnyTime) {
  const uint64_t wanted = kills_wanted(5);
  auto sink = open();
  std::atomic<uint64_t> killed = 0;
  std::atomic<bool> enough = false;
  std::thread killer([&] {
    std::set<std::string> pids;
    while (!enough) {
      pause_us(random_() % 12'000);
      // In the target list: as a condition it might be asked of backends that are none of ours.
      for (const auto& row : server_->sql(
               "SELECT pid || ' ' || backend_start, pg_terminate_backend(pid) FROM "
               "pg_stat_activity WHERE datname = current_database() AND application_name = "
               "'pgsink/test'",
               database_)) {
        if (row[1] == "t") pids.insert(*row[0]);
      }
      killed = pids.size();
    }
  });
  uint64_t last = 0;
  try {
    // Who dies before it has greeted the client is no connection that was opened.
    last = write_until(
        *sink, [&] { return killed >= wanted && sink->metrics().connections_opened > wanted / 2; });
    must(sink->close());
  } catch (const std::runtime_error& error) {
    ADD_FAILURE() << error.what();
  }
  enough = true;
  killer.join();
  EXPECT_GT(sink->metrics().connections_opened, wanted / 2);
  expect_table(last, *sink);
  std::printf("%llu backends terminated, %llu batches, %llu possible duplicates\n",
              static_cast<unsigned long long>(killed), static_cast<unsigned long long>(last),
              static_cast<unsigned long long>(sink->metrics().possible_duplicates));
}

/// kill -9 makes the whole server start over, and what it handed out is handed out again.
TEST_P(CrashTest, BackendsKilledSoThatTheServerStartsOver) {
  static const std::unique_ptr<PostgresServer> kCrashing = PostgresServer::start();
  use(*kCrashing);
  const uint64_t wanted = kills_wanted(25) / 25;
  auto sink = open();
  std::atomic<uint64_t> killed = 0;
  std::thread killer([&] {
    while (killed < wanted) {
      pause_us(10'000 + random_() % 60'000);
      try {
        const auto pids = server_->backend_pids(database_);
        if (pids.empty()) continue;
        const pid_t victim = pids[random_() % pids.size()];
        server_->kill_backend(victim);
        // Until the postmaster knows.
        EXPECT_TRUE(test::eventually([&] { return ::kill(victim, 0) != 0; }));
      } catch (const std::runtime_error&) {
        continue;  // The server is starting over.
      }
      ++killed;
    }
  });
  uint64_t n = 0;
  try {
    while (killed < wanted || n == 0) {
      for (uint64_t i = 0; i < kBatchesOfFlush; ++i) must(sink->write(batch(++n)));
      must(sink->flush());
    }
    must(sink->close());
  } catch (const std::runtime_error& error) {
    ADD_FAILURE() << error.what();
    killed = wanted;
  }
  killer.join();
  server_->wait_until_ready();
  wait_for_backends();
  expect_table(n, *sink);
  sink.reset();
  proxy_.reset();
  std::printf("%llu servers crashed, %llu batches\n", static_cast<unsigned long long>(killed),
              static_cast<unsigned long long>(n));
}

// ---- the connection ----------------------------------------------------------------------------

constexpr uint64_t kFlights = 3;

class CutTest : public CrashTest {
 protected:
  void SetUp() override {
    CrashTest::SetUp();
    use_proxy();
  }
  /// Writes some flights while that rule holds.
  std::unique_ptr<Sink> write_flights(const WireProxy::Rule& rule) {
    make_table();
    auto sink = open();
    proxy_->set_rule(rule);
    for (uint64_t n = 1; n <= kFlights; ++n) must(sink->write(batch(n)));
    must(sink->flush());
    return sink;
  }
  /// Before and after every message of the flights, of both sides; the server learns of it or not.
  std::vector<WireProxy::Rule> every_boundary() {
    std::vector<WireProxy::Rule> rules;
    for (const Side side : {Side::kFrontend, Side::kBackend}) {
      const auto sink = write_flights({.side = side, .nth = INT32_MAX});
      for (int nth = 1; nth <= proxy_->seen(); ++nth) {
        for (const Effect effect : {Effect::kCut, Effect::kOrphan}) {
          for (const bool pass_on : {false, true}) {
            rules.push_back({.side = side, .nth = nth, .pass_on = pass_on, .effect = effect});
          }
        }
      }
    }
    return rules;
  }
  static std::string describe(const WireProxy::Rule& rule) {
    return std::string(rule.pass_on ? "after" : "before") + " message " + std::to_string(rule.nth) +
           (rule.side == Side::kFrontend ? " of the client" : " of the server") +
           (rule.effect == Effect::kOrphan ? ", the server not knowing" : "");
  }
  /// Of how many rows the outcome may be in doubt if the connection is cut there.
  uint64_t doubtful_rows(const WireProxy::Rule& rule) const {
    uint64_t told = 0;
    if (rule.side == Side::kBackend && rule.effect == Effect::kCut && !kind().upserts()) {
      const uint64_t passed = static_cast<uint64_t>(rule.nth) - (rule.pass_on ? 0 : 1);
      // What has told its xid is not in doubt.
      if (options_.use_copy == true) {
        told = (passed + 6) / 9;  // C(BEGIN) T D(xid) C G | C(COPY) Z | C(COMMIT) Z
      } else if (passed >= 9) {
        // Defaults: C C Z | 1 2 C(INSERT) 1 2 D(xid) C Z | 2 C(INSERT) 2 D(xid) C Z | …
        told = (passed - 3) / 6;
      }
      told = std::min(kFlights, told);
    }
    return kind().once ? 0 : (kFlights - told) * static_cast<uint64_t>(kBatchRows);
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, CutTest, ::testing::ValuesIn(kKinds),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(CutTest, ConnectionsCutAtEveryMessage) {
  std::vector<WireProxy::Rule> rules = every_boundary();
  std::ranges::shuffle(rules, random_);
  const uint64_t wanted = kills_wanted(5);
  int cuts = 0;
  uint64_t unknown = 0;
  for (uint64_t i = 0; i < wanted; ++i) {
    const WireProxy::Rule& rule = rules[i % rules.size()];
    SCOPED_TRACE(describe(rule));
    auto sink = write_flights(rule);
    cuts += proxy_->fired() ? 1 : 0;
    EXPECT_LE(sink->metrics().possible_duplicates, doubtful_rows(rule));
    unknown += sink->metrics().possible_duplicates;
    must(sink->close());
    proxy_->drop_orphans();
    expect_table(kFlights, *sink);
    if (HasFailure()) return;
  }
  EXPECT_GT(cuts, static_cast<int>(wanted / 2));
  std::printf("%d connections cut at %zu places, %llu possible duplicates\n", cuts, rules.size(),
              static_cast<unsigned long long>(unknown));
}

/// If the server lived on, the outcome is found out.
TEST_P(CutTest, ALostCommitReplyDoublesNothing) {
  for (const char type : {'C', 'Z'}) {
    uint64_t possible_duplicates = 1;
    std::string table;
    bool fired = true;
    // The last message of that type which the rule can meet is the one after COMMIT.
    for (int nth = 1; fired; ++nth) {
      make_table();
      auto sink = open();
      proxy_->set_rule({.side = Side::kBackend, .type = type, .nth = nth});
      must(sink->write(batch(1)));
      must(sink->flush());
      fired = proxy_->fired();
      if (!fired) break;
      possible_duplicates = sink->metrics().possible_duplicates;
      table = scalar("SELECT count(*) || ' ' || sum(version) FROM t");
      EXPECT_EQ(sink->metrics().connections_opened, 2U);
    }
    EXPECT_EQ(possible_duplicates, 0U);
    const auto expected = kind().upserts()
                              ? "SELECT count(*) || ' ' || sum(v) FROM (SELECT max(r) "
                                "v FROM generate_series(1, 10) r GROUP BY r * r % 13) l"
                              : "SELECT '10 55'";
    EXPECT_EQ(table, scalar(expected)) << type;
  }
}

}  // namespace
}  // namespace pgsink
