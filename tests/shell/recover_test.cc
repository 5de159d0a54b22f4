// `pgsink recover`: what sinks left in doubt, listed and resolved by hand.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/delivery/two_phase.h"
#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Recover : public ::testing::Test {
 protected:
  Recover() {
    create_table("critical", "(a int)");
    analytics_server().sql("GRANT CREATE ON SCHEMA public TO \"user\"", "analytics");
    writer_ = connect();
    two_phase_ = *TwoPhase::claim(
        *writer_, {"public", "recover_sink/public.critical", "laminar_${uuid}"}, soon());
    decided_ = prepare(1);
    const Status status = two_phase_.decide(*writer_, ++epoch_, 1, std::span(&decided_, 1), soon());
    if (!status) throw std::runtime_error(status.error().to_string());
    open_ = prepare(2);
  }
  ~Recover() override {
    if (auto next = connect()) {
      const auto claimed = TwoPhase::claim(
          *next, {"public", "recover_sink/public.critical", "laminar_${uuid}"}, soon());
      if (claimed) std::ignore = claimed->recover(os_.env(), *next, {}, soon());
    }
    analytics_server().sql("DROP TABLE IF EXISTS pgsink_writers, pgsink_decisions", "analytics");
  }

  Deadline soon() { return os_.env().clock.now() + std::chrono::seconds(60); }
  std::unique_ptr<Connection> connect() {
    auto options = parse_conninfo("host=localhost port=5432 dbname=analytics user=user");
    options->password = "s3cret'pw";
    return *Connection::open(os_.env(), *apply_environment(*options, os_.env().files));
  }
  std::string prepare(int value) {
    std::string gid = two_phase_.make_gid(os_.env().random);
    EXPECT_TRUE(writer_->query("BEGIN; INSERT INTO critical VALUES (" + std::to_string(value) +
                                   "); " + *two_phase_.prepare_sql(gid),
                               soon()));
    return gid;
  }
  Captured recover(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"recover", "-c", connection("recover_sink", "critical")});
    return pgsink(std::move(arguments));
  }
  std::string rows() {
    return analytics_server().scalar(
        "SELECT coalesce(string_agg(a::text, ' ' ORDER BY a), '') FROM critical", "analytics");
  }

  OsEnv os_;
  std::unique_ptr<Connection> writer_;
  TwoPhase two_phase_;
  uint64_t epoch_ = 0;
  std::string decided_, open_;
};

TEST_F(Recover, ListsWhatIsInDoubtWithItsDecision) {
  const auto run = recover({});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out,
              AllOf(HasSubstr(decided_ + "\n  decided: epoch 1 is to be committed\n"),
                    HasSubstr(open_ + "\n  undecided: "),
                    HasSubstr("sink recover_sink/public.critical in schema public"),
                    HasSubstr("by role user"), HasSubstr("written now by server process ")));
  writer_.reset();
  EXPECT_THAT(recover({}).out, HasSubstr("no process has this sink open"));
  EXPECT_EQ(rows(), "") << "listing changes nothing";
}

TEST_F(Recover, ListsAllSinksOfAUrlAndAsJson) {
  RunOptions options;
  options.environment.emplace_back("PGPASSWORD", "s3cret'pw");
  const auto run =
      pgsink({"recover", "--url", "postgresql://user@localhost:5432/analytics", "--json"}, options);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  TemporaryFolder folder;
  const auto read = pgsink({"--format", "csv", "-c",
                            "SELECT gid, sink_id, epoch, decided FROM read_json('" +
                                folder.write("doubt.json", run.out) + "') ORDER BY decided DESC"});
  EXPECT_EQ(read.out, "gid,sink_id,epoch,decided\n" + decided_ +
                          ",recover_sink/public.critical,1,true\n" + open_ +
                          ",recover_sink/public.critical,,false\n")
      << read.err;
}

TEST_F(Recover, ShowsOnlyTheSinkOfTheConnection) {
  const auto other = pgsink({"recover", "-c", connection("another_sink", "critical")});
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(other.out, "");
  EXPECT_THAT(other.err, HasSubstr("no prepared transaction is in doubt"));
  const auto both = pgsink({"recover", "-c",
                            connection("another_sink", "critical") +
                                connection("recover_sink", "critical") + "SELECT nonsense;",
                            "--connection", "recover_sink"});
  EXPECT_THAT(both.out, HasSubstr(decided_)) << both.err;
  const auto none = recover({"--connection", "recover_snik"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr("PGS-1007"), HasSubstr("recover_snik")));
}

TEST_F(Recover, CommitsWhatIsDecidedAndNothingElse) {
  const auto run = recover({"--decided"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, "pgsink: 1 prepared transaction committed\n");
  EXPECT_EQ(rows(), "1");
  EXPECT_THAT(recover({}).out, AllOf(HasSubstr(open_), Not(HasSubstr(decided_))));
  EXPECT_EQ(recover({"--decided"}).exit_code, 0) << "again";
}

TEST_F(Recover, RollsOneBackOnceNobodyWrites) {
  const auto busy = recover({"--rollback", open_});
  EXPECT_EQ(busy.exit_code, 1);
  EXPECT_THAT(busy.err,
              AllOf(HasSubstr("PGS-6006"), HasSubstr("is in use by"), HasSubstr("stop it first")));
  writer_.reset();
  const auto run = recover({"--rollback", open_});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "pgsink: 1 prepared transaction rolled back\n");
  const auto gone = recover({"--rollback", open_});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_THAT(gone.err, AllOf(HasSubstr("PGS-6005"), HasSubstr(open_)));
  EXPECT_EQ(rows(), "");
}

TEST_F(Recover, WhatIsDecidedCannotBeRolledBack) {
  writer_.reset();
  const auto run = recover({"--rollback", decided_});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("PGS-6006"), HasSubstr("epoch 1, which is decided")));
  EXPECT_EQ(recover({"--commit", decided_}).exit_code, 0);
  EXPECT_EQ(rows(), "1");
}

TEST_F(Recover, CommitsAnUndecidedOneWithANote) {
  writer_.reset();
  const auto run = recover({"--commit", open_});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err,
              AllOf(HasSubstr("was never decided"), HasSubstr("1 prepared transaction committed")));
  EXPECT_EQ(rows(), "2");
}

TEST_F(Recover, AStrangersPreparedTransactionIsNotTouched) {
  analytics_server().sql("BEGIN; INSERT INTO critical VALUES (9); PREPARE TRANSACTION 'stranger'",
                         "analytics");
  writer_.reset();
  const auto run = recover({"--commit", "stranger"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("PGS-6005"));
  analytics_server().sql("ROLLBACK PREPARED 'stranger'", "analytics");
}

TEST_F(Recover, AServerThatIsNotThereIsAnErrorWithItsName) {
  const auto run = pgsink({"recover", "--url", "host=localhost port=1 dbname=d user=u"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("PGS-2001"), HasSubstr("--url")));
}

TEST(RecoverUsage, TellsWhatItTakes) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"recover"},
        {"recover", "--url", "host=a", "-c", "SELECT 1"},
        {"recover", "--url", "host=a", "--connection", "b"},
        {"recover", "-c", "", "--commit", "a", "--rollback", "b"},
        {"recover", "-c", "", "--decided", "--commit", "b"},
        {"recover", "-c", "", "--commit"},
        {"recover", "-c", "", "--progress", "always"},
        {"--decided", "-c", "SELECT 1"}}) {
    const auto run = pgsink(arguments);
    EXPECT_EQ(run.exit_code, 2) << arguments.back();
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(run.err, HasSubstr("pgsink: "));
  }
  EXPECT_THAT(pgsink({"recovr"}).err, HasSubstr("did you mean the command recover?"));
  EXPECT_THAT(pgsink({"--help"}).out,
              AllOf(HasSubstr("pgsink recover -f"), HasSubstr("--rollback GID"),
                    HasSubstr("--decided"), HasSubstr("--url URL")));
  EXPECT_EQ(pgsink({"recover", "--help"}).exit_code, 0);
}

}  // namespace
}  // namespace pgsink::test
