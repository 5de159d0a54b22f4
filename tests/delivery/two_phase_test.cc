// Two-phase commit against the real server: what PostgreSQL says about prepared transactions, the
// phases, the fence, and recovery after a crash between each two of them.

#include "pgsink/delivery/two_phase.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <thread>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/client/catalog.h"
#include "pgsink/delivery/check.h"
#include "pgsink/delivery/in_doubt.h"
#include "pgsink/sql/control.h"
#include "support/client_fixture.h"
#include "support/patience.h"
#include "support/wire_proxy.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Gids = std::vector<std::string>;

/// One database and what the tests do in it; the server may be one of their own, to be killed.
class World {
 public:
  explicit World(PostgresServer& server) : server_(server), database_(server.create_database()) {
    server_.sql("CREATE TABLE t (lane int, a int)", database_);
  }

  Env& env() { return os_.env(); }
  PostgresServer& server() { return server_; }
  const std::string& database() const { return database_; }
  Deadline soon() { return env().clock.now() + std::chrono::seconds(60); }
  std::unique_ptr<Connection> open(std::string_view user = "postgres",
                                   const std::string& name = "two_phase_test") {
    const std::string conninfo =
        server_.conninfo(database_, Via::kUnix, user) + " application_name=" + name;
    auto connection =
        Connection::open(env(), *apply_environment(*parse_conninfo(conninfo), env().files));
    if (!connection) throw std::runtime_error(connection.error().to_string());
    return *std::move(connection);
  }
  std::unique_ptr<Connection> open_through(const WireProxy& proxy) {
    const std::string conninfo =
        "host=127.0.0.1 sslmode=disable user=postgres dbname=" + database_ +
        " port=" + std::to_string(proxy.port());
    auto connection =
        Connection::open(env(), *apply_environment(*parse_conninfo(conninfo), env().files));
    if (!connection) throw std::runtime_error(connection.error().to_string());
    return *std::move(connection);
  }
  TwoPhase claim(Connection& connection, const std::string& sink = "sink",
                 const std::string& gid_template = "laminar_${uuid}") {
    auto claimed = TwoPhase::claim(connection, {"public", sink, gid_template}, soon());
    if (!claimed) throw std::runtime_error(claimed.error().to_string());
    return *std::move(claimed);
  }
  std::string scalar(const std::string& text) { return server_.scalar(text, database_); }
  std::string rows() { return scalar("SELECT count(*) FROM t"); }
  std::string prepared() {
    return scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = '" + database_ + "'");
  }
  Error error_of(Connection& connection, const std::string& text) {
    const auto result = connection.query(text, soon());
    if (result) throw std::runtime_error("no error: " + text);
    if (!connection.broken()) std::ignore = connection.query("ROLLBACK", soon());
    return result.error();
  }
  void must(Connection& connection, const std::string& text) {
    const auto result = connection.query(text, soon());
    if (!result) throw std::runtime_error(result.error().to_string());
  }
  /// A lane's flight of one row. Returns its gid.
  std::string prepare(Connection& connection, const TwoPhase& two_phase, int lane,
                      const std::string& first = "") {
    const std::string gid = two_phase.make_gid(env().random);
    must(connection, "BEGIN; " + first + "INSERT INTO t VALUES (" + std::to_string(lane) +
                         ", 1); " + *two_phase.prepare_sql(gid));
    return gid;
  }

 private:
  OsEnv os_;
  PostgresServer& server_;
  std::string database_;
};

class TwoPhaseTest : public ::testing::Test {
 protected:
  World world_{shared_server()};
  std::unique_ptr<Connection> connection_ = world_.open();
};

// ---- what PostgreSQL says ----------------------------------------------------------------------

TEST_F(TwoPhaseTest, FactATransactionThatTouchedATemporaryTableCannotBePrepared) {
  world_.must(*connection_, "CREATE TEMP TABLE staging (a int)");
  const Error error = world_.error_of(
      *connection_, "BEGIN; INSERT INTO staging VALUES (1); PREPARE TRANSACTION 'temp'");
  EXPECT_EQ(error.sqlstate, "0A000") << error.to_string();
}

TEST_F(TwoPhaseTest, FactAPreparedTransactionBelongsToItsRole) {
  shared_server().create_role("twopc_owner");
  shared_server().create_role("twopc_login");
  shared_server().sql("GRANT twopc_owner TO twopc_login");
  world_.server().sql("GRANT INSERT ON t TO twopc_owner", world_.database());
  const auto login = world_.open("twopc_login");
  world_.must(*login,
              "BEGIN; SET LOCAL ROLE twopc_owner; INSERT INTO t VALUES (1, 1); "
              "PREPARE TRANSACTION 'owned'");
  EXPECT_EQ(world_.error_of(*login, "COMMIT PREPARED 'owned'").sqlstate, "42501");
  const PreparedTransaction owned{"owned", "twopc_owner"};
  const auto resolved = resolve_prepared(world_.env(), *login, std::span(&owned, 1),
                                         Resolution::kCommit, world_.soon());
  ASSERT_TRUE(resolved) << resolved.error().to_string();
  EXPECT_EQ(*resolved, 1U);
  EXPECT_EQ(world_.rows(), "1");
  EXPECT_EQ(login->query("SELECT current_user", world_.soon())->scalar(), "twopc_login")
      << "the role is given back";
}

TEST_F(TwoPhaseTest, FactSlotsAreExhausted) {
  ServerConfig config;
  config.settings = {{"max_prepared_transactions", "1"}};
  const auto server = PostgresServer::start(config);
  World small(*server);
  const auto connection = small.open();
  small.must(*connection, "BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'a'");
  const Error error =
      small.error_of(*connection, "BEGIN; INSERT INTO t VALUES (2, 1); PREPARE TRANSACTION 'b'");
  EXPECT_EQ(error.sqlstate, "53200") << error.to_string();
  EXPECT_EQ(small.prepared(), "1");
}

TEST_F(TwoPhaseTest, FactCommitPreparedMustStandAlone) {
  world_.must(*connection_, "BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'alone'");
  EXPECT_EQ(world_.error_of(*connection_, "BEGIN; COMMIT PREPARED 'alone'").sqlstate, "25001");
  EXPECT_EQ(world_.error_of(*connection_, "SELECT 1; COMMIT PREPARED 'alone'").sqlstate, "25001");
  world_.must(*connection_, "COMMIT PREPARED 'alone'");
}

TEST_F(TwoPhaseTest, FactAGidInUseIsRefused) {
  world_.must(*connection_, "BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'twice'");
  const Error error = world_.error_of(
      *connection_, "BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'twice'");
  EXPECT_EQ(error.sqlstate, "42710") << error.to_string();
  world_.must(*connection_, "ROLLBACK PREPARED 'twice'");
}

TEST_F(TwoPhaseTest, FactPrepareOfAFailedTransactionAnswersRollback) {
  world_.must(*connection_, "BEGIN");
  EXPECT_FALSE(connection_->query("SELECT 1/0", world_.soon()));
  const auto answer = connection_->query("PREPARE TRANSACTION 'failed'", world_.soon());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->tag, "ROLLBACK");
  EXPECT_EQ(world_.prepared(), "0");
}

// ---- gids --------------------------------------------------------------------------------------

TEST_F(TwoPhaseTest, GidsAreUuidsBehindThePrefixOfOneSink) {
  const auto gids = GidMaker::create("laminar_${uuid}", "analytics", "public", "events");
  ASSERT_TRUE(gids);
  // Stored in prepared transactions that outlive a release: this text must never change.
  EXPECT_EQ(gids->prefix(), "laminar_fb414402-b626-8c95-");
  const std::string one = gids->make(world_.env().random);
  EXPECT_THAT(one, testing::MatchesRegex("laminar_[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-"
                                         "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_TRUE(one.starts_with(gids->prefix()));
  EXPECT_NE(one, gids->make(world_.env().random));
  for (const auto& [database, schema, sink] :
       {std::tuple("analytic", "spublic", "events"), std::tuple("analytics", "public", "event"),
        std::tuple("analytics", "publice", "vents"), std::tuple("other", "public", "events")}) {
    EXPECT_NE(GidMaker::create("laminar_${uuid}", database, schema, sink)->prefix(),
              gids->prefix());
  }
  EXPECT_TRUE(GidMaker::create("a'b\\${uuid} \"c", "d", "s", "i")
                  ->make(world_.env().random)
                  .ends_with(" \"c"));
}

TEST_F(TwoPhaseTest, ATemplateThatCannotWorkIsRefused) {
  for (const std::string& text :
       {std::string("laminar"), std::string("${uuid}"), std::string("a${uuid}${uuid}"),
        std::string(164, 'x') + "${uuid}"}) {
    const auto gids = GidMaker::create(text, "d", "s", "i");
    ASSERT_FALSE(gids) << text;
    EXPECT_EQ(gids.error().code, Errc::kOptionValue);
  }
  const auto longest = GidMaker::create(std::string(163, 'x') + "${uuid}", "d", "s", "i");
  ASSERT_TRUE(longest);
  const std::string gid = longest->make(world_.env().random);
  EXPECT_EQ(gid.size(), kGidBytesMax);
  world_.must(*connection_,
              "BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION '" + gid + "'");
  world_.must(*connection_, "ROLLBACK PREPARED '" + gid + "'");
}

// ---- what is said at open ----------------------------------------------------------------------

class TwoPhaseCheck : public TwoPhaseTest {
 protected:
  Status check(Connection& connection, const std::string& table) {
    const auto catalog = read_table(connection, "public", table, world_.soon());
    if (!catalog) throw std::runtime_error(catalog.error().to_string());
    return check_two_phase(connection, options_, *catalog, world_.soon());
  }
  SinkOptions options_;
};

TEST_F(TwoPhaseCheck, AnOrdinaryTableOfAServerWithSlotsPasses) {
  const Status passed = check(*connection_, "t");
  EXPECT_TRUE(passed) << passed.error().to_string();
  world_.server().sql(
      "CREATE TABLE p (a int) PARTITION BY RANGE (a);"
      "CREATE TABLE p1 PARTITION OF p DEFAULT",
      world_.database());
  EXPECT_TRUE(check(*connection_, "p"));
}

TEST_F(TwoPhaseCheck, AServerWithoutSlotsIsAnErrorThatSaysWhatToSet) {
  ServerConfig config;
  config.settings = {{"max_prepared_transactions", "0"}};
  const auto server = PostgresServer::start(config);
  World without(*server);
  const auto connection = without.open();
  Status refused = check(*connection, "t");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotPrepare);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("max_prepared_transactions = 0"), HasSubstr("restart")));
  options_.parallelism = 65;
  refused = check(*connection_, "t");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("parallelism = 65"), HasSubstr("max_prepared_transactions = 64")));
}

TEST_F(TwoPhaseCheck, ForeignTablesAndPartitionsAreRefused) {
  world_.server().sql(
      "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere;"
      "CREATE FOREIGN TABLE f (a int) SERVER far; CREATE TABLE p (a int) PARTITION BY RANGE (a);"
      "CREATE FOREIGN TABLE p1 PARTITION OF p DEFAULT SERVER far",
      world_.database());
  for (const auto& [table, word] :
       {std::pair("f", "is a foreign table"), std::pair("p", "has 1 foreign partitions")}) {
    const Status refused = check(*connection_, table);
    ASSERT_FALSE(refused) << table;
    EXPECT_EQ(refused.error().code, Errc::kCannotPrepare);
    EXPECT_THAT(refused.error().message, HasSubstr(word));
  }
}

TEST_F(TwoPhaseCheck, AGidThatIsTooLongIsRefused) {
  options_.prepared_transaction_id = std::string(170, 'x') + "${uuid}";
  EXPECT_EQ(check(*connection_, "t").error().code, Errc::kOptionValue);
}

TEST(TwoPhaseSinkId, IsTheSameInTheNextRun) {
  SinkOptions options;
  options.connection_name = "pg_2pc";
  options.table = "critical_data";
  EXPECT_EQ(stored_sink_id(options), "pg_2pc/public.critical_data");
  options.sink_id = "mine";
  EXPECT_EQ(stored_sink_id(options), "mine");
}

// ---- the phases --------------------------------------------------------------------------------

TEST_F(TwoPhaseTest, AllLanesAreCommittedTogether) {
  const TwoPhase two_phase = world_.claim(*connection_);
  const auto lane = world_.open();
  ASSERT_TRUE(two_phase.attach(*lane, world_.soon()));
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    const Gids gids{world_.prepare(*connection_, two_phase, 0),
                    world_.prepare(*lane, two_phase, 1)};
    EXPECT_TRUE(*two_phase.is_prepared(*connection_, gids[1], world_.soon()));
    ASSERT_TRUE(two_phase.decide(*connection_, epoch, epoch * 10, gids, world_.soon()));
    EXPECT_TRUE(two_phase.decide(*connection_, epoch, epoch * 10, gids, world_.soon()))
        << "again, as after a lost answer";
    const auto committed = two_phase.commit_decided(world_.env(), *connection_, world_.soon());
    ASSERT_TRUE(committed) << committed.error().to_string();
    EXPECT_EQ(*committed, 2U);
    EXPECT_EQ(*two_phase.commit_decided(world_.env(), *connection_, world_.soon()), 0U);
  }
  EXPECT_EQ(world_.rows(), "6");
  EXPECT_EQ(world_.prepared(), "0");
  EXPECT_EQ(world_.scalar("SELECT count(*) FROM pgsink_decisions"), "0");
  EXPECT_EQ((*two_phase.read(*connection_, world_.soon()))->epoch, 3U);
  EXPECT_EQ((*two_phase.read(*connection_, world_.soon()))->position, 30U);
  EXPECT_EQ(two_phase.decide(*connection_, 2, 0, {}, world_.soon()).error().code, Errc::kUsage);
}

TEST_F(TwoPhaseTest, AnAbortedEpochLeavesNothing) {
  const TwoPhase two_phase = world_.claim(*connection_);
  const Gids first{world_.prepare(*connection_, two_phase, 0)};
  const Gids second{world_.prepare(*connection_, two_phase, 0)};
  ASSERT_TRUE(two_phase.record(*connection_, 1, 1, first, world_.soon()));
  ASSERT_TRUE(two_phase.record(*connection_, 2, 2, second, world_.soon()));
  const auto lane = world_.open();
  ASSERT_TRUE(two_phase.attach(*lane, world_.soon()));
  world_.prepare(*lane, two_phase, 1);  // Of no epoch yet.
  ASSERT_TRUE(two_phase.abort(world_.env(), *connection_, 2, world_.soon()));
  EXPECT_EQ(world_.prepared(), "1") << "the epoch before it waits still";
  EXPECT_FALSE(lane->query("SELECT 1", world_.soon())) << "it may prepare no more";
  ASSERT_TRUE(two_phase.decide(*connection_, 1, 1, first, world_.soon()));
  const Status refused = two_phase.abort(world_.env(), *connection_, 1, world_.soon());
  EXPECT_EQ(refused.error().code, Errc::kResolveRefused) << "it is decided";
  EXPECT_EQ(*two_phase.commit_decided(world_.env(), *connection_, world_.soon()), 1U);
  EXPECT_EQ(world_.rows(), "1");
}

// A host that takes a later checkpoint for complete means the ones before it, too.
TEST_F(TwoPhaseTest, DecidingAnEpochDecidesTheRecordedOnesBeforeIt) {
  const TwoPhase two_phase = world_.claim(*connection_);
  Gids gids;
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    gids.push_back(world_.prepare(*connection_, two_phase, 0));
    ASSERT_TRUE(
        two_phase.record(*connection_, epoch, epoch, std::span(&gids.back(), 1), world_.soon()));
  }
  ASSERT_TRUE(two_phase.decide(*connection_, 2, 2, std::span(&gids[1], 1), world_.soon()));
  EXPECT_EQ(*two_phase.commit_decided(world_.env(), *connection_, world_.soon()), 2U);
  EXPECT_TRUE(*two_phase.is_prepared(*connection_, gids[2], world_.soon()));
  EXPECT_EQ(two_phase.recover(world_.env(), *connection_, {}, world_.soon())->rolled_back, 1U);
}

TEST_F(TwoPhaseTest, ManyAreCommittedAtOnceAlsoThoseOfAnotherRole) {
  shared_server().create_role("twopc_many");
  world_.server().sql("GRANT INSERT ON t TO twopc_many", world_.database());
  const TwoPhase two_phase = world_.claim(*connection_);
  Gids gids;
  for (int i = 0; i < 20; ++i) {
    gids.push_back(world_.prepare(*connection_, two_phase, i,
                                  i % 2 == 0 ? "SET LOCAL ROLE twopc_many; " : ""));
  }
  ASSERT_TRUE(two_phase.decide(*connection_, 1, 1, gids, world_.soon()));
  EXPECT_EQ(*two_phase.commit_decided(world_.env(), *connection_, world_.soon()), 20U);
  EXPECT_EQ(world_.rows(), "20");
}

TEST_F(TwoPhaseTest, ARoleThatMayNotBecomeTheOwnerIsToldWhatToGrant) {
  shared_server().create_role("twopc_stranger");
  world_.server().sql("GRANT CREATE ON SCHEMA public TO twopc_stranger", world_.database());
  const TwoPhase former = world_.claim(*connection_);
  const std::string gid = world_.prepare(*connection_, former, 0);
  const auto stranger = world_.open("twopc_stranger");
  const PreparedTransaction one{gid, "postgres"};
  const auto refused = resolve_prepared(world_.env(), *stranger, std::span(&one, 1),
                                        Resolution::kRollback, world_.soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kPrivilege);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr(gid), HasSubstr("GRANT")));
  EXPECT_EQ(world_.prepared(), "1");
  EXPECT_TRUE(former.recover(world_.env(), *connection_, {}, world_.soon()));
}

TEST_F(TwoPhaseTest, ATransactionThatAnotherSessionIsResolvingIsWaitedFor) {
  const TwoPhase two_phase = world_.claim(*connection_);
  std::vector<PreparedTransaction> all;
  for (int i = 0; i < 30; ++i) {
    all.push_back({world_.prepare(*connection_, two_phase, i), "postgres"});
  }
  // Both resolve all of them; each is resolved once, and nobody fails.
  std::vector<std::unique_ptr<Connection>> sessions;
  std::vector<Result<size_t>> done(4, Result<size_t>(0));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < done.size(); ++i) sessions.push_back(world_.open());
  for (size_t i = 0; i < done.size(); ++i) {
    threads.emplace_back([&, i] {
      done[i] =
          resolve_prepared(world_.env(), *sessions[i], all, Resolution::kCommit, world_.soon());
    });
  }
  for (std::thread& thread : threads) thread.join();
  size_t total = 0;
  for (const auto& one : done) {
    ASSERT_TRUE(one) << one.error().to_string();
    total += *one;
  }
  EXPECT_EQ(total, all.size());
  EXPECT_EQ(world_.rows(), std::to_string(all.size()));
  EXPECT_EQ(world_.prepared(), "0");
}

// ---- the fence ---------------------------------------------------------------------------------

TEST_F(TwoPhaseTest, TheSecondWriterClaimsAndTheFirstIsFenced) {
  const TwoPhase first = world_.claim(*connection_);
  const Gids gids{world_.prepare(*connection_, first, 0)};
  const auto other = world_.open("postgres", "the_other_one");
  const TwoPhase second = world_.claim(*other);
  EXPECT_FALSE(connection_->query("SELECT 1", world_.soon())) << "its sessions are ended";
  const auto again = world_.open();
  const Status refused = first.attach(*again, world_.soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFenced);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("fenced by \"the_other_one\""),
                    HasSubstr(std::to_string(other->server().backend.pid)), HasSubstr("sink_id")));
  EXPECT_EQ(first.decide(*again, 1, 1, gids, world_.soon()).error().code, Errc::kFenced);
  EXPECT_EQ(first.record(*again, 1, 1, gids, world_.soon()).error().code, Errc::kFenced);
  EXPECT_EQ(first.abort(world_.env(), *again, 1, world_.soon()).error().code, Errc::kFenced);
  EXPECT_EQ(first.recover(world_.env(), *again, {}, world_.soon()).error().code, Errc::kFenced);
  EXPECT_EQ(world_.prepared(), "1");
  EXPECT_EQ(second.recover(world_.env(), *other, {}, world_.soon())->rolled_back, 1U);
  EXPECT_EQ(world_.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = " +
                          std::to_string(again->server().backend.pid)),
            "0")
      << "who is refused holds no lock";
}

TEST_F(TwoPhaseTest, TwoSinksOfOneTemplateDoNotResolveEachOthers) {
  const auto other = world_.open();
  const TwoPhase one = world_.claim(*connection_, "one");
  const TwoPhase two = world_.claim(*other, "two");
  world_.prepare(*connection_, one, 0);
  const std::string kept = world_.prepare(*other, two, 0);
  EXPECT_EQ(one.recover(world_.env(), *connection_, {}, world_.soon())->rolled_back, 1U);
  EXPECT_TRUE(*two.is_prepared(*connection_, kept, world_.soon()));
  EXPECT_TRUE(two.recover(world_.env(), *other, {}, world_.soon()));
}

// The zombie of reliability §0: its client is gone, and its receive buffer is full of flights.
TEST_F(TwoPhaseTest, AZombieThatGoesOnPreparingIsFencedBeforeTheListIsRead) {
  const auto zombie = world_.open();
  const TwoPhase former = world_.claim(*zombie);
  for (int i = 0; i < 20; ++i) {
    const std::string gid = former.make_gid(world_.env().random);
    ASSERT_TRUE(zombie->session().query(
        "BEGIN; SELECT pg_sleep(0.05); INSERT INTO t VALUES (1, 1); " + *former.prepare_sql(gid)));
  }
  ASSERT_TRUE(zombie->drain_output(0, world_.soon()));
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  const TwoPhase now = world_.claim(*connection_);
  const auto recovered = now.recover(world_.env(), *connection_, {}, world_.soon());
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_LT(recovered->rolled_back, 20U);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(world_.prepared(), "0");
  EXPECT_EQ(world_.rows(), "0");
}

TEST_F(TwoPhaseTest, AWriterOfAnotherRoleThatCannotBeEndedStopsTheClaim) {
  world_.claim(*connection_);
  shared_server().create_role("twopc_weak");
  world_.server().sql("GRANT ALL ON pgsink_writers, pgsink_decisions TO twopc_weak",
                      world_.database());
  const auto weak = world_.open("twopc_weak");
  const auto refused = TwoPhase::claim(*weak, {"public", "sink", "laminar_${uuid}"}, world_.soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotFence) << refused.error().to_string();
  EXPECT_THAT(refused.error().message, HasSubstr("pg_signal_backend"));
}

TEST_F(TwoPhaseTest, ManyClaimersAtOnceLeaveOneWriter) {
  constexpr size_t kClaimers = 8;
  std::vector<std::unique_ptr<Connection>> connections;
  for (size_t i = 0; i < kClaimers; ++i) connections.push_back(world_.open());
  std::vector<std::optional<TwoPhase>> claims(kClaimers);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kClaimers; ++i) {
    threads.emplace_back([&, i] {
      auto claimed =
          TwoPhase::claim(*connections[i], {"public", "sink", "laminar_${uuid}"}, world_.soon());
      if (claimed) claims[i] = *std::move(claimed);
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t newest = 0;
  size_t winner = 0;
  for (size_t i = 0; i < kClaimers; ++i) {
    if (!claims[i] || claims[i]->generation() <= newest) continue;
    newest = claims[i]->generation();
    winner = i;
  }
  ASSERT_TRUE(claims[winner]);
  EXPECT_EQ(world_.scalar("SELECT generation FROM pgsink_writers"), std::to_string(newest));
  EXPECT_FALSE(connections[winner]->broken()) << "nobody ends the newest";
  EXPECT_TRUE(claims[winner]->decide(*connections[winner], 1, 1, {}, world_.soon()));
  for (size_t i = 0; i < kClaimers; ++i) {
    if (i == winner) continue;
    EXPECT_FALSE(connections[i]->query("SELECT 1", world_.soon()) && claims[i] &&
                 claims[i]->attach(*connections[i], world_.soon()));
  }
}

// ---- recovery ----------------------------------------------------------------------------------

TEST_F(TwoPhaseTest, AnotherTemplateFindsWhatTheFormerOneLeft) {
  const TwoPhase former = world_.claim(*connection_, "sink", "old_${uuid}");
  world_.prepare(*connection_, former, 0);
  const auto next = world_.open();
  const TwoPhase now = world_.claim(*next, "sink", "new_${uuid}");
  EXPECT_EQ(now.recover(world_.env(), *next, {}, world_.soon())->rolled_back, 1U);
  EXPECT_EQ(world_.scalar("SELECT gid_prefixes[1] FROM pgsink_writers"), now.gid_prefix());
  EXPECT_EQ(world_.scalar("SELECT cardinality(gid_prefixes) FROM pgsink_writers"), "1");
}

// The host restores a checkpoint: epochs up to it are complete, later ones never were.
TEST_F(TwoPhaseTest, AHostsEpochIsCommittedAlthoughTheDecisionDidNotComeThrough) {
  const TwoPhase former = world_.claim(*connection_);
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    const Gids gids{world_.prepare(*connection_, former, static_cast<int>(epoch))};
    ASSERT_TRUE(former.record(*connection_, epoch, epoch * 10, gids, world_.soon()));
  }
  const auto next = world_.open();
  const TwoPhase now = world_.claim(*next);
  const auto recovered = now.recover(world_.env(), *next, 2, world_.soon());
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_EQ(recovered->epoch, 2U);
  EXPECT_EQ(recovered->position, 20U);
  EXPECT_EQ(recovered->committed, 2U);
  EXPECT_EQ(recovered->rolled_back, 1U);
  EXPECT_EQ(world_.scalar("SELECT string_agg(lane::text, ' ' ORDER BY lane) FROM t"), "1 2");
  // The database lost what the host believes complete: it is told, and goes back.
  EXPECT_EQ(now.recover(world_.env(), *next, 7, world_.soon())->epoch, 2U);
}

TEST_F(TwoPhaseTest, ARecordedEpochThatSomebodyResolvedInPartStopsTheRecovery) {
  const TwoPhase former = world_.claim(*connection_);
  const Gids gids{world_.prepare(*connection_, former, 0), world_.prepare(*connection_, former, 1)};
  ASSERT_TRUE(former.record(*connection_, 1, 1, gids, world_.soon()));
  world_.must(*connection_, "ROLLBACK PREPARED '" + gids[0] + "'");
  const auto stopped = former.recover(world_.env(), *connection_, 1, world_.soon());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::kNoPreparedTransaction);
  EXPECT_THAT(stopped.error().message, HasSubstr("only 1 of its 2"));
  EXPECT_EQ(world_.prepared(), "1");
  EXPECT_EQ(former.recover(world_.env(), *connection_, {}, world_.soon())->rolled_back, 1U);
}

// Two lanes, one epoch, and a crash after each step. All or none is there afterwards, and which of
// both follows from the one row.
TEST(TwoPhaseCrash, BetweenEachTwoPhasesAllOrNone) {
  const auto server = PostgresServer::start();
  using Step = std::function<void(World&, const TwoPhase&, Connection&, Connection&, Gids&)>;
  const std::vector<std::pair<std::string, Step>> steps = {
      {"prepare 0", [](World& w, const TwoPhase& p, Connection& a, Connection&,
                       Gids& gids) { gids.push_back(w.prepare(a, p, 0)); }},
      {"prepare 1", [](World& w, const TwoPhase& p, Connection&, Connection& b,
                       Gids& gids) { gids.push_back(w.prepare(b, p, 1)); }},
      {"record", [](World& w, const TwoPhase& p, Connection& a, Connection&,
                    Gids& gids) { EXPECT_TRUE(p.record(a, 1, 5, gids, w.soon())); }},
      {"decide", [](World& w, const TwoPhase& p, Connection& a, Connection&,
                    Gids& gids) { EXPECT_TRUE(p.decide(a, 1, 5, gids, w.soon())); }},
      {"commit 0", [](World& w, const TwoPhase&, Connection& a, Connection&,
                      Gids& gids) { w.must(a, "COMMIT PREPARED '" + gids[0] + "'"); }},
      {"commit 1", [](World& w, const TwoPhase&, Connection& a, Connection&,
                      Gids& gids) { w.must(a, "COMMIT PREPARED '" + gids[1] + "'"); }},
      {"forget", [](World& w, const TwoPhase& p, Connection& a, Connection&,
                    Gids&) { EXPECT_EQ(*p.commit_decided(w.env(), a, w.soon()), 0U); }},
  };
  constexpr size_t kDecided = 4;
  enum Crash { kKillBackend, kTerminateBackend, kImmediateStop, kCrashCount };
  for (int crash = 0; crash < kCrashCount; ++crash) {
    for (size_t done = 0; done <= steps.size(); ++done) {
      const std::string what = "crash " + std::to_string(crash) + " after " + std::to_string(done);
      World world(*server);
      {
        const auto a = world.open();
        const auto b = world.open();
        const TwoPhase former = world.claim(*a);
        ASSERT_TRUE(former.attach(*b, world.soon()));
        Gids gids;
        for (size_t i = 0; i < done; ++i) steps[i].second(world, former, *a, *b, gids);
        if (crash == kKillBackend) server->kill_backend(a->server().backend.pid);
        if (crash == kTerminateBackend) server->kill_backend(a->server().backend.pid, SIGTERM);
        if (crash == kImmediateStop) server->restart(StopMode::kImmediate);
        if (crash != kTerminateBackend) {
          ASSERT_TRUE(eventually([&] { return !b->query("SELECT 1", world.soon()); })) << what;
        }
        server->wait_until_ready();
      }
      const auto next = world.open();
      const TwoPhase now = world.claim(*next);
      const auto recovered = now.recover(world.env(), *next, {}, world.soon());
      ASSERT_TRUE(recovered) << what << ": " << recovered.error().to_string();
      EXPECT_EQ(world.rows(), done >= kDecided ? "2" : "0") << what;
      EXPECT_EQ(recovered->epoch, done >= kDecided ? 1U : 0U) << what;
      EXPECT_EQ(recovered->position, done >= kDecided ? 5U : 0U) << what;
      EXPECT_EQ(world.prepared(), "0") << what;
      EXPECT_EQ(world.scalar("SELECT count(*) FROM pgsink_decisions"), "0") << what;
    }
  }
}

// A decision is what the next writer goes by: it stays until all that it names is committed.
TEST_F(TwoPhaseTest, ADecisionStaysWhileOneOfItsTransactionsCannotBeCommitted) {
  shared_server().create_role("twopc_helper");
  const TwoPhase two_phase = world_.claim(*connection_);
  const Gids gids{world_.prepare(*connection_, two_phase, 0),
                  world_.prepare(*connection_, two_phase, 1)};
  ASSERT_TRUE(two_phase.decide(*connection_, 1, 5, gids, world_.soon()));
  world_.server().sql(
      "GRANT SELECT, INSERT, UPDATE, DELETE ON pgsink_writers, pgsink_decisions TO twopc_helper",
      world_.database());
  const auto helper = world_.open("twopc_helper");
  const auto refused = two_phase.commit_decided(world_.env(), *helper, world_.soon());
  ASSERT_FALSE(refused) << "it may not become the owner";
  EXPECT_EQ(refused.error().code, Errc::kPrivilege) << refused.error().to_string();
  EXPECT_EQ(world_.scalar("SELECT count(*) FROM pgsink_decisions"), "1");
  EXPECT_EQ(world_.prepared(), "2");
  EXPECT_EQ(*two_phase.commit_decided(world_.env(), *connection_, world_.soon()), 2U);
  EXPECT_EQ(world_.rows(), "2");
  EXPECT_EQ(world_.scalar("SELECT count(*) FROM pgsink_decisions"), "0");
}

/// One call of TwoPhase, cut off at every one of its messages, and what the next writer must find.
struct CutCall {
  const char* name;
  std::function<void(World&, const TwoPhase&, Connection&, const Gids&)> before;
  std::function<void(World&, const TwoPhase&, Connection&, const Gids&)> call;
  std::optional<uint64_t> host_epoch;  ///< That the next writer recovers with.
  std::optional<bool> committed;  ///< Whether both rows are there afterwards; nullopt: all or none.
};

std::vector<CutCall> cut_calls() {
  const auto nothing = [](World&, const TwoPhase&, Connection&, const Gids&) {};
  const auto record = [](World& w, const TwoPhase& p, Connection& c, const Gids& gids) {
    std::ignore = p.record(c, 1, 5, gids, w.soon());
  };
  const auto decide = [](World& w, const TwoPhase& p, Connection& c, const Gids& gids) {
    std::ignore = p.decide(c, 1, 5, gids, w.soon());
  };
  const auto commit = [](World& w, const TwoPhase& p, Connection& c, const Gids&) {
    std::ignore = p.commit_decided(w.env(), c, w.soon());
  };
  const auto recover = [](World& w, const TwoPhase& p, Connection& c, const Gids&) {
    std::ignore = p.recover(w.env(), c, 1, w.soon());
  };
  const auto abort = [](World& w, const TwoPhase& p, Connection& c, const Gids&) {
    std::ignore = p.abort(w.env(), c, 1, w.soon());
  };
  return {{"record", nothing, record, {}, false},
          {"decide", nothing, decide, {}, {}},
          {"commit_decided", decide, commit, {}, true},
          {"recover", record, recover, 1, true},
          {"recover of a decision", decide, recover, 1, true},
          {"abort", record, abort, {}, false}};
}

// The connection breaks before or after each message: all rows of the epoch are there, or none, and
// what was decided is.
TEST_F(TwoPhaseTest, CallsThatAreCutAtAnyMessageLeaveAllOrNone) {
  for (const CutCall& what : cut_calls()) {
    for (const bool pass_on : {false, true}) {
      int cuts = 0;
      for (bool fired = true; fired;) {
        World world(shared_server());
        WireProxy proxy(shared_server().socket_dir(), shared_server().port());
        const std::string place =
            std::string(what.name) + (pass_on ? " after" : " before") + " message ";
        {
          const auto straight = world.open();
          const auto cut = world.open_through(proxy);
          const TwoPhase former = world.claim(*cut);
          ASSERT_TRUE(former.attach(*straight, world.soon()));
          const Gids gids{world.prepare(*straight, former, 0), world.prepare(*straight, former, 1)};
          what.before(world, former, *straight, gids);
          proxy.set_rule(
              {.side = WireProxy::Side::kFrontend, .type = 0, .nth = ++cuts, .pass_on = pass_on});
          what.call(world, former, *cut, gids);
          fired = proxy.fired();
        }
        const auto next = world.open();
        const TwoPhase now = world.claim(*next);
        const auto recovered = now.recover(world.env(), *next, what.host_epoch, world.soon());
        ASSERT_TRUE(recovered) << place << cuts << ": " << recovered.error().to_string();
        const std::string rows = world.rows();
        const bool committed = what.committed.value_or(recovered->epoch == 1);
        EXPECT_EQ(rows, committed ? "2" : "0") << place << cuts;
        EXPECT_EQ(recovered->epoch, committed ? 1U : 0U) << place << cuts;
        EXPECT_EQ(world.prepared(), "0") << place << cuts;
        EXPECT_EQ(world.scalar("SELECT count(*) FROM pgsink_decisions"), "0") << place << cuts;
      }
      EXPECT_GT(cuts, 1) << what.name << " was never cut";
    }
  }
}

/// A writer that takes the sink over, writes some epochs on two lanes and vanishes anywhere.
class RacingWriter {
 public:
  RacingWriter(World& world, uint64_t seed) : world_(world), state_(seed | 1) {}

  /// Lets the others live, too.
  void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(draw(400))); }
  /// One life. Every failure is another writer's claim: then there is nothing more to do.
  void live() {
    const auto a = world_.open();
    const auto b = world_.open();
    const auto claimed = TwoPhase::claim(*a, {"public", "race", "race_${uuid}"}, world_.soon());
    if (!claimed || !claimed->attach(*b, world_.soon())) return;
    const auto recovered = claimed->recover(world_.env(), *a, {}, world_.soon());
    if (!recovered) return;
    for (uint64_t epoch = recovered->epoch + 1; draw(20) != 0; ++epoch) {
      if (!write(*claimed, *a, *b, epoch)) return;
      ++epochs_;
    }
  }
  uint64_t epochs() const { return epochs_; }

 private:
  uint64_t draw(uint64_t below) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % below;
  }
  bool prepare(const TwoPhase& two_phase, Connection& connection, uint64_t epoch, int lane,
               Gids& gids) {
    gids.push_back(two_phase.make_gid(world_.env().random));
    const std::string row = std::to_string(epoch) + ", " + std::to_string(lane) + ", " +
                            std::to_string(two_phase.generation());
    const std::string flight =
        "BEGIN; INSERT INTO race VALUES (" + row + "); " + *two_phase.prepare_sql(gids.back());
    if (draw(20) == 0) {  // Vanishes with the flight in the server's receive buffer.
      EXPECT_TRUE(connection.session().query(flight));
      std::ignore = connection.drain_output(0, world_.soon());
      return false;
    }
    return connection.query(flight, world_.soon()).has_value();
  }
  bool write(const TwoPhase& two_phase, Connection& a, Connection& b, uint64_t epoch) {
    Gids gids;
    if (!prepare(two_phase, a, epoch, 0, gids)) return false;
    if (!prepare(two_phase, b, epoch, 1, gids)) return false;
    if (!two_phase.decide(a, epoch, epoch, gids, world_.soon()) || draw(10) == 0) return false;
    return two_phase.commit_decided(world_.env(), b, world_.soon()).has_value();
  }

  World& world_;
  uint64_t state_;
  uint64_t epochs_ = 0;
};

// Writers that take over from each other at every moment: each epoch is there with both lanes of
// one writer, none is missing, none is there twice.
TEST_F(TwoPhaseTest, WritersThatTakeOverAllTheTimeLoseAndDoubleNothing) {
  world_.server().sql("CREATE TABLE race (epoch bigint, lane int, generation bigint)",
                      world_.database());
  const TimePoint end = world_.env().clock.now() + std::chrono::seconds(6);
  std::vector<RacingWriter> writers;
  for (uint64_t i = 0; i < 3; ++i) writers.emplace_back(world_, 77 + i);
  std::vector<std::thread> threads;
  for (RacingWriter& writer : writers) {
    threads.emplace_back([&world = world_, &writer, end] {
      for (; world.env().clock.now() < end; writer.rest()) writer.live();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const TwoPhase last = world_.claim(*connection_, "race", "race_${uuid}");
  const auto recovered = last.recover(world_.env(), *connection_, {}, world_.soon());
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_EQ(world_.prepared(), "0");
  const std::string epochs = std::to_string(recovered->epoch);
  EXPECT_EQ(world_.scalar("SELECT count(*) FROM (SELECT FROM race GROUP BY epoch HAVING count(*) = "
                          "2 AND sum(lane) = 1 AND min(generation) = max(generation)) AS whole"),
            epochs);
  EXPECT_EQ(world_.scalar("SELECT count(DISTINCT epoch) || ' ' || max(epoch) FROM race"),
            epochs + " " + epochs);
  EXPECT_GT(recovered->epoch, 5U);
  EXPECT_GT(last.generation(), 20U) << "too few takeovers to prove anything";
  RecordProperty("epochs", epochs);
  RecordProperty("generations", std::to_string(last.generation()));
}

// ---- for people --------------------------------------------------------------------------------

TEST_F(TwoPhaseTest, WhatIsInDoubtIsListedWithItsDecisionAndWriter) {
  const TwoPhase two_phase = world_.claim(*connection_, "orders");
  const Gids decided{world_.prepare(*connection_, two_phase, 0)};
  ASSERT_TRUE(two_phase.decide(*connection_, 7, 70, decided, world_.soon()));
  const std::string open = world_.prepare(*connection_, two_phase, 1);
  world_.must(*connection_, "BEGIN; INSERT INTO t VALUES (9, 9); PREPARE TRANSACTION 'stranger'");
  const auto looker = world_.open();
  auto listed = list_in_doubt(*looker, world_.soon());
  ASSERT_TRUE(listed) << listed.error().to_string();
  ASSERT_EQ(listed->size(), 2U) << "others' are none of ours";
  const InDoubt& first = (*listed)[0];
  EXPECT_EQ(first.transaction.gid, decided[0]);
  EXPECT_EQ(first.transaction.owner, "postgres");
  EXPECT_EQ(first.schema + " " + first.sink_id, "public orders");
  EXPECT_TRUE(first.decided);
  EXPECT_EQ(first.epoch, 7U);
  EXPECT_THAT(first.writer, AllOf(HasSubstr(std::to_string(connection_->server().backend.pid)),
                                  HasSubstr("two_phase_test")));
  EXPECT_EQ((*listed)[1].transaction.gid, open);
  EXPECT_FALSE((*listed)[1].decided);
  EXPECT_FALSE((*listed)[1].epoch);
  ASSERT_TRUE(two_phase.detach(*connection_, world_.soon()));
  EXPECT_EQ(list_in_doubt(*looker, world_.soon())->at(0).writer, "");
  world_.must(*connection_, "ROLLBACK PREPARED 'stranger'");
  EXPECT_TRUE(two_phase.recover(world_.env(), *connection_, {}, world_.soon()));
}

}  // namespace
}  // namespace pgsink::test
