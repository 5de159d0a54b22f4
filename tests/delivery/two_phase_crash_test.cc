// Two-phase commit where something breaks: the host is killed, backends are ended, connections are
// cut at every message around COPY, PREPARE TRANSACTION, the decision and COMMIT PREPARED. Whatever
// happens, each row is there once, and nothing stays in doubt.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "delivery/two_phase_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using Effect = WireProxy::Effect;
using Rule = WireProxy::Rule;
using Side = WireProxy::Side;

/// PGSINK_TWO_PHASE_KILLS asks for more than a commit can wait for: tests/soak runs hundreds.
int kills() {
  constexpr int kKills = 18;
  const char* asked = std::getenv("PGSINK_TWO_PHASE_KILLS");
  return asked != nullptr ? std::atoi(asked) : kKills;
}

/// Boundaries walks through the messages at which something may happen: the n-th of one side,
/// passed on or not, with every effect. With few kills it takes wide steps.
class Boundaries {
 public:
  explicit Boundaries(int count) : step_(count >= 400 ? 1 : 13) {}

  Rule rule() const {
    return {.side = turn_ % 2 == 0 ? Side::kFrontend : Side::kBackend,
            .type = 0,
            .nth = nth_,
            .pass_on = turn_ / 2 % 2 == 0,
            .effect = kEffects[static_cast<size_t>(turn_) % kEffects.size()]};
  }
  /// `fired`: the last rule's message was sent. If not, all of them were walked through.
  void go_on(bool fired) {
    nth_ += step_;
    if (fired) return;
    ++turn_;
    nth_ = 1 + turn_ % step_;
  }
  int turns() const { return turn_; }

 private:
  static constexpr std::array<Effect, 3> kEffects{Effect::kCut, Effect::kOrphan, Effect::kSwallow};
  int step_;
  int turn_ = 0, nth_ = 1;
};

class TwoPhaseCrashTest : public TwoPhaseSinkFixture {
 public:
  void SetUp() override {
    TwoPhaseSinkFixture::SetUp();
    options_.parallelism = 2;
    // Several transactions of a lane in an epoch.
    options_.transaction_size = kBatchRows;
  }

  // ---- hosts, each in a process of its own -----------------------------------------------------
  static constexpr uint64_t kEpochBatches = 4;
  static constexpr uint64_t kLifeBatches = 3 * kEpochBatches;
  static constexpr std::chrono::minutes kLifeMax{5};  ///< A host that takes longer hangs.

  /// A host that flushes now and then, and goes on where the database is.
  void flushing_host() const {
    auto sink = Sink::open(options_, batch(0).schema());
    if (!sink) could_not_open(sink.error());
    const uint64_t first = (*sink)->durable_position() + 1;
    for (uint64_t n = first; n < first + kLifeBatches; ++n) {
      if (!(*sink)->write(batch(n))) _exit(3);
      if (n % kEpochBatches == 0 && !(*sink)->flush()) _exit(4);
    }
    _exit((*sink)->close() ? 0 : 5);
  }

  /// A host with checkpoints: what it knows to be complete stands in a file.
  void deciding_host() const {
    auto sink = Sink::open(options_, batch(0).schema());
    if (!sink) could_not_open(sink.error());
    uint64_t epoch = 0;
    std::ifstream(checkpoint_) >> epoch;
    const auto recovered = (*sink)->recover(epoch);
    if (!recovered) _exit(6);
    if (recovered->epoch != epoch) _exit(7);
    uint64_t n = recovered->position;
    for (int i = 0; i < 3; ++i) {
      for (uint64_t k = 0; k < kEpochBatches; ++k) {
        if (!(*sink)->write(batch(++n))) _exit(3);
      }
      if (!(*sink)->prepare(++epoch)) _exit(8);
      {
        std::ofstream file(checkpoint_ + ".new");
        file << epoch;
      }
      std::rename((checkpoint_ + ".new").c_str(), checkpoint_.c_str());
      if (!(*sink)->commit(epoch)) _exit(9);
    }
    _exit((*sink)->close() ? 0 : 5);
  }
  static constexpr int kCouldNotOpen = 2;
  [[noreturn]] void could_not_open(const Error& error) const {
    std::ofstream(host_error_) << error.to_string();
    _exit(kCouldNotOpen);
  }

  /// Lets one life of the host run until the rule's message, and kills it there. False if the life
  /// ended before.
  bool kill_at(const Rule& rule, void (TwoPhaseCrashTest::*host)() const) {
    proxy_->set_rule(rule);
    const pid_t child = fork();
    if (child == 0) (this->*host)();
    if (child < 0) throw std::runtime_error("fork");
    int status = 0;
    bool ended = false;
    const auto ends_or_is_struck = [&] {
      ended = waitpid(child, &status, WNOHANG) == child;
      return ended || proxy_->fired();
    };
    const bool struck = eventually(ends_or_is_struck, kLifeMax);
    if (!ended) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
    }
    if (!struck) throw std::runtime_error("the host hangs at message " + std::to_string(rule.nth));
    const bool fired = proxy_->fired();
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0 &&
        !(fired && WEXITSTATUS(status) == kCouldNotOpen)) {
      throw std::runtime_error("the host ended with " + std::to_string(WEXITSTATUS(status)) +
                               " at message " + std::to_string(rule.nth) + "; open() last said " +
                               read_file(host_error_));
    }
    disarm();
    return fired;
  }

  void kill_again_and_again(void (TwoPhaseCrashTest::*host)() const) {
    Boundaries boundaries(kills());
    for (int i = 0; i < kills(); ++i) {
      boundaries.go_on(kill_at(boundaries.rule(), host));
      // Some zombies live on into the next lives, but not more than the server has room for.
      if (i % 5 == 4) proxy_->drop_orphans();
    }
    EXPECT_GT(boundaries.turns(), 0) << "no host was killed at its last messages";
    disarm();
    proxy_->drop_orphans();
    const pid_t child = fork();
    if (child == 0) (this->*host)();
    const auto status = wait_for_child(child, kLifeMax);
    ASSERT_TRUE(status) << "the last host hangs";
    ASSERT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << *status;
    EXPECT_EQ(prepared(), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pgsink_decisions"), "0");
    expect_once(std::stoull(scalar("SELECT host_position FROM pgsink_writers")));
  }

  void disarm() { proxy_->set_rule({.side = Side::kFrontend, .type = '\1', .nth = 1'000'000'000}); }

  static std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string checkpoint_ = shared_server().directory() + "/checkpoint";
  std::string host_error_ = checkpoint_ + ".error";
};

TEST_F(TwoPhaseCrashTest, AFlushingHostKilledAtAnyMessageLosesAndDoublesNothing) {
  kill_again_and_again(&TwoPhaseCrashTest::flushing_host);
}

TEST_F(TwoPhaseCrashTest, AHostWithCheckpointsKilledAtAnyMessageLosesAndDoublesNothing) {
  std::remove(checkpoint_.c_str());
  kill_again_and_again(&TwoPhaseCrashTest::deciding_host);
}

/// Connections are cut, or lost while the old backend goes on, and the sink goes on by itself.
TEST_F(TwoPhaseCrashTest, CutsAtAnyMessageOfALivingSinkLoseAndDoubleNothing) {
  Boundaries boundaries(kills());
  uint64_t written = 0;
  int cuts = 0;
  for (int i = 0; i < kills(); ++i) {
    options_.write_mode = i % 2 == 0 ? WriteMode::kInsert : WriteMode::kUpsert;
    auto sink = open();
    ASSERT_EQ(sink->durable_position(), written);
    Rule rule = boundaries.rule();
    if (rule.effect == Effect::kSwallow) rule.effect = Effect::kCut;  // Silence has no end.
    proxy_->set_rule(rule);
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (uint64_t k = 0; k < kEpochBatches; ++k) must(sink->write(batch(++written)));
      must(sink->flush());
    }
    cuts += proxy_->fired() ? 1 : 0;
    boundaries.go_on(proxy_->fired());
    disarm();
    ASSERT_EQ(prepared(), "0");
    expect_once(written);
    ASSERT_FALSE(HasFailure()) << "message " << rule.nth;
    EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
    must(sink->close());
    proxy_->drop_orphans();
  }
  EXPECT_GT(cuts, kills() / 2);
}

TEST_F(TwoPhaseCrashTest, BackendsThatDieAtAnyTimeLoseAndDoubleNothing) {
  options_.parallelism = 3;
  auto sink = open();
  std::atomic<bool> done = false;
  std::thread killer([&] {
    // On a busy machine, connecting takes longer than the usual pause: without a longer one, no
    // transaction would ever end.
    std::chrono::steady_clock::duration pause = std::chrono::milliseconds(15);
    while (!done) {
      std::this_thread::sleep_for(pause);
      const auto began = std::chrono::steady_clock::now();
      shared_server().sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
          "'pgsink/test' AND datname = '" +
          database_ + "'");
      pause = std::max(pause, 4 * (std::chrono::steady_clock::now() - began));
    }
  });
  uint64_t n = 0;
  Status status;
  // However fast the machine is, some die.
  const auto enough = [&] { return sink->metrics().connections_opened > 6; };
  for (int epoch = 0; status && (epoch < 10 || (epoch < 1000 && !enough())); ++epoch) {
    for (int k = 0; status && k < 15; ++k) status = sink->write(batch(++n));
    if (status) status = sink->flush();
  }
  done = true;
  killer.join();
  must(status);
  EXPECT_TRUE(enough());
  expect_once(n);
  must(sink->close());
  EXPECT_EQ(prepared(), "0");
}

// Prepared transactions survive, whatever the server's incarnation is then.
TEST_F(TwoPhaseCrashTest, AServerThatCrashesKeepsWhatIsPrepared) {
  const auto server = PostgresServer::start();
  use(*server);
  auto sink = open();
  uint64_t n = 0;
  for (int crash = 0; crash < 2; ++crash) {
    for (int k = 0; k < 5; ++k) must(sink->write(batch(++n)));
    ASSERT_TRUE(eventually([&] { return prepared() != "0"; }));
    server->kill_backend(server->backend_pids(database_).front());
    for (int k = 0; k < 5; ++k) must(sink->write(batch(++n)));
    must(sink->flush());
    server->wait_until_ready();
    expect_once(n);
  }
  must(sink->close());
  EXPECT_EQ(prepared(), "0");
  stop_using();
}

}  // namespace
}  // namespace pgsink::test
