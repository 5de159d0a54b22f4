#include <cstdlib>
#include <string>

#include <pgproto/frontend.h>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;
using namespace std::string_view_literals;
using pgsink::test::describe;
using pgsink::test::frontend_messages;
using pgsink::test::raw_message;

std::string bytes_of(const OutputBuffer& out) { return std::string(as_text(out.unsent())); }

// What was encoded, decoded again as a message of type byte `type`.
std::string decoded(const OutputBuffer& out, AuthResponse auth = AuthResponse::kPassword) {
  const Bytes bytes = out.unsent();
  EXPECT_GE(bytes.size(), 5U);
  EXPECT_EQ(load_be<uint32_t>(bytes.data() + 1), bytes.size() - 1);
  const auto message = decode_frontend(static_cast<char>(bytes[0]), bytes.subspan(5), auth);
  return message ? describe(*message) : message.error().message;
}

std::string decoded_startup(const OutputBuffer& out) {
  const Bytes bytes = out.unsent();
  EXPECT_GE(bytes.size(), 8U);
  EXPECT_EQ(load_be<uint32_t>(bytes.data()), bytes.size());
  const auto packet = decode_startup_packet(bytes.subspan(4));
  return packet ? describe(*packet) : packet.error().message;
}

TEST(Frontend, StartupPacketsSurviveTheRoundTrip) {
  const std::vector<std::pair<std::string, std::string>> parameters = {
      {"user", "alice"}, {"database", ""}, {"options", "-c x=1"}};
  OutputBuffer startup;
  ASSERT_TRUE(encode_startup(startup, (3 << 16) | 2, parameters));
  EXPECT_EQ(decoded_startup(startup), "StartupMessage 3.2 user=alice database= options=-c x=1");
  OutputBuffer ssl;
  ASSERT_TRUE(encode_ssl_request(ssl));
  EXPECT_EQ(bytes_of(ssl), "\0\0\0\x08\x04\xd2\x16\x2f"sv);
  EXPECT_EQ(decoded_startup(ssl), "SSLRequest");
  OutputBuffer gss;
  ASSERT_TRUE(encode_gssenc_request(gss));
  EXPECT_EQ(decoded_startup(gss), "GSSENCRequest");
}

TEST(Frontend, MessagesSurviveTheRoundTrip) {
  const Oid types[] = {23, 0, 4294967295U};
  const BindParameter parameters[] = {{as_bytes("42"), 0}, {std::nullopt, 1}, {as_bytes(""), 1}};
  const std::pair<std::function<Status(OutputBuffer&)>, std::string> cases[] = {
      {[](auto& o) { return encode_query(o, "SELECT 1"); }, "Query SELECT 1"},
      {[](auto& o) { return encode_query(o, ""); }, "Query "},
      {[&](auto& o) { return encode_parse(o, "s", "SELECT $1", types); },
       "Parse \"s\" SELECT $1 23 0 4294967295"},
      {[&](auto& o) { return encode_parse(o, "", "", {}); }, "Parse \"\" "},
      {[&](auto& o) { return encode_bind(o, "p", "s", parameters, 1); },
       "Bind \"p\" \"s\" 0:42 1:NULL 1: -> 1"},
      {[&](auto& o) { return encode_bind(o, "", "", {}, 0); }, "Bind \"\" \"\" -> 0"},
      {[](auto& o) { return encode_describe(o, Target::kStatement, "s"); }, "Describe S \"s\""},
      {[](auto& o) { return encode_describe(o, Target::kPortal, ""); }, "Describe P \"\""},
      {[](auto& o) { return encode_execute(o, "p", 100); }, "Execute \"p\" 100"},
      {[](auto& o) { return encode_close(o, Target::kStatement, "s"); }, "Close S \"s\""},
      {[](auto& o) { return encode_close(o, Target::kPortal, "p"); }, "Close P \"p\""},
      {[](auto& o) { return encode_sync(o); }, "Sync"},
      {[](auto& o) { return encode_flush(o); }, "Flush"},
      {[&](auto& o) { return encode_function_call(o, 1598, parameters, 1); },
       "FunctionCall 1598 0:42 1:NULL 1: -> 1"},
      {[](auto& o) { return encode_copy_data(o, as_bytes("a\tb\n")); }, "CopyData a\\x09b\\x0a"},
      {[](auto& o) { return encode_copy_done(o); }, "CopyDone"},
      {[](auto& o) { return encode_copy_fail(o, "why"); }, "CopyFail why"},
      {[](auto& o) { return encode_terminate(o); }, "Terminate"},
      {[](auto& o) { return encode_password(o, "secret"); }, "PasswordMessage secret"},
  };
  for (const auto& [encode, expected] : cases) {
    OutputBuffer out;
    ASSERT_TRUE(encode(out)) << expected;
    EXPECT_EQ(decoded(out), expected);
    // Every shorter body is refused: nothing is read that is not there.
    const Bytes bytes = out.unsent();
    for (size_t size = 5; size < bytes.size(); ++size) {
      if (bytes[0] == std::byte{'d'}) break;  // Any body is a CopyData.
      EXPECT_FALSE(decode_frontend(static_cast<char>(bytes[0]), bytes.subspan(5, size - 5)))
          << expected << " cut to " << size;
    }
  }
}

TEST(Frontend, SaslResponsesSurviveTheRoundTrip) {
  OutputBuffer initial;
  ASSERT_TRUE(encode_sasl_initial_response(initial, "SCRAM-SHA-256", as_bytes("n,,n=,r=x")));
  EXPECT_EQ(decoded(initial, AuthResponse::kSaslInitial),
            "SASLInitialResponse SCRAM-SHA-256 n,,n=,r=x");
  OutputBuffer without;
  ASSERT_TRUE(encode_sasl_initial_response(without, "EXTERNAL", std::nullopt));
  EXPECT_EQ(decoded(without, AuthResponse::kSaslInitial), "SASLInitialResponse EXTERNAL NULL");
  OutputBuffer response;
  ASSERT_TRUE(encode_sasl_response(response, as_bytes("c=biws")));
  EXPECT_EQ(decoded(response, AuthResponse::kSasl), "SASLResponse c=biws");
}

TEST(Frontend, MessagesFollowEachOtherInTheBuffer) {
  OutputBuffer out;
  ASSERT_TRUE(encode_parse(out, "", "SELECT 1", {}));
  ASSERT_TRUE(encode_execute(out, "", 0));
  ASSERT_TRUE(encode_sync(out));
  EXPECT_EQ(frontend_messages(bytes_of(out)),
            (std::vector<std::string>{"Parse \"\" SELECT 1", "Execute \"\" 0", "Sync"}));
}

// Trap 1: lengths of a GiB and more are refused before anything is copied. The text is memory that
// was never touched, so that the test costs none.
TEST(Frontend, RefusesTextsOfOneGibibyte) {
  constexpr size_t kSize = size_t{1} << 30;
  const std::unique_ptr<char, void (*)(void*)> memory(static_cast<char*>(std::calloc(kSize, 1)),
                                                      std::free);
  ASSERT_NE(memory, nullptr);
  const std::string_view huge(memory.get(), kSize);
  OutputBuffer out;
  for (const Status& status :
       {encode_query(out, huge), encode_parse(out, "", huge, {}), encode_parse(out, huge, "", {}),
        encode_bind(out, huge, "", {}, 0), encode_bind(out, "", huge, {}, 0),
        encode_copy_data(out, as_bytes(huge)), encode_copy_fail(out, huge),
        encode_password(out, huge), encode_execute(out, huge, 0),
        encode_describe(out, Target::kPortal, huge), encode_close(out, Target::kPortal, huge),
        encode_sasl_response(out, as_bytes(huge))}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kLimit) << status.error().message;
  }
  EXPECT_TRUE(out.unsent().empty());
  EXPECT_EQ(out.capacity(), 0U);
}

// Trap 1, as in CVE-2024-27304: parameters that are small each and wrap 32 bits together.
TEST(Frontend, RefusesABindWhoseParametersWouldWrapTheLength) {
  constexpr size_t kSize = size_t{1} << 20;
  const std::string megabyte(kSize, 'x');
  const std::vector<BindParameter> parameters(4096, BindParameter{as_bytes(megabyte), 1});
  OutputBuffer out;
  const Status bind = encode_bind(out, "", "", parameters, 0);
  ASSERT_FALSE(bind);
  EXPECT_EQ(bind.error().code, Errc::kLimit);
  const Status call = encode_function_call(out, 1, parameters, 0);
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().code, Errc::kLimit);
  EXPECT_EQ(out.capacity(), 0U);
  const Bytes impossible(as_bytes(megabyte).data(), SIZE_MAX - 8);
  const BindParameter wraps[] = {{impossible, 1}, {impossible, 1}};
  EXPECT_FALSE(encode_bind(out, "", "", wraps, 0));
}

// Trap 2: the count is an unsigned 16-bit integer.
TEST(Frontend, AcceptsParametersUpTo65535) {
  const std::vector<BindParameter> parameters(65'535, BindParameter{as_bytes("1"), 0});
  const std::vector<Oid> types(65'535, 23);
  OutputBuffer bind;
  ASSERT_TRUE(encode_bind(bind, "", "", parameters, 0));
  const auto message = decode_frontend('B', bind.unsent().subspan(5));
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Bind>(*message).parameters.size(), 65'535U);
  OutputBuffer parse;
  ASSERT_TRUE(encode_parse(parse, "", "", types));
  const auto parsed = decode_frontend('P', parse.unsent().subspan(5));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(std::get<Parse>(*parsed).types.size(), 65'535U);

  const std::vector<BindParameter> too_many(65'536);
  EXPECT_EQ(encode_bind(bind, "", "", too_many, 0).error().code, Errc::kLimit);
  EXPECT_EQ(encode_function_call(bind, 1, too_many, 0).error().code, Errc::kLimit);
  EXPECT_EQ(encode_parse(parse, "", "", std::vector<Oid>(65'536)).error().code, Errc::kLimit);
}

// Trap 13: a NUL would start the next field, and with it another parameter or statement.
TEST(Frontend, RefusesNulInEveryText) {
  const std::string nul("a\0user\0admin", 12);
  OutputBuffer out;
  for (const std::string& place : {std::string("\0", 1), std::string("\0a", 2),
                                   std::string("a\0", 2), std::string(100, 'a') + '\0'}) {
    EXPECT_EQ(encode_query(out, place).error().code, Errc::kUsage) << place.size();
  }
  const std::vector<std::pair<std::string, std::string>> name = {{nul, "x"}};
  const std::vector<std::pair<std::string, std::string>> value = {{"application_name", nul}};
  for (const Status& status :
       {encode_query(out, nul), encode_parse(out, nul, "", {}), encode_parse(out, "", nul, {}),
        encode_bind(out, nul, "", {}, 0), encode_bind(out, "", nul, {}, 0),
        encode_describe(out, Target::kStatement, nul), encode_execute(out, nul, 0),
        encode_close(out, Target::kPortal, nul), encode_copy_fail(out, nul),
        encode_password(out, nul), encode_sasl_initial_response(out, nul, std::nullopt),
        encode_startup(out, 3 << 16, name), encode_startup(out, 3 << 16, value)}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kUsage);
    EXPECT_EQ(status.error().message.find("admin"), std::string::npos) << "content in the error";
  }
  EXPECT_TRUE(out.unsent().empty());
  // A startup parameter without name would end the list.
  const std::vector<std::pair<std::string, std::string>> empty = {{"", "x"}};
  EXPECT_FALSE(encode_startup(out, 3 << 16, empty));
}

TEST(Frontend, RefusesAStartupThatTheServerWouldNotRead) {
  const std::vector<std::pair<std::string, std::string>> large = {{"a", std::string(5000, 'x')},
                                                                  {"b", std::string(5000, 'x')}};
  OutputBuffer out;
  EXPECT_EQ(encode_startup(out, 3 << 16, large).error().code, Errc::kLimit);
}

// Trap 11: 4 bytes under 3.0, 4 to 256 under 3.2.
TEST(Frontend, CancelRequestKeepsKeysOf4To256Bytes) {
  for (const size_t size : {4, 5, 32, 255, 256}) {
    OutputBuffer out;
    const std::string key(size, 'k');
    ASSERT_TRUE(encode_cancel_request(out, -5, as_bytes(key)));
    EXPECT_EQ(decoded_startup(out), "CancelRequest -5 " + key);
  }
  for (const size_t size : {0, 3, 257}) {
    OutputBuffer out;
    EXPECT_EQ(encode_cancel_request(out, 1, as_bytes(std::string(size, 'k'))).error().code,
              Errc::kUsage);
  }
}

TEST(Frontend, DecoderRefusesCountsThatCannotBe) {
  const std::string_view bodies[] = {
      "\0\0\xff\xff"sv,  // Parse: 65535 types, none there
      "\0\0\0\1\0\0"sv,  // Parse: one type of two bytes
  };
  for (const auto body : bodies) EXPECT_FALSE(decode_frontend('P', as_bytes(body)));
  EXPECT_FALSE(decode_frontend('B', as_bytes("\0\0\0\2\0\0\0\0\0\1\xff\xff\xff\xff\0\0"sv)));
  EXPECT_FALSE(decode_frontend('B', as_bytes("\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"sv)));
  EXPECT_FALSE(decode_frontend('B', as_bytes("\0\0\0\0\0\1\0\0\0\5abcd\0\0"sv)));
  EXPECT_FALSE(decode_frontend('D', as_bytes("Xname\0"sv)));
  EXPECT_FALSE(decode_frontend('?', {}));
  EXPECT_FALSE(decode_frontend('S', as_bytes("x"sv)));
  EXPECT_FALSE(decode_startup_packet(as_bytes("\0\3\0\0user\0"sv)));
  EXPECT_FALSE(decode_startup_packet(as_bytes("\0\3\0\0user\0u\0\0x"sv)));
  EXPECT_FALSE(decode_startup_packet(as_bytes("\0\3"sv)));
}

}  // namespace
