#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/backend_encoder.h"
#include "support/session_script.h"

namespace {

using namespace pgproto;
using namespace pgsink::test;
using namespace std::string_literals;
using namespace std::string_view_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Code = Authentication::Code;

constexpr const char* kPassword = "geheim";
const std::string kHash(32, '\x5a');

StartupConfig config_for(std::string_view user = "alice") {
  StartupConfig config;
  config.user = user;
  config.password = kPassword;
  config.parameters = {{"database", "d"}, {"application_name", "test"}};
  config.scram_nonce = "fyko+d2lbbFgONRv9qkxdawL";
  return config;
}

StartupConfig tls_config(ChannelBinding binding) {
  StartupConfig config = config_for();
  config.channel_binding = binding;
  config.over_tls = true;
  config.tls_server_end_point.assign(as_bytes(kHash).begin(), as_bytes(kHash).end());
  return config;
}

std::string after_ok() {
  return encode_all({BackendKeyData{4711, as_bytes("\1\2\3\4"sv)},
                     ParameterStatus{"client_encoding", "UTF8"},
                     ParameterStatus{"server_version", "15.20"}, ready('I')});
}

std::string ok() { return authentication(Code::kOk); }

Step start(StartupConfig config, std::string reply) {
  return ask(
      [config](Session& session) {
        const Status status = session.startup(config);
        ASSERT_TRUE(status) << status.error().message;
      },
      std::move(reply));
}

// The body of the one message of type 'p' that a turn sent.
std::string auth_body(std::string_view sent) {
  EXPECT_FALSE(sent.empty());
  return sent.size() < 5 ? "" : std::string(sent.substr(5));
}

// A whole SCRAM exchange; the server is a new one for each replay.
Script scram_script(const StartupConfig& config, const ScramServer::Config& server_config,
                    std::initializer_list<std::string_view> offered) {
  auto server = std::make_shared<ScramServer>(server_config);
  return {
      start(config, authentication_sasl(offered)),
      {nullptr,
       [server](std::string_view sent) {
         const auto message =
             decode_frontend('p', as_bytes(sent.substr(std::min<size_t>(5, sent.size()))),
                             AuthResponse::kSaslInitial);
         if (!message) return std::string();
         const auto& initial = std::get<SASLInitialResponse>(*message);
         const auto first =
             server->first(initial.mechanism, as_text(initial.data.value_or(Bytes{})));
         if (!first) return encode(error_response("FATAL", "28P01", "malformed SCRAM message"));
         return authentication(Code::kSaslContinue, *first);
       }},
      {nullptr,
       [server](std::string_view sent) {
         const auto final = server->final(auth_body(sent));
         if (!final)
           return encode(error_response("FATAL", "28P01", "password authentication failed"));
         return authentication(Code::kSaslFinal, *final);
       }},
      say(ok() + after_ok()),
  };
}

ScramServer::Config scram_server(std::string binding = "") {
  return {.password = kPassword,
          .iterations = 2,
          .channel_binding = std::move(binding),
          .extension = ""};
}

const std::vector<std::string> kStartupEvents = {
    "0 Authentication 0 ", "0 BackendKeyData 4711 \\x01\\x02\\x03\\x04",
    "0 ParameterStatus client_encoding=UTF8", "0 ParameterStatus server_version=15.20",
    "0 ReadyForQuery I"};

// ---- the message --------------------------------------------------------------------------------

TEST(SessionStartup, SendsTheStartupMessage) {
  const Outcome outcome = run_script([] { return Script{start(config_for(), "")}; });
  FrontendDecoder decoder;
  decoder.feed(outcome.sent);
  const auto said = decoder.next();
  ASSERT_TRUE(said && *said);
  EXPECT_EQ(describe(std::get<StartupPacket>((*said)->message)),
            "StartupMessage 3.0 user=alice database=d application_name=test client_encoding=UTF8");
  EXPECT_EQ(decoder.buffered(), 0U);
}

// Trap 13: a NUL in a startup value would become another parameter, another user for example.
TEST(SessionStartup, RefusesNulInAnyParameter) {
  for (int i = 0; i < 3; ++i) {
    StartupConfig config = config_for();
    const std::string nul("x\0user\0admin", 12);
    if (i == 0) config.user = nul;
    if (i == 1) config.parameters[1].second = nul;
    if (i == 2) config.parameters[1].first = nul;
    Session session;
    const Status status = session.startup(config);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kUsage);
    EXPECT_TRUE(session.output().empty());
  }
}

TEST(SessionStartup, RefusesASecondUserAndOtherEncodings) {
  for (const std::pair<std::string, std::string>& parameter :
       {std::pair<std::string, std::string>("user", "bob"), {"client_encoding", "LATIN1"}}) {
    StartupConfig config = config_for();
    config.parameters.push_back(parameter);
    Session session;
    EXPECT_EQ(session.startup(config).error().code, Errc::kUsage);
  }
  StartupConfig config = config_for();
  config.parameters.emplace_back("client_encoding", "utf-8");
  EXPECT_TRUE(Session().startup(config));
}

TEST(SessionStartup, RefusesAProtocolThatIsNot30Or32) {
  for (const int32_t version : {2 << 16, (3 << 16) | 1, (3 << 16) | 3, 0}) {
    StartupConfig config = config_for();
    config.protocol_version = version;
    EXPECT_EQ(Session().startup(config).error().code, Errc::kUsage);
  }
}

// ---- methods ------------------------------------------------------------------------------------

TEST(SessionStartup, TrustEndsInReadyForQuery) {
  const Outcome outcome =
      replay_everywhere([] { return Script{start(config_for(), ok() + after_ok())}; });
  EXPECT_EQ(outcome.events, kStartupEvents);
  EXPECT_THAT(outcome.error, IsEmpty());
}

TEST(SessionStartup, AnswersACleartextPassword) {
  const Outcome outcome = replay_everywhere([] {
    return Script{start(config_for(), authentication(Code::kCleartextPassword)),
                  {nullptr, [](std::string_view sent) {
                     EXPECT_EQ(auth_body(sent), std::string(kPassword) + '\0');
                     return ok() + after_ok();
                   }}};
  });
  EXPECT_EQ(outcome.events, kStartupEvents);
}

TEST(SessionStartup, AnswersAnMd5Challenge) {
  const Outcome outcome = replay_everywhere([] {
    return Script{start(config_for(), authentication(Code::kMd5Password, "\x93\x00\xff\x01"sv)),
                  {nullptr, [](std::string_view sent) {
                     std::string body = auth_body(sent);
                     EXPECT_EQ(body.back(), '\0');
                     body.pop_back();
                     EXPECT_TRUE(md5_accepts("alice", kPassword, "\x93\x00\xff\x01"sv, body));
                     return ok() + after_ok();
                   }}};
  });
  EXPECT_EQ(outcome.events, kStartupEvents);
}

TEST(SessionStartup, RefusesAnMd5SaltOfAnotherLength) {
  for (const size_t size : {0, 3, 5, 8}) {
    const Outcome outcome = run_script([&] {
      return Script{
          start(config_for(), authentication(Code::kMd5Password, std::string(size, 's')))};
    });
    EXPECT_EQ(outcome.code, Errc::kAuthentication) << size;
  }
}

// Who is not authenticated has nothing to say of the session, however far the proof has come.
TEST(SessionStartup, NothingOfTheSessionComesBeforeAuthenticationOk) {
  const std::string asked[] = {"", authentication(Code::kCleartextPassword),
                               authentication(Code::kMd5Password, "salt"),
                               authentication_sasl({"SCRAM-SHA-256"})};
  const std::string early[] = {encode(BackendKeyData{1, as_bytes("abcd")}),
                               encode(ParameterStatus{"TimeZone", "UTC"}),
                               encode(NotificationResponse{7, "c", "p"}), encode(ready('I'))};
  for (const std::string& before : asked) {
    for (const std::string& message : early) {
      const Outcome outcome =
          run_script([&] { return Script{start(config_for(), before + message)}; });
      EXPECT_EQ(outcome.code, Errc::kProtocol) << outcome.error;
    }
  }
}

TEST(SessionStartup, SpeaksScram) {
  const Outcome outcome = replay_everywhere(
      [] { return scram_script(config_for(), scram_server(), {"SCRAM-SHA-256"}); });
  EXPECT_EQ(outcome.events, kStartupEvents);
}

TEST(SessionStartup, SpeaksScramPlusOverTls) {
  for (const auto binding : {ChannelBinding::kPrefer, ChannelBinding::kRequire}) {
    const Outcome outcome = replay_everywhere([binding] {
      return scram_script(tls_config(binding), scram_server(kHash),
                          {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"});
    });
    EXPECT_EQ(outcome.events, kStartupEvents);
    EXPECT_THAT(outcome.sent, HasSubstr("SCRAM-SHA-256-PLUS"));
    EXPECT_THAT(outcome.sent, HasSubstr("p=tls-server-end-point,,n=,r="));
  }
}

TEST(SessionStartup, AWrongPasswordIsRefusedByTheServer) {
  StartupConfig wrong = config_for();
  wrong.password = "falsch";
  const Outcome outcome = replay_everywhere([&] {
    Script script = scram_script(wrong, scram_server(), {"SCRAM-SHA-256"});
    script.pop_back();
    return script;
  });
  EXPECT_THAT(outcome.events, ElementsAre(HasSubstr("28P01")));
}

TEST(SessionStartup, AFatalErrorOfClass28ThenEndIsAnAuthenticationError) {
  const std::string reply = encode(error_response("FATAL", "28000", "no pg_hba.conf entry"));
  const Outcome outcome =
      run_script([&] { return Script{start(config_for(), reply)}; }, {}, reply.size());
  EXPECT_THAT(outcome.events, ElementsAre(HasSubstr("no pg_hba.conf entry")));
  ASSERT_FALSE(outcome.end);
  EXPECT_EQ(outcome.end.error().code, Errc::kAuthentication);
  EXPECT_EQ(outcome.end.error().sqlstate.view(), "28000");
  EXPECT_THAT(outcome.end.error().message, HasSubstr("no pg_hba.conf entry"));
}

TEST(SessionStartup, NoPasswordIsAClearError) {
  StartupConfig config = config_for();
  config.password.clear();
  for (const std::string& reply :
       {authentication(Code::kCleartextPassword), authentication(Code::kMd5Password, "salt"),
        authentication_sasl({"SCRAM-SHA-256"})}) {
    const Outcome outcome = run_script([&] { return Script{start(config, reply)}; });
    EXPECT_EQ(outcome.code, Errc::kAuthentication);
    EXPECT_THAT(outcome.error, HasSubstr("no password is set"));
  }
}

TEST(SessionStartup, RefusesMethodsThatItDoesNotHave) {
  for (const auto code : {Code::kKerberosV5, Code::kGss, Code::kGssContinue, Code::kSspi,
                          static_cast<Code>(99), static_cast<Code>(-1)}) {
    const Outcome outcome =
        run_script([&] { return Script{start(config_for(), authentication(code))}; });
    EXPECT_EQ(outcome.code, Errc::kAuthentication);
    EXPECT_THAT(outcome.events, IsEmpty());
  }
}

// ---- order of the SASL exchange -----------------------------------------------------------------

// Trap 6: nobody is believed before the server's signature.
TEST(SessionStartup, RejectsAuthenticationOkBeforeTheServerSignature) {
  auto early = [](size_t turns) {
    return [turns] {
      Script script = scram_script(config_for(), scram_server(), {"SCRAM-SHA-256"});
      script.resize(turns);
      script.push_back(say(ok() + after_ok()));
      return script;
    };
  };
  for (const size_t turns : {1, 2}) {
    const Outcome outcome = run_script(early(turns));
    EXPECT_EQ(outcome.code, Errc::kAuthentication) << turns;
    EXPECT_THAT(outcome.error, HasSubstr("before it proved"));
    EXPECT_THAT(outcome.events, IsEmpty());
  }
  EXPECT_EQ(run_script(early(3)).events, kStartupEvents);
}

TEST(SessionStartup, RejectsAWrongServerSignature) {
  const Outcome outcome = run_script([] {
    Script script = scram_script(config_for(), scram_server(), {"SCRAM-SHA-256"});
    script[2] =
        say(authentication(Code::kSaslFinal, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    return script;
  });
  EXPECT_EQ(outcome.code, Errc::kAuthentication);
  EXPECT_THAT(outcome.error, HasSubstr("signature is wrong"));
  EXPECT_THAT(outcome.events, IsEmpty());
}

TEST(SessionStartup, RejectsSaslMessagesOutOfTurn) {
  for (const std::string& reply :
       {authentication(Code::kSaslContinue, "r=x"), authentication(Code::kSaslFinal, "v=x"),
        authentication_sasl({"SCRAM-SHA-256"}) + authentication_sasl({"SCRAM-SHA-256"}),
        authentication_sasl({"SCRAM-SHA-256"}) + authentication(Code::kCleartextPassword),
        authentication_sasl({"SCRAM-SHA-256"}) + authentication(Code::kSaslFinal, "v=x"),
        authentication(Code::kCleartextPassword) + authentication(Code::kCleartextPassword),
        ok() + ok(), ok() + authentication(Code::kCleartextPassword), encode(ready('I')),
        encode(BackendKeyData{1, as_bytes("abcd")}), encode(ParameterStatus{"a", "b"}),
        encode(CommandComplete{"SELECT 1"}), ok() + encode(CommandComplete{"SELECT 1"})}) {
    const Outcome outcome = run_script([&] { return Script{start(config_for(), reply)}; });
    EXPECT_TRUE(outcome.code == Errc::kProtocol || outcome.code == Errc::kAuthentication);
    EXPECT_THAT(outcome.error, Not(IsEmpty()));
    EXPECT_THAT(outcome.error, Not(HasSubstr(kPassword)));
  }
}

// Trap 5.
TEST(SessionStartup, CapsTheIterationsOfScram) {
  SessionLimits limits;
  limits.scram_iterations_max = 4096;
  for (const uint32_t iterations : {4096U, 4097U, 4'000'000'000U}) {
    auto server = scram_server();
    server.iterations = iterations;
    const Outcome outcome = run_script(
        [&] {
          Script script = scram_script(config_for(), server, {"SCRAM-SHA-256"});
          if (iterations > 4096) script.resize(2);
          return script;
        },
        {}, SIZE_MAX, limits);
    EXPECT_EQ(outcome.error.empty(), iterations == 4096);
    if (iterations > 4096) {
      EXPECT_EQ(outcome.code, Errc::kAuthentication);
      EXPECT_THAT(outcome.error, HasSubstr("scram_iterations_max"));
    }
  }
}

// ---- channel binding ----------------------------------------------------------------------------

// Trap 7: `require` refuses every exchange that does not bind the channel.
TEST(SessionStartup, ChannelBindingRequireRejectsEveryOtherExchange) {
  for (const std::string& reply :
       {ok() + after_ok(), authentication(Code::kCleartextPassword),
        authentication(Code::kMd5Password, "salt"), authentication_sasl({"SCRAM-SHA-256"})}) {
    const Outcome outcome =
        run_script([&] { return Script{start(tls_config(ChannelBinding::kRequire), reply)}; });
    EXPECT_EQ(outcome.code, Errc::kAuthentication);
    EXPECT_THAT(outcome.error, HasSubstr("channel_binding=require"));
    EXPECT_THAT(outcome.sent, Not(HasSubstr(kPassword)));
  }
  StartupConfig plain = config_for();
  plain.channel_binding = ChannelBinding::kRequire;
  const Outcome outcome =
      run_script([&] { return Script{start(plain, authentication_sasl({"SCRAM-SHA-256"}))}; });
  EXPECT_THAT(outcome.error, HasSubstr("no TLS"));
  for (const std::string& reply :
       {authentication(Code::kCleartextPassword), authentication(Code::kMd5Password, "salt")}) {
    const Outcome asked = run_script([&] { return Script{start(plain, reply)}; });
    EXPECT_EQ(asked.code, Errc::kAuthentication);
    EXPECT_EQ(asked.sent, run_script([&] { return Script{start(plain, "")}; }).sent)
        << "no proof leaves for a server that may be anybody";
  }
}

// Trap 7 (CVE-2026-54291): a certificate without a usable hash must not become "no binding".
TEST(SessionStartup, ACertificateWithoutHashIsNotADowngrade) {
  for (const auto binding : {ChannelBinding::kPrefer, ChannelBinding::kRequire}) {
    StartupConfig config = tls_config(binding);
    config.tls_server_end_point.clear();
    const Outcome outcome = run_script([&] {
      return Script{start(config, authentication_sasl({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}))};
    });
    EXPECT_EQ(outcome.code, Errc::kAuthentication);
    EXPECT_THAT(outcome.error, HasSubstr("certificate"));
  }
}

// Trap 7: 'y' tells the server that we could have; 'n' that we could not or would not.
TEST(SessionStartup, TheGs2FlagTellsTheTruth) {
  struct Case {
    StartupConfig config;
    std::initializer_list<std::string_view> offered;
    std::string flag;
  };
  StartupConfig over_tls_without_hash = tls_config(ChannelBinding::kPrefer);
  over_tls_without_hash.tls_server_end_point.clear();
  const Case cases[] = {
      {config_for(), {"SCRAM-SHA-256"}, "n,,n=,r="},
      {tls_config(ChannelBinding::kPrefer), {"SCRAM-SHA-256"}, "y,,n=,r="},
      {over_tls_without_hash, {"SCRAM-SHA-256"}, "y,,n=,r="},
      {tls_config(ChannelBinding::kDisable), {"SCRAM-SHA-256"}, "n,,n=,r="},
      {tls_config(ChannelBinding::kDisable), {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}, "n,,n=,r="},
      {tls_config(ChannelBinding::kPrefer),
       {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"},
       "p=tls-server-end-point,,n=,r="},
  };
  for (const Case& c : cases) {
    const Outcome outcome =
        run_script([&] { return Script{start(c.config, authentication_sasl(c.offered))}; });
    EXPECT_THAT(outcome.error, IsEmpty());
    EXPECT_THAT(outcome.sent, HasSubstr(c.flag));
  }
}

// Trap 7: a server that supports binding notices when somebody struck PLUS from its offer.
TEST(SessionStartup, AStrippedOfferIsNoticedByTheServer) {
  const auto make = [] {
    Script script =
        scram_script(tls_config(ChannelBinding::kPrefer), scram_server(kHash), {"SCRAM-SHA-256"});
    script.resize(2);
    return script;
  };
  EXPECT_THAT(run_script(make).events, ElementsAre(HasSubstr("malformed SCRAM message")));
}

TEST(SessionStartup, PlusOnAPlainConnectionIsRefused) {
  const Outcome outcome = run_script([] {
    return Script{
        start(config_for(), authentication_sasl({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}))};
  });
  EXPECT_EQ(outcome.code, Errc::kAuthentication);
  EXPECT_THAT(outcome.error, HasSubstr("without TLS"));
}

TEST(SessionStartup, RefusesUnknownMechanismsAndMalformedLists) {
  for (const std::string& reply :
       {authentication_sasl({"OAUTHBEARER"}), authentication_sasl({}),
        authentication(Code::kSasl, "SCRAM-SHA-256"),
        authentication(Code::kSasl, "SCRAM-SHA-256\0"sv),
        authentication(Code::kSasl, "SCRAM-SHA-256\0\0x"sv), authentication(Code::kSasl, "")}) {
    const Outcome outcome = run_script([&] { return Script{start(config_for(), reply)}; });
    EXPECT_EQ(outcome.code, Errc::kAuthentication);
  }
}

// ---- require_auth -------------------------------------------------------------------------------

// Trap 12: each method is accepted exactly where it is allowed.
TEST(SessionStartup, RequireAuthAllowsWhatItNames) {
  const std::pair<AuthMethod, std::string> methods[] = {
      {AuthMethod::kNone, ok() + after_ok()},
      {AuthMethod::kPassword, authentication(Code::kCleartextPassword)},
      {AuthMethod::kMd5, authentication(Code::kMd5Password, "salt")},
      {AuthMethod::kScramSha256, authentication_sasl({"SCRAM-SHA-256"})},
  };
  for (unsigned allowed = 1; allowed < 16; ++allowed) {
    for (const auto& [method, reply] : methods) {
      StartupConfig config = config_for();
      config.require_auth = static_cast<uint8_t>(allowed);
      const Outcome outcome = run_script([&] { return Script{start(config, reply)}; });
      const bool expected = (allowed & static_cast<unsigned>(method)) != 0;
      EXPECT_EQ(outcome.error.empty(), expected) << allowed << " " << static_cast<int>(method);
      if (!expected) {
        EXPECT_EQ(outcome.code, Errc::kAuthentication);
        EXPECT_THAT(outcome.error, HasSubstr("require_auth"));
        EXPECT_THAT(outcome.sent, Not(HasSubstr(kPassword)));
      }
    }
  }
  StartupConfig none = config_for();
  none.require_auth = 0;
  EXPECT_EQ(Session().startup(none).error().code, Errc::kUsage);
}

TEST(SessionStartup, RequireAuthNoneRefusesAServerThatAsks) {
  StartupConfig config = config_for();
  config.require_auth = static_cast<uint8_t>(AuthMethod::kNone);
  const Outcome outcome =
      run_script([&] { return Script{start(config, authentication(Code::kCleartextPassword))}; });
  EXPECT_EQ(outcome.code, Errc::kAuthentication);
  EXPECT_THAT(outcome.sent, Not(HasSubstr(kPassword)));
}

// ---- protocol version ---------------------------------------------------------------------------

StartupConfig config_32() {
  StartupConfig config = config_for();
  config.protocol_version = kProtocol32;
  config.parameters.emplace_back("_pq_.test", "1");
  return config;
}

TEST(SessionStartup, NegotiatesTheProtocolDown) {
  const Outcome outcome = replay_everywhere([] {
    return Script{
        start(config_32(), encode(NegotiateProtocolVersion{0, {"_pq_.test"}}) + ok() + after_ok())};
  });
  EXPECT_EQ(outcome.events.front(), "0 NegotiateProtocolVersion 3.0 _pq_.test");
  EXPECT_EQ(outcome.events.back(), "0 ReadyForQuery I");
}

// What was asked for is not what is spoken: the server has the last word.
TEST(SessionStartup, SpeaksTheProtocolThatTheServerAgreedTo) {
  const auto version_after = [](const StartupConfig& config, const std::string& answer) {
    int32_t version = 0;
    const Outcome outcome = run_script([&] {
      return Script{start(config, answer + ok() + after_ok()),
                    ask([&](Session& s) { version = s.protocol_version(); }, "")};
    });
    EXPECT_THAT(outcome.error, IsEmpty());
    return version;
  };
  const std::string down = encode(NegotiateProtocolVersion{0, {}});
  const std::string down_without_option = encode(NegotiateProtocolVersion{0, {"_pq_.test"}});
  EXPECT_EQ(version_after(config_32(), down), kProtocol30);
  EXPECT_EQ(version_after(config_32(), down_without_option), kProtocol30);
  EXPECT_EQ(version_after(config_32(), ""), kProtocol32);
  EXPECT_EQ(version_after(config_for(), ""), kProtocol30);
}

TEST(SessionStartup, KeepsTheVersionWhereOnlyAnOptionIsUnknown) {
  int32_t version = 0;
  const Outcome outcome = run_script([&] {
    return Script{
        start(config_32(), encode(NegotiateProtocolVersion{2, {"_pq_.test"}}) + ok() + after_ok()),
        ask([&](Session& s) { version = s.protocol_version(); }, "")};
  });
  EXPECT_THAT(outcome.error, IsEmpty());
  EXPECT_EQ(version, kProtocol32);
}

TEST(SessionStartup, RefusesANegotiationThatMakesNoSense) {
  const std::string good = encode(NegotiateProtocolVersion{0, {}});
  for (const std::string& reply :
       {encode(NegotiateProtocolVersion{1, {}}), encode(NegotiateProtocolVersion{3, {}}),
        encode(NegotiateProtocolVersion{2, {}}),
        encode(NegotiateProtocolVersion{0, {"_pq_.other"}}),
        encode(NegotiateProtocolVersion{0, {"database"}}), good + good, ok() + good,
        authentication(Code::kCleartextPassword) + good}) {
    const Outcome outcome = run_script([&] { return Script{start(config_32(), reply)}; });
    EXPECT_EQ(outcome.code, Errc::kProtocol) << outcome.error;
  }
}

// Trap 11: the length of the key follows the protocol that was negotiated.
TEST(SessionStartup, CancelKeysFollowTheProtocol) {
  for (const bool newer : {false, true}) {
    for (const size_t size : {4, 5, 32, 256}) {
      const std::string key(size, 'k');
      std::string seen;
      const Outcome outcome = run_script([&] {
        return Script{start(newer ? config_32() : config_for(),
                            ok() + encode_all({BackendKeyData{1, as_bytes(key)}, ready('I')})),
                      ask([&](Session& s) { seen = as_text(s.cancel_key()); }, "")};
      });
      EXPECT_EQ(outcome.error.empty(), newer || size == 4) << outcome.error;
      EXPECT_EQ(seen, outcome.error.empty() ? key : "");
    }
  }
}

TEST(SessionStartup, CancelKeysFollowTheProtocolThatTheServerAgreedTo) {
  for (const size_t size : {4, 5, 32}) {
    const std::string key(size, 'k');
    const Outcome outcome = run_script([&] {
      return Script{
          start(config_32(), encode(NegotiateProtocolVersion{0, {}}) + ok() +
                                 encode_all({BackendKeyData{1, as_bytes(key)}, ready('I')}))};
    });
    EXPECT_EQ(outcome.error.empty(), size == 4) << size << ": " << outcome.error;
  }
}

TEST(SessionStartup, TheStateIsAvailableAfterIt) {
  bool checked = false;
  const auto check = [&](Session& session) {
    EXPECT_TRUE(session.startup_done());
    EXPECT_EQ(session.backend_process_id(), 4711);
    EXPECT_EQ(session.parameter("server_version"), "15.20");
    EXPECT_EQ(session.parameter("nosuch"), "");
    EXPECT_EQ(session.pending_requests(), 0U);
    checked = true;
  };
  run_script([&] { return Script{start(config_for(), ok() + after_ok()), ask(check, "")}; });
  EXPECT_TRUE(checked);
}

// Trap 23: notices may come before the authentication is done, and are only notices.
TEST(SessionStartup, NoticesMayComeAtAnyTime) {
  NoticeResponse notice;
  notice.severity = "NOTICE";
  notice.message = "hello";
  const std::string hello = encode(notice);
  const Outcome outcome = replay_everywhere([&] {
    return Script{start(config_for(), hello + authentication(Code::kCleartextPassword)),
                  say(hello + ok() + hello + after_ok() + hello)};
  });
  EXPECT_EQ(outcome.events.size(), kStartupEvents.size() + 4);
  EXPECT_THAT(outcome.error, IsEmpty());
}

// ---- encoding and limits ------------------------------------------------------------------------

// Trap 32.
TEST(SessionStartup, FailsWhereTheServerReportsAnotherEncoding) {
  for (const char* encoding : {"LATIN1", "SQL_ASCII", "", "UTF8 "}) {
    const Outcome outcome = run_script([&] {
      return Script{
          start(config_for(), ok() + encode(ParameterStatus{"client_encoding", encoding}))};
    });
    EXPECT_EQ(outcome.code, Errc::kProtocol) << encoding;
    EXPECT_THAT(outcome.error, HasSubstr("client_encoding"));
  }
}

TEST(SessionStartup, LimitsTheParametersHeld) {
  SessionLimits limits;
  limits.parameters_max = 3;
  limits.parameters_bytes_max = 100;
  const auto report = [&](const std::vector<std::pair<std::string, std::string>>& parameters) {
    std::string reply = ok();
    for (const auto& [name, value] : parameters) reply += encode(ParameterStatus{name, value});
    return run_script([&] { return Script{start(config_for(), reply)}; }, {}, SIZE_MAX, limits);
  };
  const std::string forty(40, 'x');
  EXPECT_EQ(report({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"a", "4"}, {"b", forty}}).error, "");
  EXPECT_EQ(report({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}).code, Errc::kLimit);
  EXPECT_EQ(report({{"a", forty}, {"a", forty}, {"b", forty}}).error, "");
  EXPECT_EQ(report({{"a", forty}, {"b", forty}, {"c", forty}}).code, Errc::kLimit);
}

TEST(SessionStartup, StrangersMayOnlySendSmallMessages) {
  const std::string notice = raw_message('N', "M" + std::string(30'000, 'x') + "\0\0"s);
  for (const std::string& before : {std::string(), authentication(Code::kCleartextPassword)}) {
    const Outcome outcome =
        run_script([&] { return Script{start(config_for(), before + notice)}; });
    EXPECT_EQ(outcome.code, Errc::kLimit);
  }
  const Outcome known =
      run_script([&] { return Script{start(config_for(), ok() + notice + after_ok())}; });
  EXPECT_THAT(known.error, IsEmpty());
}

TEST(SessionStartup, UnderstandsTheErrorOfAServerThatCannotFork) {
  const Outcome outcome = run_script([] {
    return Script{start(config_for(), "Ecould not fork new process for connection: secret\n\0"s)};
  });
  EXPECT_EQ(outcome.code, Errc::kConnect);
  EXPECT_THAT(outcome.error, Not(HasSubstr("secret")));
}

// ---- TLS ----------------------------------------------------------------------------------------

Session::TlsAnswer tls_answer(std::string_view bytes, Error* error = nullptr) {
  Session session;
  session.request_tls();
  EXPECT_EQ(as_text(session.output()), "\0\0\0\x08\x04\xd2\x16\x2f"sv);
  session.output_sent(session.output().size());
  EXPECT_EQ(*session.tls_answer(), Session::TlsAnswer::kPending);
  const MutableBytes space = session.receive_space();
  std::memcpy(space.data(), bytes.data(), bytes.size());
  session.received(bytes.size());
  EXPECT_FALSE(*session.next_event());
  const auto answer = session.tls_answer();
  if (answer) {
    EXPECT_TRUE(session.startup(config_for()));
    return *answer;
  }
  if (error != nullptr) *error = answer.error();
  EXPECT_FALSE(session.startup(config_for())) << "the failure sticks";
  return Session::TlsAnswer::kPending;
}

TEST(SessionTls, UnderstandsTheAnswer) {
  EXPECT_EQ(tls_answer("S"), Session::TlsAnswer::kAccepted);
  EXPECT_EQ(tls_answer("N"), Session::TlsAnswer::kRefused);
}

// Trap 9 (CVE-2021-23222): bytes that came before the encryption would be taken for encrypted ones.
TEST(SessionTls, RejectsBytesStuffedBehindTheAnswer) {
  for (const std::string& stuffed :
       {"S" + ok(), std::string("SS"), "N" + ok(), std::string("S\0", 2)}) {
    Error error;
    EXPECT_EQ(tls_answer(stuffed, &error), Session::TlsAnswer::kPending);
    EXPECT_EQ(error.code, Errc::kProtocol);
  }
}

// Trap 9 (CVE-2024-10977): what a stranger says before TLS is not shown.
TEST(SessionTls, DoesNotShowAnErrorThatComesBeforeTls) {
  Error error;
  EXPECT_EQ(tls_answer(encode(error_response("FATAL", "0A000", "call 0900-EVIL")), &error),
            Session::TlsAnswer::kPending);
  EXPECT_EQ(error.code, Errc::kProtocol);
  EXPECT_THAT(error.to_string(), Not(HasSubstr("EVIL")));
}

TEST(SessionTls, RejectsUnknownAnswers) {
  for (const char* answer : {"G", "s", "H", "R", "\x16"}) {
    Error error;
    EXPECT_EQ(tls_answer(answer, &error), Session::TlsAnswer::kPending);
    EXPECT_EQ(error.code, Errc::kProtocol);
  }
}

TEST(SessionTls, EndWithoutAnswerIsNoticed) {
  Session session;
  session.request_tls();
  const Status end = session.received_eof();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Errc::kConnect);
}

// Trap 10: nothing of an attempt survives it, because a session is made anew for each; and it
// cannot be started twice.
TEST(SessionStartup, HappensOnce) {
  Session session;
  EXPECT_TRUE(session.startup(config_for()));
  EXPECT_EQ(session.startup(config_for()).error().code, Errc::kUsage);
  EXPECT_EQ(session.query("SELECT 1").error().code, Errc::kUsage);
  session.request_tls();
  const auto event = session.next_event();
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, Errc::kUsage);
}

}  // namespace
