#include "pgsink/delivery/flight_log.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

using Kind = FlightLog::Action::Kind;
using Seq = FlightLog::Seq;

constexpr TimePoint kStart{};
const Incarnation kFirstLife{
    .system_identifier = "7", .timeline = "1", .postmaster_start = "t0", .stats_reset = "s0"};

Error error_of(Errc code, std::string_view sqlstate = "00000") {
  Error error;
  error.code = code;
  error.sqlstate = pgproto::Sqlstate(sqlstate);
  error.message = "injected";
  return error;
}
Error transient_error() { return error_of(Errc::kServer, "40001"); }
Error permanent_error() { return error_of(Errc::kServer, "23505"); }

FlightLog::Config config_of(bool ordered, OutcomeSource outcome_source = OutcomeSource::kXid) {
  return {.window_max = 3,
          .ordered = ordered,
          .outcome_source = outcome_source,
          .retry = {.retries_max = 3},
          .jitter_seed = 42};
}

// ---- every order of answers, errors and cuts ---------------------------------------------------

/// What the log must find out: what the server did with each attempt.
struct Attempt {
  Seq seq = 0;
  int connection = 0;
  Seq sent_as = 0;          ///< Its number when it was sent, which the server knows.
  bool handed = false;      ///< COMMIT left the client.
  bool identified = false;  ///< The client learnt the xid.
  enum class Fate : uint8_t { kOpen, kCommitted, kAborted } fate = Fate::kOpen;
};

struct World {
  World(bool is_ordered, OutcomeSource source, bool counts_commits)
      : log(config_of(is_ordered, source)),
        ordered(is_ordered),
        outcome_source(source),
        counts(counts_commits) {}

  FlightLog log;
  bool ordered;
  OutcomeSource outcome_source;
  bool counts;  ///< The server says which transactions committed since the connection began.
  TimePoint now = kStart;
  int connection = 0;
  int life = 0;
  bool connected = false;
  bool fence_failed = false;
  bool divided = false;  ///< A flight became two.
  std::vector<Attempt> attempts;
  std::vector<size_t> wire;  ///< Indexes of attempts that await an answer, in order.
  std::vector<Seq> commits;  ///< What the table saw, in order; a crash may drop its tail.
  int said = 0;              ///< So many flights were sent as possible duplicates.
  std::set<Seq> acknowledged;
  std::set<Seq> said_of;  ///< Those flights.
  std::map<int, int> life_of_connection;
};

// Names that come back after three turns keep the number of worlds finite; no fact of a world
// reaches further back than one turn.
int32_t pid_of(int connection) { return 1 + connection % 3; }
uint64_t xid_of(const Attempt& attempt) {
  return 1000 + attempt.sent_as * 10 + static_cast<uint64_t>(attempt.connection % 3);
}

/// Everything that decides what can still happen to a world, as text: worlds that agree in it need
/// exploring only once.
std::string fingerprint(const World& world) {
  std::string text = world.log.describe(world.now);
  text += world.connected ? "|c" : "|n";
  text += world.fence_failed ? "f" : "-";
  text += std::to_string(world.connection % 3) + "|";
  std::array<int, 5> commits{};
  for (const Seq seq : world.commits) commits[seq] = world.counts ? commits[seq] + 1 : 1;
  if (world.counts) text += std::to_string(world.said) + "|";
  std::array<int, 5> unknowable{};
  std::set<int> live;
  for (const Attempt& a : world.attempts) {
    const bool same_life = world.life_of_connection.at(a.connection) == world.life;
    if (!a.identified || !same_life) unknowable[a.seq] = 1;
    if (a.fate == Attempt::Fate::kOpen) live.insert(a.connection);
  }
  for (size_t seq = 1; seq <= world.log.last_added(); ++seq) {
    text += std::to_string(commits[seq]) + std::to_string(unknowable[seq]);
  }
  text += "|" + std::to_string(world.commits.empty() ? 0 : world.commits.back()) + "|";
  for (const Attempt& a : world.attempts) {
    if (!live.contains(a.connection)) continue;
    text += std::to_string(a.seq) + "/" + std::to_string(a.sent_as) + "." +
            std::to_string(a.connection % 3) +
            (world.life_of_connection.at(a.connection) == world.life ? "s" : "o") +
            (a.handed ? "h" : "") + (a.identified ? "i" : "") +
            std::to_string(static_cast<int>(a.fate)) + " ";
  }
  text += "|" + std::to_string(world.wire.size());
  return text;
}

class Explorer {
 public:
  /// `salvages`: what would stop the log is a row's fault, and the flight goes again without it.
  Explorer(int depth_max, bool salvages) : depth_max_(depth_max), salvages_(salvages) {}
  size_t worlds() const { return seen_.size(); }
  uint64_t ends() const { return ends_; }

  void explore(World world, int depth) {
    if (::testing::Test::HasFailure()) return;
    settle(world);
    const auto [known, is_new] = seen_.try_emplace(fingerprint(world), depth);
    if (!is_new && known->second <= depth) return;
    known->second = depth;
    const auto action = world.log.next(world.now);
    if (action.kind == Kind::kFinished || world.log.all_committed()) return end(world);
    if (depth == depth_max_) return;
    switch (action.kind) {
      case Kind::kConnect:
        return connects(world, depth);
      case Kind::kFence:
        return fences(world, action, depth);
      case Kind::kResolve:
        return resolves(world, action, depth);
      case Kind::kAskStatus:
        return statuses(world, action, depth);
      case Kind::kCountCommits:
        return counts(world, action, depth);
      default:
        return answers_and_cuts(world, depth);
    }
  }

 private:
  /// What is not a choice of the world: sends that the log asks for, and time that it waits for.
  void settle(World& world) {
    for (;;) {
      const auto action = world.log.next(world.now);
      if (action.kind == Kind::kSend) {
        send(world, action);
      } else if (action.kind == Kind::kWait && action.until != kNoDeadline && world.wire.empty()) {
        world.now = action.until;
      } else {
        return;
      }
    }
  }

  void send(World& world, const FlightLog::Action& action) {
    const auto committed_before = std::ranges::count(world.commits, action.seq);
    bool may_still_commit = false;
    bool knowable = true;
    for (const Attempt& attempt : world.attempts) {
      if (attempt.seq != action.seq) continue;
      may_still_commit |= attempt.fate == Attempt::Fate::kOpen;
      const bool same_life = world.life_of_connection[attempt.connection] == world.life;
      knowable &= attempt.identified && same_life;
    }
    if (world.outcome_source != OutcomeSource::kXid) {
      EXPECT_EQ(committed_before, 0) << "sent again what the target can tell to be there";
      EXPECT_FALSE(action.possible_duplicate);
    } else if (committed_before > 0) {
      // The flights have as many rows each, so it counts for how many it is said.
      if (!world.counts && !already_said(world, action.seq)) {
        EXPECT_TRUE(action.possible_duplicate) << "sent again what is committed, without saying so";
      }
      EXPECT_TRUE(!knowable || world.fence_failed)
          << "sent again what could be known to be committed";
    }
    if (may_still_commit) {
      EXPECT_TRUE(world.fence_failed && !world.ordered &&
                  world.outcome_source == OutcomeSource::kXid)
          << "sent again past an unfenced backend";
    }
    if (action.possible_duplicate) {
      ++world.said;
      world.said_of.insert(action.seq);
    }
    world.attempts.push_back(
        {.seq = action.seq, .connection = world.connection, .sent_as = action.seq});
    world.wire.push_back(world.attempts.size() - 1);
    step(world, FlightLog::SendBegan{action.seq});
  }

  static bool already_said(const World& world, Seq seq) { return world.said_of.contains(seq); }

  void step(World& world, const FlightLog::Event& event) {
    const auto committed = world.log.step(event, world.now);
    if (!committed) return;
    EXPECT_NE(std::ranges::find(world.commits, *committed), world.commits.end())
        << "acknowledged flight " << *committed << " that is not committed";
    EXPECT_TRUE(world.acknowledged.insert(*committed).second) << "acknowledged twice";
  }

  /// The server finishes an attempt. In ordered mode the guard lets it commit only right after its
  /// predecessor of the same session.
  static bool may_commit(const World& world, size_t index) {
    if (world.outcome_source == OutcomeSource::kEpoch) {
      return world.attempts[index].sent_as == world.commits.size() + 1;
    }
    if (!world.ordered) return true;
    for (size_t i = 0; i < index; ++i) {
      const Attempt& before = world.attempts[i];
      if (before.connection == world.attempts[index].connection &&
          before.fate != Attempt::Fate::kCommitted) {
        // An aborted attempt of the same flight was followed by a rewind: its repetition counts.
        const bool repeated =
            std::ranges::any_of(world.attempts.begin() + static_cast<long>(i) + 1,
                                world.attempts.begin() + static_cast<long>(index) + 1,
                                [&](const Attempt& later) { return later.seq == before.seq; });
        if (!repeated) return false;
      }
    }
    return true;
  }
  static void commit(World& world, size_t index) {
    world.attempts[index].fate = Attempt::Fate::kCommitted;
    world.commits.push_back(world.attempts[index].seq);
  }

  void answers_and_cuts(const World& world, int depth) {
    if (!world.wire.empty()) {
      const size_t oldest = world.wire.front();
      if (may_commit(world, oldest)) {
        World next = world;
        next.wire.erase(next.wire.begin());
        commit(next, oldest);
        identify(next, oldest);
        step(next, FlightLog::Answered{next.attempts[oldest].seq, std::nullopt});
        explore(std::move(next), depth + 1);
      }
      for (const Error& error : {transient_error(), permanent_error()}) {
        World next = world;
        next.wire.erase(next.wire.begin());
        next.attempts[oldest].fate = Attempt::Fate::kAborted;
        const Seq seq = next.attempts[oldest].seq;
        const bool aside = salvages_ && error.sqlstate == permanent_error().sqlstate.view() &&
                           next.log.fails_by_itself(seq);
        if (aside) {
          if (!next.divided) {
            World divided = next;
            divide(divided, seq);
            step(divided, FlightLog::SetAside{seq});
            explore(std::move(divided), depth + 1);
          }
          step(next, FlightLog::SetAside{seq});
        } else {
          step(next, FlightLog::Answered{seq, error});
        }
        explore(std::move(next), depth + 1);
      }
    }
    for (size_t handed = 0; handed <= world.wire.size(); ++handed) {
      for (size_t identified = 0; identified <= handed; ++identified) {
        World next = world;
        cut(next, handed, identified);
        explore(std::move(next), depth + 1);
      }
    }
  }

  /// Half of a flight's rows become a flight of their own.
  void divide(World& world, Seq seq) {
    world.divided = true;
    step(world, FlightLog::Divided{seq});
    for (Attempt& attempt : world.attempts) attempt.seq += attempt.seq > seq ? 1 : 0;
    for (Seq& committed : world.commits) committed += committed > seq ? 1 : 0;
    std::set<Seq> acknowledged;
    for (const Seq known : world.acknowledged) acknowledged.insert(known + (known > seq ? 1 : 0));
    world.acknowledged = std::move(acknowledged);
    std::set<Seq> said_of;
    for (const Seq said : world.said_of) said_of.insert(said + (said > seq ? 1 : 0));
    world.said_of = std::move(said_of);
  }

  static void identify(World& world, size_t index) {
    Attempt& attempt = world.attempts[index];
    if (attempt.identified) return;
    attempt.identified = true;
    world.log.step(FlightLog::Identified{attempt.seq,
                                         xid_of(attempt),
                                         {.pid = pid_of(attempt.connection), .backend_start = "b"}},
                   world.now);
  }

  void cut(World& world, size_t handed, size_t identified) {
    for (size_t i = 0; i < world.wire.size(); ++i) {
      const size_t index = world.wire[i];
      if (i < identified) identify(world, index);
      if (i < handed) {
        world.attempts[index].handed = true;
        step(world, FlightLog::CommitHanded{world.attempts[index].seq});
      } else {
        world.attempts[index].fate = Attempt::Fate::kAborted;  // Its COMMIT never arrives.
      }
    }
    world.wire.clear();
    world.connected = false;
    step(world, FlightLog::Lost{error_of(Errc::kConnectionLost)});
  }

  void connects(const World& world, int depth) {
    {
      World next = world;
      step(next, FlightLog::ConnectFailed{error_of(Errc::kConnect)});
      explore(std::move(next), depth + 1);
    }
    {
      World next = world;
      connected(next);
      explore(std::move(next), depth + 1);
    }
    // The server crashed: what ran is aborted, or had committed, and what was not acknowledged of
    // the commits may be gone (its WAL was not flushed); the xids are handed out again.
    const size_t open = open_attempts(world).size();
    for (size_t fates = 0; fates < (size_t{1} << open); ++fates) {
      World next = world;
      decide(next, fates);
      const auto forgotten = [&](Seq seq) {
        return !next.acknowledged.contains(seq) && fates % 2 == 0;
      };
      std::erase_if(next.commits, forgotten);
      for (Attempt& attempt : next.attempts) {
        if (forgotten(attempt.seq)) attempt.fate = Attempt::Fate::kAborted;
      }
      ++next.life;
      connected(next);
      explore(std::move(next), depth + 1);
    }
  }

  void connected(World& world) {
    ++world.connection;
    world.connected = true;
    world.life_of_connection[world.connection] = world.life;
    Incarnation incarnation = kFirstLife;
    incarnation.stats_reset += std::to_string(world.life % 3);
    step(world, FlightLog::Connected{incarnation,
                                     {.pid = pid_of(world.connection), .backend_start = "b"},
                                     world.counts ? 1U : 0U});
  }

  static std::vector<size_t> open_attempts(const World& world) {
    std::vector<size_t> open;
    for (size_t i = 0; i < world.attempts.size(); ++i) {
      if (world.attempts[i].fate == Attempt::Fate::kOpen) open.push_back(i);
    }
    return open;
  }
  /// Ends every open attempt: bit i of `fates` says whether the i-th commits.
  static void decide(World& world, size_t fates) {
    const auto open = open_attempts(world);
    for (size_t i = 0; i < open.size(); ++i) {
      if (((fates >> i) & 1) != 0 && may_commit(world, open[i])) {
        commit(world, open[i]);
      } else {
        world.attempts[open[i]].fate = Attempt::Fate::kAborted;
      }
    }
  }

  void fences(const World& world, const FlightLog::Action& action, int depth) {
    EXPECT_GT(action.backend.pid, 0);
    const size_t open = open_attempts(world).size();
    for (size_t fates = 0; fates < (size_t{1} << open); ++fates) {
      World next = world;
      decide(next, fates);
      step(next, FlightLog::Fenced{.last_attempt = 0, .xid_end = world.counts ? 1'000'000U : 0U});
      explore(std::move(next), depth + 1);
    }
    World next = world;
    next.fence_failed = true;
    step(next, FlightLog::FenceFailed{error_of(Errc::kCannotFence)});
    explore(std::move(next), depth + 1);
  }

  /// An epoch row's new writer waits for what runs, or ends it; the list of prepared transactions
  /// is asked after the fence. Then they are final.
  void resolves(const World& world, const FlightLog::Action& action, int depth) {
    if (world.outcome_source == OutcomeSource::kGid) {
      EXPECT_TRUE(open_attempts(world).empty()) << "asked while a backend may still prepare";
    }
    const size_t open = open_attempts(world).size();
    for (size_t fates = 0; fates < (size_t{1} << open); ++fates) {
      World next = world;
      decide(next, fates);
      const bool committed = std::ranges::find(next.commits, action.seq) != next.commits.end();
      step(next, FlightLog::Resolved{action.seq, committed});
      explore(std::move(next), depth + 1);
    }
    World next = world;
    step(next, FlightLog::ResolveFailed{error_of(Errc::kFenced)});
    explore(std::move(next), depth + 1);
  }

  void statuses(const World& world, const FlightLog::Action& action, int depth) {
    const auto found =
        std::find_if(world.attempts.rbegin(), world.attempts.rend(),
                     [&](const Attempt& a) { return a.identified && xid_of(a) == action.xid; });
    ASSERT_NE(found, world.attempts.rend());
    const Attempt& asked = *found;
    EXPECT_EQ(asked.seq, action.seq);
    EXPECT_NE(asked.fate, Attempt::Fate::kOpen) << "asked about a backend that still runs";
    const bool committed = asked.fate == Attempt::Fate::kCommitted;
    std::vector<XactStatus> answers{committed ? XactStatus::kCommitted : XactStatus::kAborted};
    if (!committed && world.life_of_connection.at(asked.connection) != world.life) {
      // Forgotten in the crash, and perhaps handed out again.
      answers.push_back(XactStatus::kInFuture);
      answers.push_back(XactStatus::kCommitted);
    }
    for (const XactStatus status : answers) {
      World next = world;
      step(next, FlightLog::StatusAnswered{action.seq, status});
      explore(std::move(next), depth + 1);
    }
  }

  /// Those of the fenced backend that committed, and perhaps one of somebody else.
  void counts(const World& world, const FlightLog::Action& action, int depth) {
    EXPECT_TRUE(world.counts);
    EXPECT_LT(action.xid, action.xid_end);
    EXPECT_TRUE(open_attempts(world).empty()) << "asked about a backend that still runs";
    int fenced = 0;
    for (const Attempt& attempt : world.attempts) {
      if (pid_of(attempt.connection) == action.backend.pid) fenced = attempt.connection;
    }
    const auto committed =
        static_cast<uint64_t>(std::ranges::count_if(world.attempts, [&](const Attempt& attempt) {
          return attempt.connection == fenced && attempt.fate == Attempt::Fate::kCommitted &&
                 !attempt.identified;
        }));
    for (const uint64_t others : {committed, committed + 1}) {
      World next = world;
      step(next, FlightLog::CommitsCounted{.others = others});
      explore(std::move(next), depth + 1);
    }
  }

  void end(const World& world) {
    ++ends_;
    if (!world.log.all_committed()) {
      EXPECT_TRUE(world.log.stop_error().has_value())
          << "ended without success and without a reason";
      return;
    }
    for (Seq seq = 1; seq <= world.log.last_added(); ++seq) {
      EXPECT_NE(std::ranges::find(world.commits, seq), world.commits.end())
          << "lost flight " << seq;
    }
    const std::set<Seq> once(world.commits.begin(), world.commits.end());
    if (world.outcome_source == OutcomeSource::kXid) {
      EXPECT_LE(world.commits.size() - once.size(), static_cast<size_t>(world.said))
          << "written twice, without saying so";
    }
    if (world.ordered) {
      EXPECT_EQ(world.commits.back(), world.log.last_added())
          << "an older value stands over a newer";
    }
  }

  int depth_max_;
  bool salvages_;
  uint64_t ends_ = 0;
  std::unordered_map<std::string, int> seen_;  ///< The least depth at which a world was reached.
};

/// PGSINK_FLIGHT_LOG_DEPTH adds so many events to each sequence, each about threefold the time.
int further_depth() {
  const char* const text = std::getenv("PGSINK_FLIGHT_LOG_DEPTH");
  return text == nullptr ? 0 : std::atoi(text);
}

void enumerate(bool ordered, OutcomeSource outcome_source, int depth, bool salvages = false,
               bool counts = false) {
  depth += further_depth();
  World world(ordered, outcome_source, counts);
  for (int i = 0; i < 3; ++i) world.log.step(FlightLog::Added{}, kStart);
  Explorer explorer(depth, salvages);
  explorer.explore(world, 0);
  EXPECT_GT(explorer.ends(), 1000U);
  std::printf("%zu worlds, %lu ends\n", explorer.worlds(), explorer.ends());
}

TEST(FlightLog, AcknowledgesOnlyTheCommittedAndRepeatsOnlyTheUnknownInEveryOrderOfEvents) {
  enumerate(false, OutcomeSource::kXid, 9);
}

TEST(FlightLog, CountsWhatIsWrittenTwiceInEveryOrderOfEvents) {
  enumerate(false, OutcomeSource::kXid, 8, false, true);
  enumerate(true, OutcomeSource::kXid, 8, false, true);
}

TEST(FlightLog, KeepsTheOrderInEveryOrderOfEvents) { enumerate(true, OutcomeSource::kXid, 10); }

TEST(FlightLog, WritesEachFlightOnceByItsEpochInEveryOrderOfEvents) {
  enumerate(true, OutcomeSource::kEpoch, 10);
}

TEST(FlightLog, PreparesEachFlightOnceByItsGidInEveryOrderOfEvents) {
  enumerate(false, OutcomeSource::kGid, 9);
}

TEST(FlightLog, PreparesInOrderByGidInEveryOrderOfEvents) {
  enumerate(true, OutcomeSource::kGid, 9);
}

TEST(FlightLog, KeepsAllThatWhileRowsAreLeftOut) {
  enumerate(false, OutcomeSource::kXid, 7, true);
  enumerate(true, OutcomeSource::kXid, 8, true);
  enumerate(true, OutcomeSource::kEpoch, 8, true);
  enumerate(true, OutcomeSource::kGid, 8, true);
}

// ---- single facts -------------------------------------------------------------------------------

class FlightLogTest : public ::testing::Test {
 protected:
  void begin(FlightLog& log, Seq seq) {
    log.step(FlightLog::Added{}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
    ASSERT_EQ(log.next(kStart).seq, seq);
    log.step(FlightLog::SendBegan{seq}, kStart);
  }
  static FlightLog connected_log(bool ordered = false) {
    FlightLog log(config_of(ordered));
    log.step(FlightLog::Connected{kFirstLife, {.pid = 5, .backend_start = "b"}}, kStart);
    return log;
  }
  static void lose_handed(FlightLog& log, uint64_t xid) {
    if (xid != 0) log.step(FlightLog::Identified{1, xid, {.pid = 5, .backend_start = "b"}}, kStart);
    log.step(FlightLog::CommitHanded{1}, kStart);
    log.step(FlightLog::Lost{error_of(Errc::kConnectionLost)}, kStart);
  }
};

// Rows that were given back to the host cannot be sent again: only a commit is an end without
// error.
TEST_F(FlightLogTest, AFlightThatLetGoOfRowsIsNeverSentAgain) {
  const auto let_go = [] {
    FlightLog log = connected_log();
    log.step(FlightLog::Added{}, kStart);
    log.step(FlightLog::SendBegan{1}, kStart);
    log.step(FlightLog::LetGo{1}, kStart);
    return log;
  };
  FlightLog failed = let_go();
  failed.step(FlightLog::Answered{1, transient_error()}, kStart);
  ASSERT_TRUE(failed.stop_error());
  EXPECT_EQ(failed.stop_error()->sqlstate, "40001");
  EXPECT_EQ(failed.next(kStart).kind, Kind::kFinished);

  FlightLog lost = let_go();
  lost.step(FlightLog::Lost{error_of(Errc::kConnectionLost)}, kStart);
  ASSERT_TRUE(lost.stop_error());
  EXPECT_EQ(lost.stop_error()->code, Errc::kConnectionLost);

  for (const XactStatus status :
       {XactStatus::kCommitted, XactStatus::kAborted, XactStatus::kTooOld}) {
    FlightLog asked = let_go();
    lose_handed(asked, 77);
    EXPECT_FALSE(asked.stop_error());
    asked.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
    asked.step(FlightLog::Fenced{}, kStart);
    const auto committed = asked.step(FlightLog::StatusAnswered{1, status}, kStart);
    EXPECT_EQ(committed.has_value(), status == XactStatus::kCommitted);
    EXPECT_EQ(asked.stop_error().has_value(), status != XactStatus::kCommitted);
  }
}

// The backend's own FATAL came after everything else that it said: a flight whose id is not among
// that did not begin.
TEST_F(FlightLogTest, AfterTheLastWordAFlightWithoutIdIsNoDuplicate) {
  for (const bool last_word : {false, true}) {
    FlightLog log = connected_log();
    log.step(FlightLog::Added{}, kStart);
    log.step(FlightLog::SendBegan{1}, kStart);
    log.step(FlightLog::CommitHanded{1}, kStart);
    log.step(FlightLog::Lost{error_of(Errc::kConnectionLost), last_word}, kStart);
    log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
    if (!last_word) log.step(FlightLog::Fenced{}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
    EXPECT_EQ(log.next(kStart).possible_duplicate, !last_word);
  }
}

// The backend waited for its client when it was ended: what it had not begun is not committed.
TEST_F(FlightLogTest, AfterTheFenceAFlightThatWasNotBegunIsNoDuplicate) {
  for (const uint64_t last_attempt : {0U, 1U, 2U}) {
    FlightLog log = connected_log();
    for (Seq seq = 1; seq <= 2; ++seq) {
      EXPECT_EQ(log.next_attempt(), seq);
      begin(log, seq);
      log.step(FlightLog::CommitHanded{seq}, kStart);
    }
    log.step(FlightLog::Lost{error_of(Errc::kConnectionLost)}, kStart);
    log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kFence);
    log.step(FlightLog::Fenced{last_attempt}, kStart);
    EXPECT_TRUE(log.next(kStart).possible_duplicate) << last_attempt;
    log.step(FlightLog::SendBegan{1}, kStart);
    EXPECT_EQ(log.next(kStart).possible_duplicate, last_attempt != 1) << last_attempt;
  }
}

TEST_F(FlightLogTest, ConnectsOnlyWhenThereIsWork) {
  FlightLog log(config_of(false));
  EXPECT_EQ(log.next(kStart).kind, Kind::kWait);
  log.step(FlightLog::Added{}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kConnect);
}

TEST_F(FlightLogTest, KeepsTheWindow) {
  FlightLog log = connected_log();
  for (Seq seq = 1; seq <= 3; ++seq) begin(log, seq);
  log.step(FlightLog::Added{}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kWait);
  EXPECT_EQ(log.step(FlightLog::Answered{1, std::nullopt}, kStart), 1U);
  EXPECT_EQ(log.next(kStart).seq, 4U);
}

TEST_F(FlightLogTest, LostBeforeCommitLeftIsSentAgainWithoutQuestion) {
  FlightLog log = connected_log();
  begin(log, 1);
  log.step(FlightLog::Lost{error_of(Errc::kConnectionLost)}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kConnect);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kSend);
  EXPECT_FALSE(log.next(kStart).possible_duplicate);
}

TEST_F(FlightLogTest, LostAfterCommitLeftIsFencedThenAsked) {
  FlightLog log = connected_log();
  begin(log, 1);
  lose_handed(log, 77);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kFence);
  EXPECT_EQ(log.next(kStart).backend.pid, 5);
  log.step(FlightLog::Fenced{}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kAskStatus);
  EXPECT_EQ(log.next(kStart).xid, 77U);
  EXPECT_EQ(log.step(FlightLog::StatusAnswered{1, XactStatus::kCommitted}, kStart), 1U);
  EXPECT_TRUE(log.all_committed());
}

TEST_F(FlightLogTest, AnotherSystemIsNeverAskedForAnXid) {
  FlightLog log = connected_log();
  begin(log, 1);
  lose_handed(log, 77);
  Incarnation second = kFirstLife;
  second.system_identifier = "8";
  log.step(FlightLog::Connected{second, {.pid = 6, .backend_start = "c"}}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
  EXPECT_TRUE(log.next(kStart).possible_duplicate);
}

// Its xid may be another transaction's now: that one committed says nothing, that none did says
// all.
TEST_F(FlightLogTest, InAnotherLifeOfTheServerOnlyWhatIsNotCommittedCounts) {
  for (const XactStatus status :
       {XactStatus::kCommitted, XactStatus::kTooOld, XactStatus::kAborted, XactStatus::kInFuture}) {
    FlightLog log = connected_log();
    begin(log, 1);
    lose_handed(log, 77);
    Incarnation second = kFirstLife;
    second.stats_reset = "s1";
    log.step(FlightLog::Connected{second, {.pid = 6, .backend_start = "c"}}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kFence);
    log.step(FlightLog::Fenced{}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kAskStatus);
    EXPECT_EQ(log.step(FlightLog::StatusAnswered{1, status}, kStart), std::nullopt);
    ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
    EXPECT_EQ(log.next(kStart).possible_duplicate,
              status == XactStatus::kCommitted || status == XactStatus::kTooOld);
  }
}

// Nobody else's pid there is ours: that it cannot be fenced stops nothing.
TEST_F(FlightLogTest, ABackendOfAnotherLifeNeedNoFence) {
  FlightLog log = connected_log(true);
  begin(log, 1);
  lose_handed(log, 77);
  Incarnation second = kFirstLife;
  second.postmaster_start = "t1";
  log.step(FlightLog::Connected{second, {.pid = 6, .backend_start = "c"}}, kStart);
  log.step(FlightLog::FenceFailed{error_of(Errc::kCannotFence)}, kStart);
  EXPECT_FALSE(log.stop_error());
  ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
  EXPECT_TRUE(log.next(kStart).possible_duplicate);
}

// Of three flights without an id as many are doubtful as other transactions committed meanwhile,
// those with the most rows, and this is said once.
TEST_F(FlightLogTest, OnlySoManyFlightsAreDoubtfulAsTransactionsCommitted) {
  for (const uint64_t others : {0U, 1U, 2U, 9U}) {
    FlightLog log = connected_log();
    log.step(FlightLog::Added{}, kStart);
    log.step(FlightLog::SendBegan{1}, kStart);
    log.step(FlightLog::Identified{1, 40, {.pid = 5, .backend_start = "b"}}, kStart);
    log.step(FlightLog::Answered{1, std::nullopt}, kStart);
    for (Seq seq = 2; seq <= 4; ++seq) {
      begin(log, seq);
      log.step(FlightLog::CommitHanded{seq, seq * 10}, kStart);
    }
    log.step(FlightLog::Lost{error_of(Errc::kConnectionLost)}, kStart);
    log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}, 60}, kStart);
    log.step(FlightLog::Fenced{.last_attempt = 0, .xid_end = 60}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kCountCommits);
    EXPECT_EQ(log.next(kStart).xid, 41U) << "above the one before them";
    EXPECT_EQ(log.next(kStart).xid_end, 60U);
    log.step(FlightLog::CommitsCounted{.others = 3, .is_final = false}, kStart);
    ASSERT_EQ(log.next(kStart).kind, Kind::kWait);
    const TimePoint later = log.next(kStart).until;
    ASSERT_EQ(log.next(later).kind, Kind::kCountCommits);
    log.step(FlightLog::CommitsCounted{.others = others}, later);
    for (Seq seq = 2; seq <= 4; ++seq) {
      ASSERT_EQ(log.next(later).seq, seq);
      EXPECT_EQ(log.next(later).possible_duplicate, 4 - seq < others) << seq << " of " << others;
      log.step(FlightLog::SendBegan{seq}, later);
    }
    log.step(FlightLog::Answered{.seq = 4, .error = transient_error()}, later);
    const TimePoint again = log.next(later).until;
    ASSERT_EQ(log.next(again).kind, Kind::kSend);
    EXPECT_FALSE(log.next(again).possible_duplicate) << "said twice";
  }
}

TEST_F(FlightLogTest, UnknownXidIsSentAgainAsPossibleDuplicate) {
  FlightLog log = connected_log();
  begin(log, 1);
  lose_handed(log, 0);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kFence);
  log.step(FlightLog::Fenced{}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
  EXPECT_TRUE(log.next(kStart).possible_duplicate);
}

TEST_F(FlightLogTest, ForgottenXidsAreUnknown) {
  for (const XactStatus status : {XactStatus::kTooOld, XactStatus::kInFuture}) {
    FlightLog log = connected_log();
    begin(log, 1);
    lose_handed(log, 77);
    log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
    log.step(FlightLog::Fenced{}, kStart);
    EXPECT_EQ(log.step(FlightLog::StatusAnswered{1, status}, kStart), std::nullopt);
    ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
    EXPECT_TRUE(log.next(kStart).possible_duplicate);
  }
}

TEST_F(FlightLogTest, InProgressIsAskedAgainLaterAndNotForEver) {
  FlightLog log = connected_log();
  begin(log, 1);
  lose_handed(log, 77);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  log.step(FlightLog::Fenced{}, kStart);
  TimePoint now = kStart;
  int asked = 0;
  while (log.next(now).kind != Kind::kSend) {
    const auto action = log.next(now);
    if (action.kind == Kind::kAskStatus) {
      log.step(FlightLog::StatusAnswered{1, XactStatus::kInProgress}, now);
      ++asked;
    } else {
      ASSERT_EQ(action.kind, Kind::kWait);
      ASSERT_GT(action.until, now);
      now = action.until;
    }
    ASSERT_LT(asked, 1000);
  }
  EXPECT_GT(asked, 1);
  EXPECT_TRUE(log.next(now).possible_duplicate);
}

TEST_F(FlightLogTest, OrderedModeStopsWhereTheOldBackendCannotBeFenced) {
  FlightLog log = connected_log(true);
  begin(log, 1);
  lose_handed(log, 77);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  log.step(FlightLog::FenceFailed{error_of(Errc::kCannotFence)}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kFinished);
  EXPECT_EQ(log.stop_error()->code, Errc::kCannotFence);
  EXPECT_EQ(log.unknown_count(), 1U);
}

TEST_F(FlightLogTest, OrderedModeSendsTheFailedAndAllBehindItAgainInOrder) {
  FlightLog log = connected_log(true);
  for (Seq seq = 1; seq <= 3; ++seq) begin(log, seq);
  log.step(FlightLog::Answered{1, transient_error()}, kStart);
  TimePoint later = kStart + std::chrono::hours(1);
  EXPECT_EQ(log.next(later).kind, Kind::kWait) << "2 and 3 are still on the wire";
  log.step(FlightLog::Answered{2, error_of(Errc::kServer, "22012")}, later);
  log.step(FlightLog::Answered{3, error_of(Errc::kServer, "22012")}, later);
  EXPECT_FALSE(log.stop_error()) << "the guard's error is no fault of theirs";
  for (Seq seq = 1; seq <= 3; ++seq) {
    ASSERT_EQ(log.next(later).kind, Kind::kSend);
    ASSERT_EQ(log.next(later).seq, seq);
    log.step(FlightLog::SendBegan{seq}, later);
  }
}

TEST_F(FlightLogTest, WhatMayBeDoneTwiceIsSentAgainBehindTheFenceOnly) {
  FlightLog::Config config = config_of(false);
  config.idempotent = true;
  FlightLog log(config);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 5, .backend_start = "b"}}, kStart);
  begin(log, 1);
  lose_handed(log, 0);
  log.step(FlightLog::Connected{kFirstLife, {.pid = 6, .backend_start = "c"}}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kFence);
  FlightLog unfenced = log;
  log.step(FlightLog::Fenced{}, kStart);
  ASSERT_EQ(log.next(kStart).kind, Kind::kSend);
  EXPECT_FALSE(log.next(kStart).possible_duplicate);
  unfenced.step(FlightLog::FenceFailed{error_of(Errc::kCannotFence)}, kStart);
  EXPECT_EQ(unfenced.next(kStart).kind, Kind::kFinished);
}

TEST_F(FlightLogTest, NothingIsSentBesideAFlightThatIsSetAside) {
  FlightLog log = connected_log(true);
  for (Seq seq = 1; seq <= 2; ++seq) begin(log, seq);
  log.step(FlightLog::SetAside{1}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kWait) << "2 is still on the wire";
  log.step(FlightLog::Answered{2, error_of(Errc::kServer, "22012")}, kStart);
  for (int attempt = 0; attempt < 20; ++attempt) {
    ASSERT_EQ(log.next(kStart).seq, 1U) << "at once, and as often as it takes";
    log.step(FlightLog::SendBegan{1}, kStart);
    EXPECT_EQ(log.next(kStart).kind, Kind::kWait);
    log.step(FlightLog::SetAside{1}, kStart);
  }
  log.step(FlightLog::SendBegan{1}, kStart);
  EXPECT_EQ(log.step(FlightLog::Answered{1, std::nullopt}, kStart), 1U);
  EXPECT_EQ(log.next(kStart).seq, 2U);
  EXPECT_EQ(log.retry_count(), 0U);
}

TEST_F(FlightLogTest, PermanentErrorStopsAndNamesTheFlight) {
  FlightLog log = connected_log();
  begin(log, 1);
  begin(log, 2);
  log.step(FlightLog::Answered{1, permanent_error()}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kWait) << "2 is still on the wire";
  EXPECT_EQ(log.step(FlightLog::Answered{2, std::nullopt}, kStart), 2U);
  EXPECT_EQ(log.next(kStart).kind, Kind::kFinished);
  EXPECT_EQ(log.stop_seq(), 1U);
  EXPECT_EQ(log.stop_error()->sqlstate, "23505");
}

TEST_F(FlightLogTest, GivesUpConnectingAfterTheLastRepetition) {
  FlightLog log(config_of(false));
  log.step(FlightLog::Added{}, kStart);
  TimePoint now = kStart;
  int attempts = 0;
  while (log.next(now).kind != Kind::kFinished) {
    const auto action = log.next(now);
    if (action.kind == Kind::kConnect) {
      ASSERT_LT(++attempts, 100) << "it never gives up";
      log.step(FlightLog::ConnectFailed{error_of(Errc::kConnect)}, now);
    } else {
      ASSERT_GT(action.until, now);
      now = action.until;
    }
  }
  EXPECT_EQ(attempts, 4) << "the first and three repetitions";
}

TEST_F(FlightLogTest, WrongPasswordIsNotTriedAgain) {
  FlightLog log(config_of(false));
  log.step(FlightLog::Added{}, kStart);
  log.step(FlightLog::ConnectFailed{error_of(Errc::kAuthentication, "28P01")}, kStart);
  EXPECT_EQ(log.next(kStart).kind, Kind::kFinished);
}

}  // namespace
}  // namespace pgsink
