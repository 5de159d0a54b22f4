#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/backend_encoder.h"
#include "support/session_script.h"

namespace {

using namespace pgproto;
using namespace pgsink::test;
using namespace std::string_view_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

BackendMessage columns(size_t count) {
  RowDescription rows;
  rows.fields.resize(count, FieldDescription{"c", 0, 0, 23, 4, -1, 0});
  return rows;
}
BackendMessage row(std::initializer_list<std::string_view> values) {
  DataRow message;
  for (const auto value : values) message.values.emplace_back(as_bytes(value));
  return message;
}
BackendMessage error(std::string_view sqlstate) { return error_response("ERROR", sqlstate, "no"); }
BackendMessage fatal(std::string_view sqlstate) { return error_response("FATAL", sqlstate, "bye"); }

// The events of a script whose startup is left out of the list.
std::vector<std::string> without_startup(const Outcome& outcome) {
  EXPECT_GE(outcome.events.size(), 2U);
  return {outcome.events.begin() + 2, outcome.events.end()};
}

// Plays the commands, then the answers.
Outcome converse(const std::function<void(Session&)>& act, const std::string& reply) {
  return replay_everywhere([&] { return Script{trusted_startup(), ask(act, reply)}; });
}
Outcome converse(const std::function<void(Session&)>& act,
                 std::initializer_list<BackendMessage> reply) {
  return converse(act, encode_all(reply));
}

void select(Session& session) { ASSERT_TRUE(session.query("SELECT 1")); }
void extended(Session& session) {
  const Oid types[] = {23};
  const Session::Parameter parameters[] = {{as_bytes("41"), 0}};
  ASSERT_EQ(*session.parse("s", "SELECT $1 + 1", types), 1U);
  ASSERT_EQ(*session.describe_statement("s"), 2U);
  ASSERT_EQ(*session.bind("", "s", parameters), 3U);
  ASSERT_EQ(*session.execute(""), 4U);
  ASSERT_EQ(*session.close_statement("s"), 5U);
  ASSERT_EQ(session.sync(), 6U);
}

// ---- simple query -------------------------------------------------------------------------------

TEST(SessionQuery, OneResult) {
  const Outcome outcome =
      converse(select, {columns(1), row({"1"}), CommandComplete{"SELECT 1"}, ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 RowDescription c(0,0,23,4,-1,0)", "1 DataRow 1",
                          "1 CommandComplete SELECT 1", "1 ReadyForQuery I"));
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionQuery, SeveralStatementsGiveSeveralResults) {
  const Outcome outcome =
      converse([](Session& s) { ASSERT_TRUE(s.query("BEGIN; SELECT 1, 2; SELECT; ; SELECT 1/0")); },
               {CommandComplete{"BEGIN"}, columns(2), row({"1", "2"}), row({"3", "4"}),
                CommandComplete{"SELECT 2"}, columns(0), row({}), CommandComplete{"SELECT 1"},
                EmptyQueryResponse{}, columns(1), error("22012"), ready('E')});
  EXPECT_THAT(without_startup(outcome), SizeIs(12));
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionQuery, PipelinedQueriesGetTheirOwnAnswers) {
  const Outcome outcome = converse(
      [](Session& s) {
        EXPECT_EQ(*s.query("BEGIN"), 1U);
        EXPECT_EQ(*s.query("SELECT 1/0"), 2U);
        EXPECT_EQ(*s.query("COMMIT"), 3U);
        EXPECT_EQ(*s.query("SELECT 2"), 4U);
        EXPECT_EQ(s.pending_requests(), 4U);
      },
      {CommandComplete{"BEGIN"}, ready('T'), error("22012"), ready('E'),
       CommandComplete{"ROLLBACK"}, ready('I'), columns(1), row({"2"}), CommandComplete{"SELECT 1"},
       ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 CommandComplete BEGIN", "1 ReadyForQuery T",
                          HasSubstr("2 ErrorResponse ERROR 22012"), "2 ReadyForQuery E",
                          // Trap 21: a COMMIT that is answered by ROLLBACK is no error, so the tag
                          // must reach whoever asked.
                          "3 CommandComplete ROLLBACK", "3 ReadyForQuery I",
                          "4 RowDescription c(0,0,23,4,-1,0)", "4 DataRow 2",
                          "4 CommandComplete SELECT 1", "4 ReadyForQuery I"));
}

TEST(SessionQuery, KeepsTheTransactionStatus) {
  std::string seen;
  const auto note = [&](Session& s) { seen += static_cast<char>(s.transaction_status()); };
  run_script([&] {
    return Script{trusted_startup(),
                  ask(note, ""),
                  ask([](Session& s) { ASSERT_TRUE(s.query("BEGIN")); },
                      encode_all({CommandComplete{"BEGIN"}, ready('T')})),
                  ask(note, ""),
                  ask(select, encode_all({error("42P01"), ready('E')})),
                  ask(note, "")};
  });
  EXPECT_EQ(seen, "ITE");
}

TEST(SessionQuery, RejectsAnAnswerThatIsNone) {
  const std::initializer_list<BackendMessage> answers[] = {
      {ready('I')},  // nothing before ReadyForQuery
      {columns(1), ready('I')},
      {row({"1"})},
      {columns(1), columns(1)},
      {CommandComplete{"SELECT 1"}, row({"1"})},
      {error("22012"), CommandComplete{"SELECT 1"}},
      {CopyData{}},
      {CopyDone{}},
      {ParseComplete{}},
      {BindComplete{}},
      {NoData{}},
      {PortalSuspended{}},
      {CloseComplete{}},
      {ParameterDescription{}},
      {FunctionCallResponse{}},
      {BackendKeyData{1, as_bytes("abcd")}},
      {NegotiateProtocolVersion{}},
      {Authentication{Authentication::Code::kOk, {}}},
      {Authentication{Authentication::Code::kCleartextPassword, {}}},
      {CommandComplete{"SELECT 1"}, ready('I'), CommandComplete{"SELECT 1"}},
      {CommandComplete{"SELECT 1"}, ready('I'), ready('I')},
  };
  for (const auto& answer : answers) {
    const Outcome outcome = converse(select, answer);
    EXPECT_EQ(outcome.code, Errc::kProtocol) << describe(*(answer.end() - 1));
  }
}

TEST(SessionQuery, TheErrorNamesTheMessageAndThePlace) {
  EXPECT_THAT(converse(select, {columns(1), ready('I')}).error,
              HasSubstr("the server sent ReadyForQuery among the rows of a result"));
  EXPECT_THAT(converse([](Session&) {}, {CommandComplete{"SELECT 1"}}).error,
              HasSubstr("the server sent CommandComplete while no request awaited an answer"));
}

// Trap 4 (RUSTSEC-2026-0178): a row must have the columns that were announced.
TEST(SessionQuery, RejectsARowOfAnotherWidth) {
  for (const auto& bad : {row({}), row({"1"}), row({"1", "2", "3"})}) {
    const Outcome outcome = converse(select, {columns(2), row({"1", "2"}), bad});
    EXPECT_EQ(outcome.code, Errc::kProtocol);
    EXPECT_THAT(outcome.error, HasSubstr("columns"));
  }
  const Outcome execute = converse(
      [](Session& s) {
        ASSERT_TRUE(s.execute(""));
        s.sync();
      },
      {row({"1", "2"}), row({"1"})});
  EXPECT_EQ(execute.code, Errc::kProtocol);
}

// ---- extended query -----------------------------------------------------------------------------

TEST(SessionExtended, EveryMessageIsARequest) {
  const Outcome outcome =
      converse(extended, {ParseComplete{}, ParameterDescription{{23}}, columns(1), BindComplete{},
                          row({"42"}), CommandComplete{"SELECT 1"}, CloseComplete{}, ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 ParseComplete", "2 ParameterDescription 23",
                          "2 RowDescription c(0,0,23,4,-1,0)", "3 BindComplete", "4 DataRow 42",
                          "4 CommandComplete SELECT 1", "5 CloseComplete", "6 ReadyForQuery I"));
}

TEST(SessionExtended, DescribeMayHaveNoRowsAndExecuteMayBeSuspended) {
  const Outcome outcome = converse(
      [](Session& s) {
        ASSERT_TRUE(s.describe_statement(""));
        ASSERT_TRUE(s.describe_portal(""));
        ASSERT_TRUE(s.execute("", 1));
        ASSERT_TRUE(s.execute("", 1));
        ASSERT_TRUE(s.execute("", 1));
        ASSERT_TRUE(s.close_portal(""));
        s.flush();
        s.sync();
      },
      {ParameterDescription{}, NoData{}, NoData{}, row({"1"}), PortalSuspended{},
       CommandComplete{"SELECT 1"}, EmptyQueryResponse{}, CloseComplete{}, ready('I')});
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(without_startup(outcome), SizeIs(9));
  EXPECT_EQ(outcome.pending, 0U);
}

// Trap 23: after an error the server discards everything up to the next Sync, which alone gets a
// ReadyForQuery; that is true of a simple Query in between, too.
TEST(SessionExtended, AnErrorSkipsToTheSync) {
  const Outcome outcome = converse(
      [](Session& s) {
        EXPECT_EQ(*s.parse("", "SELEC", {}), 1U);
        EXPECT_EQ(*s.bind("", "", {}), 2U);
        EXPECT_EQ(*s.query("SELECT 'skipped'"), 3U);
        EXPECT_EQ(*s.execute(""), 4U);
        EXPECT_EQ(s.sync(), 5U);
        EXPECT_EQ(*s.parse("", "SELECT 1", {}), 6U);
        EXPECT_EQ(s.sync(), 7U);
        EXPECT_EQ(*s.query("SELECT 2"), 8U);
      },
      {error("42601"), ready('I'), ParseComplete{}, ready('I'), CommandComplete{"SELECT 1"},
       ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre(HasSubstr("1 ErrorResponse"), "5 ReadyForQuery I", "6 ParseComplete",
                          "7 ReadyForQuery I", "8 CommandComplete SELECT 1", "8 ReadyForQuery I"));
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionExtended, WhatIsSentAfterTheErrorButBeforeTheSyncIsSkippedToo) {
  const Outcome outcome = replay_everywhere([] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.parse("", "SELEC", {}));
                        s.flush();
                      },
                      encode(error("42601"))),
                  ask(
                      [](Session& s) {
                        EXPECT_EQ(s.pending_requests(), 0U);
                        EXPECT_EQ(*s.bind("", "", {}), 2U);
                        EXPECT_EQ(*s.query("SELECT 'skipped'"), 3U);
                        EXPECT_EQ(s.pending_requests(), 0U) << "the server will not answer them";
                        EXPECT_EQ(s.sync(), 4U);
                        EXPECT_EQ(*s.query("SELECT 1"), 5U);
                      },
                      encode_all({ready('I'), CommandComplete{"SELECT 1"}, ready('I')}))};
  });
  EXPECT_THAT(without_startup(outcome),
              ElementsAre(HasSubstr("1 ErrorResponse"), "4 ReadyForQuery I",
                          "5 CommandComplete SELECT 1", "5 ReadyForQuery I"));
}

TEST(SessionExtended, AnErrorAtEachStepLeadsToTheSync) {
  const std::vector<BackendMessage> good = {
      ParseComplete{}, ParameterDescription{{23}},  columns(1),     BindComplete{},
      row({"42"}),     CommandComplete{"SELECT 1"}, CloseComplete{}};
  for (size_t failing = 0; failing <= good.size(); ++failing) {
    std::string reply;
    for (size_t i = 0; i < failing; ++i) reply += encode(good[i]);
    reply += encode_all({error("57014"), ready('I')});
    const Outcome outcome = converse(extended, reply);
    EXPECT_EQ(outcome.error, "") << failing;
    EXPECT_EQ(outcome.events.back(), "6 ReadyForQuery I") << failing;
    EXPECT_EQ(outcome.pending, 0U);
  }
}

// Trap 20: a deferred constraint fails after CommandComplete, at the Sync.
TEST(SessionExtended, ADeferredConstraintFailsAtTheSync) {
  const Outcome outcome = converse(
      [](Session& s) {
        ASSERT_TRUE(s.execute(""));
        s.sync();
      },
      {CommandComplete{"INSERT 0 1"}, error("23505"), ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 CommandComplete INSERT 0 1", HasSubstr("2 ErrorResponse ERROR 23505"),
                          "2 ReadyForQuery I"));
}

TEST(SessionExtended, ExactlyOneReadyForQueryPerSync) {
  const Outcome outcome = converse(
      [](Session& s) {
        for (RequestId id = 1; id <= 3; ++id) EXPECT_EQ(s.sync(), id);
      },
      {ready('I'), ready('I'), ready('I')});
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 ReadyForQuery I", "2 ReadyForQuery I", "3 ReadyForQuery I"));
  EXPECT_EQ(converse([](Session& s) { s.sync(); }, {ready('I'), ready('I')}).code, Errc::kProtocol);
}

// ---- asynchronous messages and the end ----------------------------------------------------------

// Trap 23: notices, parameters and notifications between any two messages change nothing.
TEST(SessionAsync, MayComeBetweenAnyTwoMessages) {
  NoticeResponse notice;
  notice.severity = "WARNING";
  notice.message = "mind";
  const std::string noise =
      encode_all({notice, ParameterStatus{"TimeZone", "UTC"}, NotificationResponse{7, "c", "p"}});
  std::string reply = noise;
  for (const BackendMessage& message : std::initializer_list<BackendMessage>{
           ParseComplete{}, ParameterDescription{{23}}, columns(1), BindComplete{}, row({"42"}),
           CommandComplete{"SELECT 1"}, CloseComplete{}, error("23505"), ready('I')}) {
    reply += encode(message) + noise;
  }
  const Outcome outcome = converse(extended, reply);
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(without_startup(outcome), SizeIs(9 + 3 * 10));
  EXPECT_THAT(outcome.events[2], HasSubstr("1 NoticeResponse"));
  EXPECT_THAT(outcome.events.back(), HasSubstr("0 NotificationResponse 7 c p"));
}

// Trap 32: also in the middle of the session.
TEST(SessionAsync, AChangeOfTheEncodingEndsTheSession) {
  const Outcome outcome =
      converse([](Session& s) { ASSERT_TRUE(s.query("SET client_encoding = LATIN1")); },
               {ParameterStatus{"client_encoding", "LATIN1"}, CommandComplete{"SET"}, ready('I')});
  EXPECT_EQ(outcome.code, Errc::kProtocol);
  EXPECT_THAT(outcome.error, HasSubstr("LATIN1"));
}

TEST(SessionAsync, ParametersFollowTheServer) {
  std::string zone;
  run_script([&] {
    return Script{trusted_startup(), say(encode(ParameterStatus{"TimeZone", "UTC"})),
                  say(encode(ParameterStatus{"TimeZone", "Europe/Berlin"})),
                  ask([&](Session& s) { zone = s.parameter("TimeZone"); }, "")};
  });
  EXPECT_EQ(zone, "Europe/Berlin");
}

TEST(SessionEnd, AFatalErrorMayComeOutsideOfAnyRequest) {
  const Outcome outcome =
      replay_everywhere([] { return Script{trusted_startup(), say(encode(fatal("57P01")))}; });
  EXPECT_THAT(without_startup(outcome), ElementsAre(HasSubstr("0 ErrorResponse FATAL 57P01")));
}

// Trap 16: what is reported is the server's reason, not only that the connection broke.
TEST(SessionEnd, TheServersReasonIsReported) {
  const std::string reply = encode(fatal("57P01"));
  const auto make = [&] { return Script{trusted_startup(), ask(select, reply)}; };
  const Outcome outcome = run_script(make, {}, run_script(make).received);
  ASSERT_FALSE(outcome.end);
  EXPECT_EQ(outcome.end.error().code, Errc::kConnectionLost);
  EXPECT_EQ(outcome.end.error().sqlstate.view(), "57P01");
  EXPECT_THAT(outcome.end.error().message, HasSubstr("bye"));
  EXPECT_TRUE(outcome.end.error().sent);
}

// Trap 23: a second FATAL must not end in a panic.
TEST(SessionEnd, SeveralFatalErrorsAreOnlyEvents) {
  const Outcome outcome = converse(select, {fatal("57P01"), fatal("57P01"), error("XX000")});
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(without_startup(outcome), SizeIs(3));
  EXPECT_EQ(outcome.pending, 1U) << "the request was never answered";
  EXPECT_EQ(converse(select, {fatal("57P01"), ready('I')}).code, Errc::kProtocol);
}

TEST(SessionEnd, ALocalisedFatalErrorIsFatal) {
  ErrorResponse localised = error_response("FATAL", "57P01", "bye");
  localised.severity = "FATAL: auf Deutsch";
  EXPECT_EQ(converse(select, {localised, CommandComplete{"SELECT 1"}}).code, Errc::kProtocol);
  ErrorResponse old = error_response("FATAL", "57P01", "bye");
  old.severity_plain = "";  // Before 9.6 there is only the localised field.
  EXPECT_EQ(converse(select, {old, CommandComplete{"SELECT 1"}}).code, Errc::kProtocol);
}

TEST(SessionEnd, IsLegalAfterTerminateOnly) {
  const auto end_after = [](const std::function<void(Session&)>& act) {
    Status status;
    run_script([&] {
      return Script{trusted_startup(), ask(act, ""),
                    ask([&](Session& s) { status = s.received_eof(); }, "")};
    });
    return status;
  };
  EXPECT_TRUE(end_after([](Session& s) { s.terminate(); }));
  EXPECT_FALSE(end_after([](Session&) {}));
  EXPECT_FALSE(end_after([](Session& s) {
    select(s);
    s.terminate();
  })) << "a request is unanswered";
}

TEST(SessionEnd, AnEndInsideAMessageIsNamed) {
  const Outcome outcome =
      run_script([] { return Script{trusted_startup(), ask(select, encode(columns(1)))}; }, {}, 20);
  ASSERT_FALSE(outcome.end);
  EXPECT_THAT(outcome.end.error().message, HasSubstr("in the middle of a message"));
}

// Error.sent decides whether a request may be sent again without asking.
TEST(SessionEnd, SaysWhetherTheOldestRequestWasSent) {
  for (const size_t sent : {0, 1, 100}) {
    Session session;
    StartupConfig config;
    config.user = "u";
    ASSERT_TRUE(session.startup(config));
    session.output_sent(session.output().size());
    const std::string reply = authentication(Authentication::Code::kOk) + encode(ready('I'));
    std::memcpy(session.receive_space().data(), reply.data(), reply.size());
    session.received(reply.size());
    while (*session.next_event()) {
    }
    select(session);
    session.output_sent(std::min(sent, session.output().size()));
    const Status status = session.received_eof();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kConnectionLost);
    EXPECT_EQ(status.error().sent, sent > 0) << sent;
  }
}

TEST(SessionUsage, NothingIsSentAfterTerminate) {
  run_script([] {
    return Script{trusted_startup(), ask(
                                         [](Session& s) {
                                           s.terminate();
                                           EXPECT_EQ(s.query("SELECT 1").error().code,
                                                     Errc::kUsage);
                                           s.terminate();
                                           EXPECT_EQ(s.output().size(), 5U);
                                         },
                                         "")};
  });
}

TEST(SessionUsage, LimitsTheRequestsThatAwaitAnswers) {
  SessionLimits limits;
  limits.requests_max = 2;
  run_script(
      [] {
        return Script{trusted_startup(),
                      ask(
                          [](Session& s) {
                            ASSERT_TRUE(s.parse("", "", {}));
                            ASSERT_TRUE(s.bind("", "", {}));
                            const auto third = s.execute("");
                            ASSERT_FALSE(third);
                            EXPECT_EQ(third.error().code, Errc::kLimit);
                            EXPECT_EQ(s.sync(), 3U) << "a Sync is what frees the queue";
                          },
                          encode_all({ParseComplete{}, BindComplete{}, ready('I')}))};
      },
      {}, SIZE_MAX, limits);
}

// Trap 1 and 13: a refused request leaves the session as it was.
TEST(SessionUsage, ARefusedRequestChangesNothing) {
  const Outcome outcome = converse(
      [](Session& s) {
        EXPECT_EQ(s.query("a\0b"sv).error().code, Errc::kUsage);
        EXPECT_EQ(s.parse("a\0b"sv, "", {}).error().code, Errc::kUsage);
        EXPECT_EQ(s.query("COPY\0"sv, Session::Copy::kIn).error().code, Errc::kUsage);
        EXPECT_TRUE(s.output().empty());
        EXPECT_EQ(s.pending_requests(), 0U);
        EXPECT_EQ(*s.query("SELECT 1"), 1U);
      },
      {CommandComplete{"SELECT 1"}, ready('I')});
  EXPECT_EQ(outcome.error, "");
}

}  // namespace
