#include <string>

#include <pgproto/session_table.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto::session_table;

constexpr PhaseSet accepting(Input input) {
  PhaseSet phases = 0;
  for (size_t phase = 0; phase < kPhaseCount; ++phase) {
    if (next_cell(static_cast<Phase>(phase), input) != kIllegal) phases |= PhaseSet{1} << phase;
  }
  return phases;
}

TEST(SessionTable, NothingIsLegalBeforeTheStartup) {
  for (size_t input = 0; input < kInputCount; ++input) {
    EXPECT_EQ(next_cell(Phase::kNew, static_cast<Input>(input)), kIllegal);
    EXPECT_EQ(next_cell(Phase::kTlsRequested, static_cast<Input>(input)), kIllegal);
  }
}

// Trap 23: the server may end the connection and send notices whenever it likes.
TEST(SessionTable, FatalErrorsAndNoticesAreLegalFromTheStartupOn) {
  const PhaseSet all = phases_between(Phase::kStartupSent, Phase::kFatal);
  EXPECT_EQ(accepting(Input::kFatalErrorResponse), all);
  EXPECT_EQ(accepting(Input::kNoticeResponse), all);
  EXPECT_EQ(accepting(Input::kErrorResponse), all) << "every request may fail at any point";
}

TEST(SessionTable, AsynchronousMessagesNeedAuthentication) {
  const PhaseSet known = phases_between(Phase::kAuthenticated, Phase::kFatal);
  EXPECT_EQ(accepting(Input::kParameterStatus), known);
  EXPECT_EQ(accepting(Input::kNotificationResponse), known);
}

// Trap 6.
TEST(SessionTable, AuthenticationOkNeedsTheServersProofOnceSaslBegan) {
  EXPECT_EQ(accepting(Input::kAuthOk), set_of(Phase::kStartupSent, Phase::kNegotiated,
                                              Phase::kPasswordSent, Phase::kSaslProven));
}

TEST(SessionTable, ReadyForQueryEndsOnlyWhatItCanEnd) {
  EXPECT_EQ(accepting(Input::kReadyForQuery),
            set_of(Phase::kAuthenticated, Phase::kQueryNext, Phase::kQueryFailed, Phase::kSync,
                   Phase::kSyncFailed));
}

TEST(SessionTable, CopyCannotBeCompleteWhileWeSend) {
  const PhaseSet in_copy =
      set_of(Phase::kQueryCopyIn, Phase::kExecuteCopyIn, Phase::kQueryCopyBothDone,
             Phase::kQueryCopyOutDone, Phase::kExecuteCopyOutDone);
  EXPECT_EQ(accepting(Input::kCommandCompleteEarly) & in_copy, PhaseSet{0});
  EXPECT_EQ(accepting(Input::kCommandComplete) & in_copy, in_copy);
}

TEST(SessionTable, SomeInputsAreNeverLegal) {
  EXPECT_EQ(accepting(Input::kAuthOther), PhaseSet{0});
  EXPECT_EQ(accepting(Input::kCopyUnanswerable), PhaseSet{0});
  EXPECT_EQ(accepting(Input::kOther), PhaseSet{0});
}

TEST(SessionTable, ExtendedRequestsEndInOneStepOrFail) {
  for (const Phase phase : {Phase::kParse, Phase::kBind, Phase::kDescribeStatement,
                            Phase::kDescribePortal, Phase::kExecute, Phase::kClose}) {
    EXPECT_EQ(next_cell(phase, Input::kErrorResponse), static_cast<Cell>(Phase::kSkip));
    EXPECT_EQ(next_cell(phase, Input::kReadyForQuery), kIllegal);
  }
}

TEST(SessionTable, EveryPhaseCanBeLeft) {
  for (size_t phase = static_cast<size_t>(Phase::kStartupSent);
       phase < static_cast<size_t>(Phase::kFatal); ++phase) {
    if (static_cast<Phase>(phase) == Phase::kIdle) continue;
    bool leaves = false;
    for (size_t input = 0; input < kInputCount; ++input) {
      if (static_cast<Input>(input) == Input::kFatalErrorResponse) continue;
      const Cell cell = next_cell(static_cast<Phase>(phase), static_cast<Input>(input));
      if (cell != kIllegal && cell != static_cast<Cell>(Phase::kStay)) leaves = true;
    }
    EXPECT_TRUE(leaves) << phase;
  }
}

TEST(SessionTable, EveryPhaseCanBeReached) {
  PhaseSet reached = set_of(Phase::kStartupSent, Phase::kQuery, Phase::kParse, Phase::kBind) |
                     set_of(Phase::kDescribeStatement, Phase::kDescribePortal, Phase::kExecute,
                            Phase::kClose, Phase::kSync, Phase::kNew, Phase::kTlsRequested);
  for (size_t round = 0; round < kPhaseCount; ++round) {
    for (size_t phase = 0; phase < kPhaseCount; ++phase) {
      if ((reached >> phase & 1) == 0) continue;
      for (const Cell cell : kPhaseTable[phase]) {
        if (cell < kPhaseCount) reached |= PhaseSet{1} << cell;
      }
    }
  }
  EXPECT_EQ(reached, (PhaseSet{1} << kPhaseCount) - 1);
}

// Trap 14.
TEST(SessionTable, NoRequestInsideAnOpenCopy) {
  EXPECT_EQ(next_send_cell(SendState::kCopyOpen, Command::kRequest), kIllegal);
  EXPECT_EQ(next_send_cell(SendState::kCopyOpen, Command::kRequestWithCopy), kIllegal);
  EXPECT_EQ(next_send_cell(SendState::kOpen, Command::kCopyData), kIllegal);
  EXPECT_EQ(next_send_cell(SendState::kOpen, Command::kCopyEnd), kIllegal);
}

TEST(SessionTable, NothingFollowsTerminate) {
  for (size_t command = 0; command < kCommandCount; ++command) {
    EXPECT_EQ(next_send_cell(SendState::kTerminated, static_cast<Command>(command)), kIllegal);
  }
}

}  // namespace
