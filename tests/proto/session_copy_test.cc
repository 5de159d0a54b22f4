#include <cstring>
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
using ::testing::SizeIs;

void put(Session& session, std::string_view rows) {
  const MutableBytes space = session.copy_space(rows.size() + 10);
  ASSERT_GE(space.size(), rows.size());
  std::memcpy(space.data(), rows.data(), rows.size());
  session.copy_commit(rows.size());
}

// BEGIN; COPY, rows, COMMIT: two requests, nothing waited for.
void send_flight(Session& session, std::string_view rows) {
  ASSERT_TRUE(session.query("BEGIN; COPY t FROM STDIN", Session::Copy::kIn));
  put(session, rows);
  session.copy_done();
  ASSERT_TRUE(session.query("COMMIT"));
}

BackendMessage copy_in() { return CopyInResponse{0, {0, 0}}; }
BackendMessage error(std::string_view sqlstate) { return error_response("ERROR", sqlstate, "no"); }

std::string committed_flight() {
  return encode_all({CommandComplete{"BEGIN"}, copy_in(), CommandComplete{"COPY 1"}, ready('T'),
                     CommandComplete{"COMMIT"}, ready('I')});
}
// The COPY fails to start, or in the middle: the server drops the data, and COMMIT is a ROLLBACK.
std::string failed_flight(bool starts) {
  std::string reply = encode(CommandComplete{"BEGIN"});
  if (starts) reply += encode(copy_in());
  return reply + encode_all({error(starts ? "23505" : "42P01"), ready('E'),
                             CommandComplete{"ROLLBACK"}, ready('I')});
}

std::vector<std::string> without_startup(const Outcome& outcome) {
  EXPECT_GE(outcome.events.size(), 2U);
  return {outcome.events.begin() + 2, outcome.events.end()};
}

Outcome converse(const std::function<void(Session&)>& act, const std::string& reply) {
  return replay_everywhere([&] { return Script{trusted_startup(), ask(act, reply)}; });
}

TEST(SessionCopyIn, SendsTheRowsBehindOneHeaderEach) {
  const Outcome outcome = run_script([] {
    return Script{trusted_startup(), ask([](Session& s) { send_flight(s, "1\ta\n"); }, "")};
  });
  const std::string sent = outcome.sent.substr(outcome.sent.find('Q'));
  EXPECT_EQ(frontend_messages(sent),
            (std::vector<std::string>{"Query BEGIN; COPY t FROM STDIN", "CopyData 1\\x09a\\x0a",
                                      "CopyDone", "Query COMMIT"}));
}

TEST(SessionCopyIn, OneFlight) {
  const Outcome outcome = converse([](Session& s) { send_flight(s, "1\n"); }, committed_flight());
  EXPECT_THAT(
      without_startup(outcome),
      ElementsAre("1 CommandComplete BEGIN", "1 CopyInResponse 0 0 0", "1 CommandComplete COPY 1",
                  "1 ReadyForQuery T", "2 CommandComplete COMMIT", "2 ReadyForQuery I"));
}

// The point of the session: each flight of a window meets its own fate, whatever the others do.
TEST(SessionCopyIn, SeveralFlightsInTheAirEachWithItsOwnFate) {
  for (unsigned fates = 0; fates < 27; ++fates) {
    const unsigned fate[] = {fates % 3, fates / 3 % 3, fates / 9};
    std::string reply;
    for (const unsigned f : fate) reply += f == 0 ? committed_flight() : failed_flight(f == 1);
    const auto make = [&] {
      return Script{trusted_startup(), ask(
                                           [](Session& s) {
                                             for (int i = 0; i < 3; ++i) send_flight(s, "1\n");
                                             EXPECT_EQ(s.pending_requests(), 6U);
                                           },
                                           reply)};
    };
    const Outcome outcome = fates % 13 == 0 ? replay_everywhere(make) : run_script(make);
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.pending, 0U);
    for (RequestId i = 0; i < 3; ++i) {
      const std::string tag = fate[i] == 0 ? "COMMIT" : "ROLLBACK";
      EXPECT_THAT(outcome.events,
                  ::testing::Contains(std::to_string(2 * i + 2) + " CommandComplete " + tag));
      EXPECT_THAT(outcome.events,
                  ::testing::Contains(std::to_string(2 * i + 2) + " ReadyForQuery I"));
    }
  }
}

// As the server was seen to answer: Sync after CopyDone, the COPY works or fails.
TEST(SessionCopyIn, ExtendedFormWithTheSyncAfterCopyDone) {
  const auto act = [](Session& s) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(s.parse("", "COPY t FROM STDIN", {}));
      ASSERT_TRUE(s.bind("", "", {}));
      ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
      put(s, "1\n");
      s.copy_done();
      s.sync();
    }
  };
  const Outcome outcome =
      converse(act, encode_all({ParseComplete{}, BindComplete{}, copy_in(), error("22P02"),
                                ready('I'), ParseComplete{}, BindComplete{}, copy_in(),
                                CommandComplete{"COPY 1"}, ready('I')}));
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 ParseComplete", "2 BindComplete", "3 CopyInResponse 0 0 0",
                          HasSubstr("3 ErrorResponse ERROR 22P02"), "4 ReadyForQuery I",
                          "5 ParseComplete", "6 BindComplete", "7 CopyInResponse 0 0 0",
                          "7 CommandComplete COPY 1", "8 ReadyForQuery I"));
}

TEST(SessionCopyIn, MayFollowOtherStatementsOfItsQueryAndPrecedeMore) {
  RowDescription rows;
  rows.fields.resize(1);
  DataRow row;
  row.values = {as_bytes("t")};
  const Outcome outcome = converse(
      [](Session& s) {
        ASSERT_TRUE(s.query("BEGIN; SELECT true; COPY t FROM STDIN; SELECT 2", Session::Copy::kIn));
        put(s, "1\n");
        s.copy_done();
      },
      encode_all({CommandComplete{"BEGIN"}, rows, row, CommandComplete{"SELECT 1"}, copy_in(),
                  CommandComplete{"COPY 1"}, rows, row, CommandComplete{"SELECT 1"}, ready('T')}));
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(without_startup(outcome), SizeIs(10));
}

// Trap 14: a Sync or Query inside a COPY is swallowed by it, and its ReadyForQuery never comes.
TEST(SessionCopyIn, RefusesRequestsInsideAnOpenCopy) {
  run_script([] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                        const size_t size = s.output().size();
                        EXPECT_EQ(s.query("SELECT 1").error().code, Errc::kUsage);
                        EXPECT_EQ(s.parse("", "", {}).error().code, Errc::kUsage);
                        EXPECT_EQ(s.execute("").error().code, Errc::kUsage);
                        EXPECT_EQ(s.output().size(), size);
                        s.copy_done();
                        EXPECT_TRUE(s.query("SELECT 1"));
                      },
                      "")};
  });
  const Outcome sync = run_script([] {
    return Script{trusted_startup(), ask(
                                         [](Session& s) {
                                           ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
                                           const size_t size = s.output().size();
                                           EXPECT_EQ(s.sync(), 0U);
                                           EXPECT_EQ(s.output().size(), size);
                                         },
                                         "")};
  });
  EXPECT_EQ(sync.code, Errc::kUsage);
}

// Trap 16: the owner learns within one frame that the server will not take the rest.
TEST(SessionCopyIn, SaysThatTheServerRefused) {
  for (const bool starts : {false, true}) {
    std::string seen;
    const auto note = [&seen](Session& s) { seen += s.copy_refused() ? 'y' : 'n'; };
    const std::string reply = failed_flight(starts);
    const size_t before_error =
        encode(CommandComplete{"BEGIN"}).size() + (starts ? encode(copy_in()).size() : 0);
    const Outcome outcome = run_script([&] {
      return Script{
          trusted_startup(),
          ask(
              [&](Session& s) {
                ASSERT_TRUE(s.query("BEGIN; COPY t FROM STDIN", Session::Copy::kIn));
                put(s, "1\n");
                note(s);
              },
              reply.substr(0, before_error)),
          ask(note, reply.substr(before_error, 20)),
          ask(note, ""),
          ask(nullptr, reply.substr(before_error + 20, encode(error("42P01")).size() - 20)),
          ask(
              [&](Session& s) {
                note(s);
                put(s, "more rows that were on their way\n");
                s.copy_done();
                ASSERT_TRUE(s.query("COMMIT"));
              },
              reply.substr(before_error + encode(error("42P01")).size())),
          ask(
              [&](Session& s) {
                ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                note(s);
              },
              "")};
    });
    EXPECT_EQ(seen, "nnnyn");
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.events.back(), "2 ReadyForQuery I");
  }
}

TEST(SessionCopyIn, AStatementThatIsNoCopyRefusesTheRows) {
  bool refused = false;
  const Outcome outcome = run_script([&] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.query("TRUNCATE t", Session::Copy::kIn));
                        put(s, "1\n");
                      },
                      encode_all({CommandComplete{"TRUNCATE TABLE"}, ready('I')})),
                  ask(
                      [&](Session& s) {
                        refused = s.copy_refused();
                        s.copy_done();  // The server drops what it gets outside of a COPY.
                        ASSERT_TRUE(s.query("SELECT 1"));
                      },
                      encode_all({CommandComplete{"SELECT 1"}, ready('I')}))};
  });
  EXPECT_TRUE(refused);
  EXPECT_EQ(outcome.error, "");
}

TEST(SessionCopyIn, ACopyThatIsSkippedIsRefused) {
  bool refused = false;
  const Outcome outcome = run_script([&] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.parse("", "COPY nosuch FROM STDIN", {}));
                        ASSERT_TRUE(s.bind("", "", {}));
                        ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
                        put(s, "1\n");
                      },
                      encode(error("42P01"))),
                  ask(
                      [&](Session& s) {
                        refused = s.copy_refused();
                        s.copy_done();
                        s.sync();
                      },
                      encode(ready('I')))};
  });
  EXPECT_TRUE(refused);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.pending, 0U);
}

// A COPY is refused by its own answer only, not by that of a request before it.
TEST(SessionCopyIn, TheAnswersOfEarlierRequestsDoNotRefuseIt) {
  const std::string answers[] = {
      encode_all({CommandComplete{"SELECT 1"}, ready('I')}),
      encode_all({EmptyQueryResponse{}, ready('I')}),
      encode_all({error("22012"), ready('I')}),
  };
  for (const std::string& answer : answers) {
    std::string seen;
    const auto note = [&seen](Session& s) { seen += s.copy_refused() ? 'y' : 'n'; };
    const Outcome outcome = run_script([&] {
      return Script{
          trusted_startup(),
          ask(
              [&](Session& s) {
                ASSERT_TRUE(s.query("SELECT 1"));
                ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                put(s, "1\n");
                note(s);
              },
              answer),
          ask(note, encode(copy_in())),
          ask(
              [&](Session& s) {
                note(s);
                put(s, "2\n");
                s.copy_done();
              },
              encode_all({CommandComplete{"COPY 2"}, ready('I')})),
      };
    });
    EXPECT_EQ(seen, "nnn");
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.events.back(), "2 ReadyForQuery I");
    EXPECT_EQ(outcome.pending, 0U);
  }
}

// Flights follow without waiting: the COPY of one is complete while that of the next is open.
TEST(SessionCopyIn, TheCopyBeforeItMayBeCompleted) {
  for (const bool extended : {false, true}) {
    std::string seen;
    const auto announce = [extended](Session& s) {
      if (!extended) {
        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
        return;
      }
      ASSERT_TRUE(s.parse("", "COPY t FROM STDIN", {}));
      ASSERT_TRUE(s.bind("", "", {}));
      ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
    };
    const auto end = [extended](Session& s) {
      s.copy_done();
      if (extended) s.sync();
    };
    const std::string begun =
        extended ? encode_all({ParseComplete{}, BindComplete{}, copy_in()}) : encode(copy_in());
    const std::string done = encode_all({CommandComplete{"COPY 1"}, ready('I')});
    const Outcome outcome = replay_everywhere([&] {
      return Script{trusted_startup(),
                    ask(
                        [=](Session& s) {
                          announce(s);
                          put(s, "1\n");
                          end(s);
                          announce(s);
                          put(s, "2\n");
                        },
                        begun + done + begun),
                    ask(
                        [&seen, end](Session& s) {
                          seen += s.copy_refused() ? 'y' : 'n';
                          put(s, "3\n");
                          end(s);
                        },
                        done)};
    });
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.pending, 0U);
    EXPECT_EQ(seen.find('y'), std::string::npos);
  }
}

// The same in the extended form: an error ends the series up to its Sync, not the one after it.
TEST(SessionCopyIn, AFailedSeriesDoesNotRefuseTheCopyOfTheNextOne) {
  for (const bool fails : {false, true}) {
    bool refused = true;
    const Outcome outcome = run_script([&] {
      return Script{
          trusted_startup(),
          ask(
              [](Session& s) {
                ASSERT_TRUE(s.parse("", "DELETE FROM t", {}));
                ASSERT_TRUE(s.bind("", "", {}));
                ASSERT_TRUE(s.execute(""));
                s.sync();
                ASSERT_TRUE(s.parse("", "COPY t FROM STDIN", {}));
                ASSERT_TRUE(s.bind("", "", {}));
                ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
                put(s, "1\n");
              },
              encode_all({ParseComplete{}, BindComplete{},
                          fails ? error("42501") : BackendMessage{CommandComplete{"DELETE 0"}},
                          ready('I'), ParseComplete{}, BindComplete{}})),
          ask(
              [&](Session& s) {
                refused = s.copy_refused();
                s.copy_done();
                s.sync();
              },
              encode_all({copy_in(), CommandComplete{"COPY 1"}, ready('I')}))};
    });
    EXPECT_FALSE(refused) << fails;
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.pending, 0U);
  }
}

// After an error the server discards everything until a Sync: a COPY that is sent before that Sync
// is refused from its beginning.
TEST(SessionCopyIn, ACopyThatIsSentAfterAnErrorAndBeforeTheSyncIsRefusedAtOnce) {
  bool refused = false;
  bool refused_later = true;
  const Outcome outcome = run_script([&] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.parse("", "SELEC", {}));
                        s.flush();
                      },
                      encode(error("42601"))),
                  ask(
                      [&](Session& s) {
                        ASSERT_TRUE(s.execute("", 0, Session::Copy::kIn));
                        refused = s.copy_refused();
                        s.copy_done();
                        s.sync();
                        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                        refused_later = s.copy_refused();
                        s.copy_done();
                      },
                      encode_all({ready('I'), copy_in(), CommandComplete{"COPY 0"}, ready('I')}))};
  });
  EXPECT_TRUE(refused);
  EXPECT_FALSE(refused_later);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionCopyIn, CopyFailEndsIt) {
  const Outcome outcome = run_script([] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                        put(s, "1\n");
                        s.copy_fail(std::string("why\0not", 7) + std::string(20'000, 'x'));
                        ASSERT_TRUE(s.query("SELECT 1"));
                      },
                      encode_all({copy_in(), error("57014"), ready('I'),
                                  CommandComplete{"SELECT 1"}, ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(
      frontend_messages(outcome.sent.substr(outcome.sent.find("Q"))),
      ElementsAre("Query COPY t FROM STDIN", "CopyData 1\\x0a", "CopyFail why", "Query SELECT 1"));
}

TEST(SessionCopyIn, ALongReasonOfCopyFailIsCut) {
  const Outcome outcome = run_script([] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                        s.copy_fail(std::string(20'000, 'x'));
                      },
                      encode_all({copy_in(), error("57014"), ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(frontend_messages(outcome.sent.substr(outcome.sent.find("Q"))),
              ElementsAre("Query COPY t FROM STDIN", "CopyFail " + std::string(1'000, 'x')));
}

// The pair of the hand-over: a server that says "done" before we did is out of step.
TEST(SessionCopyIn, RejectsACompletionBeforeTheEnd) {
  const Outcome outcome = run_script([] {
    return Script{trusted_startup(),
                  ask(
                      [](Session& s) {
                        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
                        put(s, "1\n");
                      },
                      encode_all({copy_in(), CommandComplete{"COPY 1"}}))};
  });
  EXPECT_EQ(outcome.code, Errc::kProtocol);
}

TEST(SessionCopyIn, AnUnannouncedCopyIsFailedByTheSession) {
  const Outcome outcome = run_script([] {
    return Script{
        trusted_startup(),
        ask([](Session& s) { ASSERT_TRUE(s.query("COPY t FROM STDIN")); }, encode(copy_in())),
        say(encode_all({error("57014"), ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(frontend_messages(outcome.sent.substr(outcome.sent.find("Q"))),
              ElementsAre("Query COPY t FROM STDIN", HasSubstr("CopyFail")));
  EXPECT_EQ(outcome.events.back(), "1 ReadyForQuery I");
}

// Trap 14: what was sent after it is lost inside the COPY: only a new connection helps.
TEST(SessionCopyIn, AnUnannouncedCopyWithRequestsBehindItEndsTheSession) {
  const Outcome simple = run_script([] {
    return Script{trusted_startup(), ask(
                                         [](Session& s) {
                                           ASSERT_TRUE(s.query("COPY t FROM STDIN"));
                                           ASSERT_TRUE(s.query("SELECT 1"));
                                         },
                                         encode(copy_in()))};
  });
  EXPECT_EQ(simple.code, Errc::kProtocol);
  EXPECT_THAT(simple.error, HasSubstr("Copy::kIn"));
  const Outcome extended = run_script([] {
    return Script{trusted_startup(), ask(
                                         [](Session& s) {
                                           ASSERT_TRUE(s.execute(""));
                                           s.sync();
                                         },
                                         encode(copy_in()))};
  });
  EXPECT_EQ(extended.code, Errc::kProtocol);
}

TEST(SessionCopyIn, ASecondCopyOfTheSameQueryIsFailed) {
  const Outcome outcome = run_script([] {
    return Script{
        trusted_startup(),
        ask(
            [](Session& s) {
              ASSERT_TRUE(s.query("COPY a FROM STDIN; COPY b FROM STDIN", Session::Copy::kIn));
              put(s, "1\n");
              s.copy_done();
            },
            encode_all({copy_in(), CommandComplete{"COPY 1"}, copy_in()})),
        say(encode_all({error("57014"), ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionCopyIn, RejectsDataFromTheServer) {
  for (const BackendMessage& message : std::initializer_list<BackendMessage>{
           CopyData{as_bytes("x")}, CopyDone{}, copy_in(), RowDescription{}, ready('I')}) {
    EXPECT_EQ(converse([](Session& s) { send_flight(s, "1\n"); },
                       encode_all({CommandComplete{"BEGIN"}, copy_in(), message}))
                  .code,
              Errc::kProtocol)
        << describe(message);
  }
}

// ---- space in the buffer ------------------------------------------------------------------------

Session& started(Session& session) {
  StartupConfig config;
  config.user = "u";
  EXPECT_TRUE(session.startup(config));
  const std::string reply = authentication(Authentication::Code::kOk) + encode(ready('I'));
  std::memcpy(session.receive_space().data(), reply.data(), reply.size());
  session.received(reply.size());
  while (*session.next_event()) {
  }
  session.output_sent(session.output().size());
  return session;
}

TEST(SessionCopySpace, IsWrittenInPlace) {
  Session session;
  started(session);
  ASSERT_TRUE(session.query("COPY t FROM STDIN", Session::Copy::kIn));
  const size_t before = session.output().size();
  const MutableBytes space = session.copy_space(1000);
  ASSERT_EQ(space.size(), 1000U);
  EXPECT_EQ(session.output().size(), before) << "nothing is sent before copy_commit()";
  std::memcpy(space.data(), "abc", 3);
  session.copy_commit(3);
  const Bytes output = session.output();
  ASSERT_EQ(output.size(), before + 8);
  EXPECT_EQ(as_text(output.subspan(before)), "d\0\0\0\7abc"sv);
  EXPECT_EQ(output.data() + before + 5, space.data()) << "no byte was moved";
}

TEST(SessionCopySpace, CanBeGivenUpOrAskedForAgain) {
  Session session;
  started(session);
  ASSERT_TRUE(session.query("COPY t FROM STDIN", Session::Copy::kIn));
  const size_t before = session.output().size();
  ASSERT_FALSE(session.copy_space(1000).empty());
  session.copy_commit(0);
  EXPECT_EQ(session.output().size(), before);
  ASSERT_FALSE(session.copy_space(10).empty());
  const MutableBytes space = session.copy_space(20'000);
  ASSERT_EQ(space.size(), 20'000U);
  session.copy_commit(1);
  ASSERT_FALSE(session.copy_space(10).empty());
  session.copy_done();
  EXPECT_EQ(session.output().size(), before + 6 + 5);
}

TEST(SessionCopySpace, BytesMaySentWhileItIsWritten) {
  Session session;
  started(session);
  ASSERT_TRUE(session.query("COPY t FROM STDIN", Session::Copy::kIn));
  const MutableBytes space = session.copy_space(3);
  session.output_sent(session.output().size());
  std::memcpy(space.data(), "abc", 3);
  session.copy_commit(3);
  EXPECT_EQ(as_text(session.output()), "d\0\0\0\7abc"sv);
}

TEST(SessionCopySpace, MisuseEndsTheSession) {
  const std::function<void(Session&)> misuses[] = {
      [](Session& s) { EXPECT_TRUE(s.copy_space(10).empty()); },
      [](Session& s) { s.copy_commit(1); },
      [](Session& s) { s.copy_done(); },
      [](Session& s) { s.copy_fail("x"); },
      [](Session& s) {
        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
        EXPECT_TRUE(s.copy_space(kLargeMessageBytesMax - 3).empty());
      },
      [](Session& s) {
        ASSERT_TRUE(s.query("COPY t FROM STDIN", Session::Copy::kIn));
        ASSERT_FALSE(s.copy_space(10).empty());
        s.flush();
        s.copy_commit(1);
      },
  };
  for (const auto& misuse : misuses) {
    Session session;
    misuse(started(session));
    const auto event = session.next_event();
    ASSERT_FALSE(event);
    EXPECT_EQ(event.error().code, Errc::kUsage);
  }
}

// ---- COPY OUT and BOTH --------------------------------------------------------------------------

TEST(SessionCopyOut, DeliversTheRows) {
  const CopyOutResponse out{{0, {0}}};
  const Outcome outcome = converse(
      [](Session& s) {
        ASSERT_TRUE(s.query("COPY t TO STDOUT"));
        ASSERT_TRUE(s.query("SELECT 1"));
      },
      encode_all({out, CopyData{as_bytes("1\n")}, CopyData{}, CopyDone{}, CommandComplete{"COPY 1"},
                  ready('I'), CommandComplete{"SELECT 1"}, ready('I')}));
  EXPECT_THAT(without_startup(outcome),
              ElementsAre("1 CopyOutResponse 0 0", "1 CopyData 1\\x0a", "1 CopyData ", "1 CopyDone",
                          "1 CommandComplete COPY 1", "1 ReadyForQuery I",
                          "2 CommandComplete SELECT 1", "2 ReadyForQuery I"));
}

TEST(SessionCopyOut, MayFailInTheMiddle) {
  const CopyOutResponse out{{0, {0}}};
  for (const bool done : {false, true}) {
    std::string reply = encode_all({out, CopyData{as_bytes("1\n")}});
    if (done) reply += encode(CopyDone{});
    const Outcome outcome = converse([](Session& s) { ASSERT_TRUE(s.query("COPY t TO STDOUT")); },
                                     reply + encode_all({error("22012"), ready('I')}));
    EXPECT_EQ(outcome.error, "");
  }
}

TEST(SessionCopyOut, WorksInTheExtendedForm) {
  const CopyOutResponse out{{0, {0}}};
  const Outcome outcome = converse(
      [](Session& s) {
        ASSERT_TRUE(s.execute(""));
        s.sync();
      },
      encode_all(
          {out, CopyData{as_bytes("1\n")}, CopyDone{}, CommandComplete{"COPY 1"}, ready('I')}));
  EXPECT_EQ(outcome.error, "");
}

TEST(SessionCopyOut, RejectsACompletionWithoutCopyDone) {
  const CopyOutResponse out{{0, {0}}};
  EXPECT_EQ(converse([](Session& s) { ASSERT_TRUE(s.query("COPY t TO STDOUT")); },
                     encode_all({out, CommandComplete{"COPY 1"}}))
                .code,
            Errc::kProtocol);
}

TEST(SessionCopyBoth, SpeaksBothWaysUntilBothSidesAreDone) {
  const CopyBothResponse both{{0, {}}};
  const Outcome outcome = replay_everywhere([&] {
    return Script{
        trusted_startup(),
        ask(
            [](Session& s) {
              ASSERT_TRUE(s.query("START_REPLICATION SLOT s LOGICAL 0/0", Session::Copy::kBoth));
            },
            encode_all({both, CopyData{as_bytes("w1")}})),
        ask([](Session& s) { put(s, "r1"); }, encode(CopyData{as_bytes("w2")})),
        ask([](Session& s) { s.copy_done(); },
            // What the server was seen to send at the end of a physical stream.
            encode_all({CopyData{as_bytes("w3")}, CopyDone{}, CommandComplete{"START_STREAMING"},
                        CommandComplete{"START_REPLICATION"}, ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.events.back(), "1 ReadyForQuery I");
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionCopyBoth, TheServerMayEndFirstAndNameTheNextTimeline) {
  const CopyBothResponse both{{0, {}}};
  RowDescription rows;
  rows.fields.resize(2);
  DataRow row;
  row.values = {as_bytes("2"), as_bytes("0/3000000")};
  const Outcome outcome = replay_everywhere([&] {
    return Script{
        trusted_startup(),
        ask([](Session& s) { ASSERT_TRUE(s.query("START_REPLICATION 0/0", Session::Copy::kBoth)); },
            encode_all({both, CopyDone{}})),
        ask([](Session& s) { s.copy_done(); },
            encode_all({rows, row, CommandComplete{"SELECT"}, CommandComplete{"START_REPLICATION"},
                        ready('I')}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.pending, 0U);
}

TEST(SessionCopyBoth, AServerThatShutsDownEndsItWithoutCopyDone) {
  const CopyBothResponse both{{0, {}}};
  const Outcome outcome = replay_everywhere([&] {
    return Script{
        trusted_startup(),
        ask(
            [](Session& s) {
              ASSERT_TRUE(s.query("START_REPLICATION SLOT s LOGICAL 0/0", Session::Copy::kBoth));
            },
            encode_all({both, CopyData{as_bytes("w1")}, CommandComplete{"COPY 0"}}))};
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.events.back(), "1 CommandComplete COPY 0");
}

TEST(SessionCopyBoth, MustBeAnnounced) {
  const CopyBothResponse both{{0, {}}};
  const Outcome outcome = run_script([&] {
    return Script{
        trusted_startup(),
        ask([](Session& s) { ASSERT_TRUE(s.query("START_REPLICATION 0/0")); }, encode(both))};
  });
  EXPECT_EQ(outcome.code, Errc::kProtocol);
  EXPECT_THAT(outcome.error, HasSubstr("kBoth"));
}

TEST(SessionCopyBoth, MayFail) {
  const CopyBothResponse both{{0, {}}};
  bool refused = false;
  const Outcome outcome = run_script([&] {
    return Script{
        trusted_startup(),
        ask([](Session& s) { ASSERT_TRUE(s.query("START_REPLICATION 0/0", Session::Copy::kBoth)); },
            encode_all({both, CopyData{}, error("58P01")})),
        ask(
            [&](Session& s) {
              refused = s.copy_refused();
              s.copy_done();
            },
            encode(ready('I')))};
  });
  EXPECT_TRUE(refused);
  EXPECT_EQ(outcome.error, "");
}

}  // namespace
