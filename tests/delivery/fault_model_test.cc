// The fault model: each fault that one machine can bring about, under each promise that a sink can
// make, with an auditor that looks on. Where the sink can go on by itself it must; where it cannot
// it stops, says why, and the next one goes on where it ended. Faults at every message are
// CutTest's, deaths of clients CrashTest's, switches of servers FailoverTest's.

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delivery/auditor.h"
#include "pgsink/sink.h"
#include "support/postgres_server.h"
#include "support/usage.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::Auditor;
using test::PostgresServer;
using test::Promise;
using test::StopMode;
using test::WireProxy;
using ::testing::HasSubstr;

constexpr uint64_t kBatches = 60, kFlushEvery = 10, kStrikeAt = 25, kWaitAt = 40;
constexpr auto kHold = 150ms;  // Of a fault that is healed.
constexpr auto kGiveUp = 60s;

/// What a fault may touch.
struct Place {
  PostgresServer& server;
  WireProxy& proxy;
  const std::string& database;

  void sql(const std::string& text) { server.sql(text, database); }
  void end_sessions() {
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'");
  }
};

struct Fault {
  const char* name;
  void (*strike)(Place& place);
  void (*heal)(Place& place);
  /// "" if the sink goes on by itself; otherwise what it stops with: SQLSTATEs or codes, separated
  /// by '|', of which the moment of the fault decides.
  const char* stops_with = "";
  /// Whether positions that are stored for the table are worth nothing after it.
  bool loses_positions = false;
};

void nothing(Place& /*place*/) {}

/// A trigger that runs `statement` at the first row that it sees, and only then.
void once_in_the_server(Place& place, const std::string& statement) {
  place.sql(
      "CREATE SEQUENCE struck; GRANT ALL ON SEQUENCE struck TO writer;"
      "CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF nextval('public.struck') = 1 THEN " +
      statement +
      " END IF; RETURN NEW; END $$;"
      "CREATE TRIGGER strike BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION strike()");
}

void on_every_row(Place& place, const std::string& statement, const std::string& kind) {
  place.sql("CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + statement +
            " RETURN NEW; END $$; CREATE " + kind + " FOR EACH ROW EXECUTE FUNCTION strike()");
}

void drop_trigger(Place& place) { place.sql("DROP FUNCTION strike CASCADE"); }

void strike_wire(Place& place, WireProxy::Effect effect, WireProxy::Side side) {
  place.proxy.set_rule({.side = side, .nth = 3, .effect = effect});
}

/// A signal to the backends that serve the sink.
void signal_backends(Place& place, int signal_number) {
  for (const auto& row : place.server.sql(
           "SELECT pid FROM pg_stat_activity WHERE usename = 'writer'", place.database)) {
    kill(std::stoi(*row[0]), signal_number);
  }
}

const std::vector<Fault>& faults() {
  using Effect = WireProxy::Effect;
  using Side = WireProxy::Side;
  static const std::vector<Fault> kAll{
      // ---- sessions
      {"SessionsEnded", [](Place& p) { p.end_sessions(); }, nothing},
      {"BackendKilled",
       [](Place& p) {
         signal_backends(p, SIGKILL);
         p.server.wait_until_ready();
       },
       nothing},
      {"BackendsPaused", [](Place& p) { signal_backends(p, SIGSTOP); },
       [](Place& p) { signal_backends(p, SIGCONT); }},
      {"SerializationFailure",
       [](Place& p) {
         once_in_the_server(p, "RAISE EXCEPTION 'not serializable' USING ERRCODE = '40001';");
       },
       drop_trigger},
      {"Deadlock",
       [](Place& p) {
         once_in_the_server(p, "RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01';");
       },
       drop_trigger},
      {"NoticeFlood",
       [](Place& p) {
         on_every_row(p,
                      "FOR i IN 1..50 LOOP RAISE NOTICE 'row %, notice %', NEW.seq, i; END LOOP;",
                      "TRIGGER strike BEFORE INSERT ON t");
       },
       drop_trigger},
      {"IdleSessionsEnded",
       [](Place& p) {
         p.sql(
             "ALTER ROLE writer SET idle_session_timeout = 20;"
             "ALTER ROLE writer SET idle_in_transaction_session_timeout = 20");
         p.end_sessions();
       },
       [](Place& p) {
         p.sql("ALTER ROLE writer RESET ALL");
         p.end_sessions();
       }},
      {"SettingsOfTheRoleChanged",
       [](Place& p) {
         p.sql(
             "ALTER ROLE writer SET search_path = pg_temp;"
             "ALTER ROLE writer SET default_transaction_isolation = serializable;"
             "ALTER ROLE writer SET default_transaction_read_only = on;"
             "ALTER ROLE writer SET datestyle = 'German';"
             "ALTER ROLE writer SET standard_conforming_strings = off;"
             "ALTER ROLE writer SET client_encoding = latin1");
         p.end_sessions();
       },
       [](Place& p) { p.sql("ALTER ROLE writer RESET ALL"); }},
      {"NoConnectionsLeft",
       [](Place& p) {
         p.sql("ALTER ROLE writer CONNECTION LIMIT 0");
         p.end_sessions();
       },
       [](Place& p) { p.sql("ALTER ROLE writer CONNECTION LIMIT -1"); }},
      // ---- the server
      {"StoppedFast", [](Place& p) { p.server.stop(StopMode::kFast); },
       [](Place& p) { p.server.start_again(); }},
      {"Crashed", [](Place& p) { p.server.stop(StopMode::kImmediate); },
       [](Place& p) { p.server.start_again(); }},
      {"SynchronousStandbyGone",
       [](Place& p) { p.server.configure({{"synchronous_standby_names", "nobody"}}); },
       [](Place& p) { p.server.configure({{"synchronous_standby_names", ""}}); }},
      {"StatisticsReset",
       [](Place& p) {
         p.sql("SELECT pg_stat_reset_shared('bgwriter')");
         p.end_sessions();
       },
       nothing},
      // ---- the table
      {"Rewritten", [](Place& p) { p.sql("VACUUM FULL t"); }, nothing},
      {"ColumnAdded", [](Place& p) { p.sql("ALTER TABLE t ADD COLUMN extra int DEFAULT 7"); },
       nothing},
      {"ColumnOfAnotherType",
       [](Place& p) { p.sql("ALTER TABLE t ALTER COLUMN checksum TYPE varchar(200)"); }, nothing},
      {"Replaced",
       [](Place& p) {
         p.sql(
             "BEGIN; LOCK TABLE t; ALTER TABLE t RENAME TO t_old;"
             "CREATE TABLE t (LIKE t_old INCLUDING ALL); ALTER TABLE t OWNER TO writer;"
             "INSERT INTO t SELECT * FROM t_old; COMMIT");
       },
       nothing, "", true},
      {"Renamed", [](Place& p) { p.sql("ALTER TABLE t RENAME TO elsewhere"); },
       [](Place& p) { p.sql("ALTER TABLE elsewhere RENAME TO t"); }, "42P01|PGS-3001"},
      {"ColumnGone", [](Place& p) { p.sql("ALTER TABLE t RENAME COLUMN checksum TO other"); },
       [](Place& p) { p.sql("ALTER TABLE t RENAME COLUMN other TO checksum"); }, "PGS-3002"},
      {"ConstraintAdded",
       [](Place& p) { p.sql("ALTER TABLE t ADD CONSTRAINT none CHECK (seq < 0) NOT VALID"); },
       [](Place& p) { p.sql("ALTER TABLE t DROP CONSTRAINT none"); }, "23514"},
      {"FailsAtCommit",
       [](Place& p) {
         on_every_row(p, "RAISE EXCEPTION 'not today';",
                      "CONSTRAINT TRIGGER strike AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY"
                      " DEFERRED");
       },
       drop_trigger, "P0001"},
      // ---- rights
      {"PrivilegesRevoked", [](Place& p) { p.sql("REVOKE ALL ON t FROM writer"); },
       [](Place& p) { p.sql("GRANT ALL ON t TO writer"); }, "42501"},
      {"LoginRefused",
       [](Place& p) {
         p.sql("ALTER ROLE writer NOLOGIN");
         p.end_sessions();
       },
       [](Place& p) { p.sql("ALTER ROLE writer LOGIN"); }, "28000"},
      // ---- the network
      {"CutBeforeTheServer", [](Place& p) { strike_wire(p, Effect::kCut, Side::kFrontend); },
       nothing},
      {"CutBeforeTheClient", [](Place& p) { strike_wire(p, Effect::kCut, Side::kBackend); },
       nothing},
      {"CutInsideOfAMessage", [](Place& p) { p.proxy.cut_after_bytes(Side::kFrontend, 777); },
       nothing},
      {"CutInsideOfAnAnswer", [](Place& p) { p.proxy.cut_after_bytes(Side::kBackend, 33); },
       nothing},
      {"ServerGoesOnAlone", [](Place& p) { strike_wire(p, Effect::kOrphan, Side::kFrontend); },
       [](Place& p) { p.proxy.drop_orphans(); }},
      {"SilentForAWhile", [](Place& p) { strike_wire(p, Effect::kSwallow, Side::kFrontend); },
       [](Place& p) { p.proxy.drop_orphans(); }},
      {"ConnectionsRefused",
       [](Place& p) {
         p.proxy.refuse_connections(true);
         strike_wire(p, Effect::kCut, Side::kBackend);
       },
       [](Place& p) { p.proxy.refuse_connections(false); }},
      {"InSegmentsOfAByte", [](Place& p) { p.proxy.set_segments(1, 0ms); },
       [](Place& p) { p.proxy.set_segments(0, 0ms); }},
      {"OverANarrowLine", [](Place& p) { p.proxy.set_segments(512, 2ms); },
       [](Place& p) { p.proxy.set_segments(0, 0ms); }},
      {"Slow", [](Place& p) { p.proxy.set_delay(20ms); }, [](Place& p) { p.proxy.set_delay(0ms); }},
  };
  return kAll;
}

constexpr std::array<const char*, 5> kPromiseNames{"AtLeastOnce", "LastOfKey", "ExactlyOnce",
                                                   "TwoPhase", "ExactlyOnceByStreams"};
constexpr std::array<Promise, 5> kPromises{Promise::kAtLeastOnce, Promise::kLastOfKey,
                                           Promise::kExactlyOnce, Promise::kTwoPhase,
                                           Promise::kByStreams};
constexpr const char* kStream = "the only one";

/// Whether the database knows where a sink was.
bool is_stored(Promise promise) {
  return promise != Promise::kAtLeastOnce && promise != Promise::kLastOfKey;
}

using Case = std::tuple<size_t, Promise>;

class FaultModelTest : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    server_ = PostgresServer::start({.settings = {{"max_prepared_transactions", "20"}}}).release();
    server_->create_role("writer");
    proxy_ = new WireProxy(server_->socket_dir(), server_->port());
  }
  static void TearDownTestSuite() {
    delete proxy_;
    delete server_;
  }

  void SetUp() override {
    database_ = server_->create_database("faults");
    server_->sql(
        "CREATE TABLE t (key bigint PRIMARY KEY, seq bigint, checksum text);"
        "ALTER TABLE t OWNER TO writer; GRANT CREATE ON SCHEMA public TO writer",
        database_);
    if (promise() == Promise::kAtLeastOnce) {
      server_->sql("ALTER TABLE t DROP CONSTRAINT t_pkey", database_);
    }
  }

  static const Fault& fault() { return faults()[std::get<0>(GetParam())]; }
  static Promise promise() { return std::get<1>(GetParam()); }
  static bool knows_where_it_was() { return is_stored(promise()); }
  static bool by_streams() { return promise() == Promise::kByStreams; }

  static uint64_t durable(const Sink& sink) {
    return by_streams() ? sink.stream_position(kStream) : sink.durable_position();
  }
  static RecordBatch offer(Auditor& auditor, uint64_t n) {
    RecordBatch made = auditor.offer(n);
    if (by_streams()) made.stream = kStream;
    return made;
  }

  SinkOptions options() const {
    SinkOptions made;
    made.connection_name = "audited";
    made.host = "127.0.0.1";
    made.port = std::to_string(proxy_->port());
    made.ssl_mode = "disable";
    made.database = database_;
    made.username = "writer";
    made.table = "t";
    made.batch_size = Auditor::kBatchRows;
    made.retry_backoff_ms = 5;
    made.max_retries = 100'000;
    made.sink_id = promise() == Promise::kAtLeastOnce ? "" : "audited";
    if (promise() == Promise::kLastOfKey) made.write_mode = WriteMode::kUpsert;
    made.streams = by_streams();
    if (promise() == Promise::kExactlyOnce || by_streams()) {
      made.delivery = Delivery::kExactlyOnce;
    }
    made.use_2pc = promise() == Promise::kTwoPhase;
    // Small inserts go as arrays or by COPY: every other fault meets one of them.
    if (promise() == Promise::kAtLeastOnce && std::get<0>(GetParam()) % 2 == 0) {
      made.use_copy = true;
      made.copy_batch_size = Auditor::kBatchRows;
    }
    return made;
  }

  /// One sink, from its opening to its end: by an error, or because all is written.
  Status write(Auditor& auditor) {
    auto sink = Sink::open(options(), auditor.offer(0).schema());
    if (!sink) return fail(sink.error());
    if (by_streams()) {
      const auto claimed = (*sink)->claim(std::vector<StreamStart>{{.stream = kStream}});
      if (!claimed) return fail(claimed.error());
    }
    uint64_t n = auditor.acknowledged();
    if (knows_where_it_was()) {
      EXPECT_GE(durable(**sink), n) << "I1, I14: less than was acknowledged";
      n = durable(**sink);
    } else {
      auditor.replay(batches_written_);
      auditor.allow_duplicates((batches_written_ - n) * Auditor::kBatchRows);
    }
    ++sinks_;
    const Status done = write_behind(**sink, auditor, n);
    // What an error interrupts may have been committed.
    EXPECT_LE(durable(**sink), batches_written_) << "I14";
    auditor.allow_duplicates((*sink)->metrics().possible_duplicates);
    if (!done) return done;
    const Status closed = (*sink)->close();
    const SinkMetrics metrics = (*sink)->metrics();
    if (sinks_ == 1) {
      EXPECT_EQ(metrics.rows_accepted, kBatches * Auditor::kBatchRows) << "I13";
      EXPECT_EQ(metrics.rows_written, metrics.rows_accepted) << "I13";
    }
    EXPECT_EQ(metrics.buffered_bytes, 0U) << "I13";
    EXPECT_EQ(metrics.connections_open, 0U) << "I8";
    return closed;
  }

  Status write_behind(Sink& sink, Auditor& auditor, uint64_t n) {
    while (n < kBatches) {
      if (auto written = sink.write(offer(auditor, ++n)); !written) return written;
      batches_written_ = std::max(batches_written_, n);
      EXPECT_LE(sink.metrics().buffered_bytes, static_cast<uint64_t>(options().buffer_bytes))
          << "I9";
      if (n == kStrikeAt) half_way_ = true;
      if (n % kFlushEvery == 0) {
        if (auto flushed = sink.flush(); !flushed) return flushed;
        EXPECT_GE(durable(sink), n) << "I14";
        auditor.acknowledge(n);
        // Only here is no transaction open whose locks the fault may have to wait for.
        if (n == kWaitAt) wait_for(struck_);
      }
      std::this_thread::sleep_for(2ms);
    }
    return {};
  }

  /// Writes everything, by as many sinks as it takes.
  void write_all(Auditor& auditor) {
    const auto give_up = std::chrono::steady_clock::now() + kGiveUp;
    while (auditor.acknowledged() < kBatches) {
      const uint64_t sinks_before = sinks_;
      const Status done = write(auditor);
      if (done) continue;
      if (sinks_ > sinks_before) {
        stops_.push_back(done.error());
        stopped_ = true;
        wait_for(healed_);  // Or the next sink meets the same fault.
      }
      if (std::chrono::steady_clock::now() > give_up) {
        ADD_FAILURE() << "I10: still not there: " << done.error().to_string();
        break;
      }
      std::this_thread::sleep_for(20ms);
    }
    half_way_ = true;
    finished_ = true;
  }

  void wait_for(const std::atomic<bool>& flag) const {
    while (!flag && !finished_) std::this_thread::sleep_for(1ms);
  }

  static inline PostgresServer* server_ = nullptr;
  static inline WireProxy* proxy_ = nullptr;
  std::string database_;
  std::atomic<bool> half_way_ = false, struck_ = false, stopped_ = false, healed_ = false;
  std::atomic<bool> finished_ = false;
  uint64_t sinks_ = 0, batches_written_ = 0;
  std::vector<Error> stops_;
};

TEST_P(FaultModelTest, KeepsThePromise) {
  Auditor auditor(*server_, database_, promise());
  Place place{*server_, *proxy_, database_};
  const bool stops = *fault().stops_with != '\0';
  const test::Usage before = test::Usage::now();
  std::jthread reader([&] {
    while (!finished_) {
      auditor.look();
      std::this_thread::sleep_for(3ms);
    }
  });
  std::jthread writer([&] { write_all(auditor); });
  wait_for(half_way_);
  {
    // Also if the fault itself cannot be brought about: nobody must wait for it for ever.
    const std::unique_ptr<std::atomic<bool>, void (*)(std::atomic<bool>*)> strikes(
        &struck_, [](std::atomic<bool>* flag) { *flag = true; });
    fault().strike(place);
  }
  if (stops) {
    wait_for(stopped_);
  } else if (fault().heal != nothing) {
    std::this_thread::sleep_for(kHold);
  }
  fault().heal(place);
  healed_ = true;
  writer.join();
  reader.join();

  auditor.check_end();
  proxy_->drop_orphans();
  const test::Usage after = test::Usage::settled(before);
  EXPECT_EQ(after.threads, before.threads) << "I12";
  EXPECT_LE(after.descriptors, before.descriptors) << "I12";
  EXPECT_EQ(stops_.size(), stops ? 1U : 0U)
      << (stops_.empty() ? "it did not stop" : stops_.front().to_string());
  for (const Error& error : stops_) {
    const std::string code = error.sqlstate == "00000" ? pgproto::errc_name(error.code)
                                                       : std::string(error.sqlstate.view());
    EXPECT_THAT(fault().stops_with, HasSubstr(code)) << "I6: " << error.to_string();
    EXPECT_THAT(error.to_string(), HasSubstr("connection \"audited\""));
    EXPECT_THAT(error.to_string(), HasSubstr("public.t"));
  }
}

/// Every fault under every promise. A sink that goes on from a stored position refuses a table that
/// replaced its own, which the tests of loads that are run again look at.
std::vector<std::tuple<size_t, Promise>> worlds() {
  std::vector<std::tuple<size_t, Promise>> all;
  for (size_t i = 0; i < faults().size(); ++i) {
    for (const Promise promise : kPromises) {
      if (!faults()[i].loses_positions || !is_stored(promise)) all.emplace_back(i, promise);
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Of, FaultModelTest, ::testing::ValuesIn(worlds()),
                         [](const auto& instance) {
                           return std::string(faults()[std::get<0>(instance.param)].name) +
                                  kPromiseNames[static_cast<size_t>(std::get<1>(instance.param))];
                         });

}  // namespace
}  // namespace pgsink
