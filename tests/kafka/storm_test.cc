// A storm of deaths: members of one group are killed, stopped beyond their session, ended and
// started, while the broker and PostgreSQL crash, PostgreSQL fails over to its standby, and
// producers abort transactions. Whatever it does, each record counts once, and those of a key in
// their order.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/group_support.h"

namespace pgsink::test {
namespace {

using std::chrono::milliseconds;

class KafkaStormTest : public KafkaGroupTest {
 protected:
  using Clock = std::chrono::steady_clock;
  static constexpr int kPartitions = 12, kKeys = 48;
  static constexpr size_t kMembers = 3, kMembersMax = 6;
  /// Longer than a session: the group goes on without the member.
  static constexpr milliseconds kStopped{2500};

  void SetUp() override {
    primary_ = PostgresServer::start();
    standby_ = primary_->start_standby();
    primary_->make_synchronous();
    address_ = "host = '" + primary_->socket_dir() + "," + standby_->socket_dir() + "', port = '" +
               std::to_string(primary_->port()) + "," + std::to_string(standby_->port()) + "'";
    KafkaGroupTest::SetUp();
    shared_broker().create_topic(topic_, kPartitions);
  }
  PostgresServer& server() override { return *primary_; }
  std::string address() override { return address_; }

  /// Ends after so many deaths by SIGKILL, or so many seconds.
  void run_storm(const std::string& more_of_sink, const std::string& select) {
    text_ = script(more_of_sink, "INSERT INTO target " + select + ";");
    while (members_.size() < kMembers) start_member(text_);
    ASSERT_TRUE(eventually(
        [&] { return scalar("SELECT to_regclass('pgsink_offsets') IS NOT NULL") == "t"; }));
    const int64_t records = number("PGSINK_KAFKA_RECORDS", 60'000);
    const int64_t kills = number("PGSINK_KAFKA_KILLS", 8);
    // About half of the strikes kill.
    const int64_t round = std::max<int64_t>(records / (2 * kills + 2), kKeys);
    const auto until = Clock::now() + std::chrono::seconds(number("PGSINK_KAFKA_SECONDS", 86'400));
    while (kills_ < kills && Clock::now() < until) {
      const int64_t before = positions();
      send_more(round);
      strike(kills);
      // Now and then they get somewhere, so that members have partitions and full buffers.
      const bool wait = random_() % 4 == 0;
      const auto moves = [&] {
        resume_due();  // All of them may be stopped.
        return positions() > before;
      };
      ASSERT_TRUE(!wait || eventually(moves, std::chrono::seconds(180))) << "see " << log();
    }
    for (auto& [pid, stopped] : members_) resume(pid);
    // Marks of transactions do not count as read: the last of each partition must be a record.
    shared_broker().finish_transactions();
    send_more(std::max(records - sent_, round));
    const int64_t end = shared_broker().end_of(topic_, kPartitions);
    ASSERT_TRUE(eventually([&] { return positions() == end; }, std::chrono::seconds(300)))
        << positions() << " of " << end << "; see " << log();
    std::printf(
        "%lld records and %lld in transactions that were aborted; %lld members killed, %lld "
        "stopped "
        "beyond their session, %lld joined, %lld told to end; %lld crashes of the broker, %lld of "
        "PostgreSQL, %lld failovers\n",
        as_printed(sent_), as_printed(aborted_), as_printed(kills_), as_printed(stops_),
        as_printed(joins_), as_printed(ends_), as_printed(brokers_), as_printed(crashes_),
        as_printed(failovers_));
    end_members();
  }

  int64_t sent() const { return sent_; }
  /// The record that was sent last for a key has this counter.
  int64_t last_of(int64_t key) const { return (sent_ - 1 - key) / kKeys; }

  /// Has the table `wrong` report each change of a key that is not newer than the one before it.
  void watch_order() {
    sql("CREATE TABLE seen (k int PRIMARY KEY, n bigint); CREATE TABLE wrong (k int, n bigint)");
    sql("CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO seen VALUES (new.k, new.n) ON CONFLICT (k) DO UPDATE SET n = excluded.n "
        "WHERE seen.n < excluded.n; "
        "IF NOT FOUND THEN INSERT INTO wrong VALUES (new.k, new.n); END IF; RETURN new; END $$");
    sql("CREATE TRIGGER look AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION look()");
  }

 private:
  static long long as_printed(int64_t n) { return n; }
  int64_t positions() {
    return std::stoll(scalar("SELECT coalesce(sum(position), 0) FROM pgsink_offsets"));
  }
  void send_more(int64_t records) {
    send(sent_, records, kPartitions, kKeys);
    sent_ += records;
  }

  void strike(int64_t kills) {
    resume_due();
    const auto victim =
        std::next(members_.begin(), static_cast<int64_t>(random_() % members_.size()));
    const pid_t pid = victim->first;
    switch (random_() % 8) {
      case 0:
      case 1:
      case 2:
      case 3:
        remove(pid, SIGKILL);
        ++kills_;
        break;
      case 4:
      case 5:
        if (victim->second) break;
        kill(pid, SIGSTOP);
        victim->second = true;
        stopped_at_[pid] = Clock::now();
        ++stops_;
        break;
      case 6:
        if (members_.size() >= kMembersMax) break;
        start_member(text_);
        ++joins_;
        break;
      default:
        if (victim->second) break;
        remove(pid, SIGTERM);
        ++ends_;
    }
    while (members_.size() < kMembers) start_member(text_);
    // Each at least once, also in a short storm.
    const auto due = [&](int64_t done, int64_t every, int64_t first) {
      return kills_ >= std::min((done + 1) * every, first + done * every);
    };
    if (due(brokers_, 15, kills / 4)) crash_broker();
    if (due(crashes_, 25, kills / 2)) crash_server();
    if (due(failovers_, 50, kills * 3 / 4)) fail_over();
    if (random_() % 4 == 0) abort_transaction();
  }

  void crash_broker() {
    ++brokers_;
    shared_broker().stop(SIGKILL);
    shared_broker().start();
  }
  void crash_server() {
    ++crashes_;
    primary_->stop(StopMode::kImmediate);
    primary_->start_again();
  }
  /// The standby takes over, and the former primary becomes its standby.
  void fail_over() {
    ++failovers_;
    primary_->stop(StopMode::kImmediate);
    standby_->promote();
    std::swap(primary_, standby_);
    standby_->follow(*primary_);
    primary_->make_synchronous();
  }
  /// Records that nobody may see, in one partition.
  void abort_transaction() {
    const std::vector<std::string> values(20, R"({"k": -1, "n": 0})");
    shared_broker().send_in_transaction(topic_, static_cast<int>(random_() % kPartitions), values,
                                        false);
    aborted_ += static_cast<int64_t>(values.size());
  }

  void resume_due() {
    std::erase_if(stopped_at_, [&](const auto& one) {
      const bool due = Clock::now() - one.second >= kStopped;
      if (due) resume(one.first);
      return due;
    });
  }
  void remove(pid_t pid, int signal) {
    kill(pid, signal);
    EXPECT_TRUE(wait_for_child(pid, std::chrono::seconds(120)))
        << "a member does not end; see " << log();
    members_.erase(pid);
    stopped_at_.erase(pid);
  }
  void resume(pid_t pid) {
    kill(pid, SIGCONT);
    members_[pid] = false;
  }

  /// All of them are alive, and end when they are told to.
  void end_members() {
    for (const auto& [pid, stopped] : members_) {
      ASSERT_EQ(kill(pid, SIGTERM), 0);
      const auto status = wait_for_child(pid);
      ASSERT_TRUE(status) << "a member does not end; see " << log();
      // One that has only just begun does not handle signals yet.
      EXPECT_TRUE(WIFEXITED(*status) || WTERMSIG(*status) == SIGTERM)
          << "signal " << WTERMSIG(*status) << "; see " << log();
    }
    members_.clear();
    if (!HasFailure()) std::remove(log().c_str());
  }

  std::unique_ptr<PostgresServer> primary_, standby_;
  std::string address_, text_;
  std::mt19937 random_{static_cast<unsigned>(number("PGSINK_KAFKA_SEED", 1))};
  std::map<pid_t, Clock::time_point> stopped_at_;
  int64_t sent_ = 0, aborted_ = 0, kills_ = 0, stops_ = 0, joins_ = 0, ends_ = 0, brokers_ = 0,
          crashes_ = 0, failovers_ = 0;
};

TEST_F(KafkaStormTest, AppendLosesAndDoublesNothing) {
  sql("CREATE TABLE t (k int, n bigint, seq bigserial)");
  run_storm(", parallelism = 2", "SELECT k, n FROM feed");
  if (HasFatalFailure()) return;
  const std::string all = std::to_string(sent());
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT (k, n)) FROM t"), all + " " + all);
  // Rows of a key in one partition come in their order. (A sequence is not exactly the order of
  // commits, but the transactions of one stream follow each other.)
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY k ORDER BY seq) AS "
                   "before FROM t) AS o WHERE n <> before + 1"),
            "0");
}

TEST_F(KafkaStormTest, UpsertLeavesTheLastRecordOfEachKeyAndNeverGoesBack) {
  sql("CREATE TABLE t (k int PRIMARY KEY, n bigint)");
  watch_order();
  run_storm(", write_mode = 'upsert', conflict_columns = 'k'", "SELECT k, n FROM feed");
  if (HasFatalFailure()) return;
  EXPECT_EQ(scalar("SELECT count(*) FROM wrong"), "0");
  int64_t last = 0;
  for (int64_t key = 0; key < kKeys; ++key) last += last_of(key);
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(n) FROM t"),
            std::to_string(kKeys) + " " + std::to_string(last));
}

/// Each key is inserted, updated, deleted, and inserted again.
TEST_F(KafkaStormTest, AChangelogEndsWithTheLastChangeOfEachKeyAndNeverGoesBack) {
  constexpr int64_t kLife = 5;
  sql("CREATE TABLE t (k int PRIMARY KEY, n bigint)");
  watch_order();
  run_storm(
      ", write_mode = 'changelog'",
      "SELECT k, n, CASE n % 5 WHEN 0 THEN 'I' WHEN 4 THEN 'D' ELSE 'U' END AS _op FROM feed");
  if (HasFatalFailure()) return;
  EXPECT_EQ(scalar("SELECT count(*) FROM wrong"), "0");
  std::string expected;
  for (int64_t key = 0; key < kKeys; ++key) {
    if (last_of(key) % kLife == kLife - 1) continue;
    expected +=
        (expected.empty() ? "" : " ") + std::to_string(key) + ":" + std::to_string(last_of(key));
  }
  EXPECT_EQ(scalar("SELECT coalesce(string_agg(k || ':' || n, ' ' ORDER BY k), '') FROM t"),
            expected);
}

}  // namespace
}  // namespace pgsink::test
