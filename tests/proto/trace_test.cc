#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <pgproto/trace.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;
using namespace pgsink::test;
using namespace std::string_view_literals;
using ::testing::HasSubstr;
using ::testing::Not;

std::string read_golden(const std::string& name) {
  std::ifstream file(PGSINK_SOURCE_DIR "/tests/golden/proto/pqtrace/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The lines of one sender, without those of CopyData.
std::vector<std::string> lines_of(const std::string& trace, char sender) {
  std::vector<std::string> lines;
  std::istringstream in(trace);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] != sender) continue;
    const bool copy_data = line.ends_with("\tCopyData") || line.ends_with("\t");
    if (!copy_data) lines.push_back(line);
  }
  return lines;
}

std::string trace_of(std::string_view stream, Sender sender) {
  std::string text;
  while (!stream.empty()) {
    const size_t length = load_be<uint32_t>(as_bytes(stream).data() + 1);
    trace_message(text, sender, stream[0], as_bytes(stream.substr(5, length - 4)));
    stream.remove_prefix(length + 1);
  }
  return text;
}

TEST(Trace, WritesTheLinesOfPqtrace) {
  const std::string golden = read_golden("trace.txt");
  ASSERT_GT(lines_of(golden, 'F').size(), 40U);
  ASSERT_GT(lines_of(golden, 'B').size(), 70U);
  EXPECT_EQ(lines_of(trace_of(read_golden("frontend.bin"), Sender::kFrontend), 'F'),
            lines_of(golden, 'F'));
  EXPECT_EQ(lines_of(trace_of(read_golden("backend.bin"), Sender::kBackend), 'B'),
            lines_of(golden, 'B'));
}

TEST(Trace, TheGoldenBytesAreWholeMessages) {
  const auto lines = frontend_messages(read_golden("frontend.bin"));
  EXPECT_EQ(lines.front().substr(0, 8), "Query SE");
  EXPECT_EQ(lines.back(), "Terminate");
}

std::string line(Sender sender, std::string_view message,
                 AuthResponse auth = AuthResponse::kPassword) {
  std::string text;
  trace_message(text, sender, message[0], as_bytes(message.substr(5)), auth);
  return text;
}

TEST(Trace, WritesTheMessagesThatTheGoldenLacks) {
  EXPECT_EQ(line(Sender::kFrontend, raw_message('d', "rows")), "F\t8\tCopyData\n");
  EXPECT_EQ(line(Sender::kFrontend,
                 raw_message(
                     'F', "\0\0\5\x75\0\1\0\1\0\2\0\0\0\4\xff\xff\xff\xfb\xff\xff\xff\xff\0\1"sv)),
            "F\t28\tFunctionCall\t 1397 1 1 2 4 '\\xff\\xff\\xff\\xfb' -1 1\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('V', "\0\0\0\1x"sv)),
            "B\t9\tFunctionCallResponse\t 1 'x'\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('V', "\xff\xff\xff\xff")),
            "B\t8\tFunctionCallResponse\t -1\n");
  EXPECT_EQ(line(Sender::kBackend, encode(NegotiateProtocolVersion{0, {"_pq_.a"}})),
            "B\t19\tNegotiateProtocolVersion\t 196608 1 \"_pq_.a\"\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('s', "")), "B\t4\tPortalSuspended\n");
  EXPECT_EQ(line(Sender::kFrontend, raw_message('C', "Sname\0"sv)), "F\t10\tClose\t S \"name\"\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('3', "")), "B\t4\tCloseComplete\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('~', "x")), "B\t5\tUnknown message: 7e\n");
}

// Secrets never reach a trace.
TEST(Trace, RedactsPasswordsKeysAndSaslData) {
  const std::string lines[] = {
      line(Sender::kFrontend, raw_message('p', "geheim\0"sv)),
      line(Sender::kFrontend, raw_message('p', "SCRAM-SHA-256\0\0\0\0\6geheim"sv),
           AuthResponse::kSaslInitial),
      line(Sender::kFrontend, raw_message('p', "geheim"), AuthResponse::kSasl),
      line(Sender::kBackend, authentication(Authentication::Code::kSaslContinue, "geheim")),
      line(Sender::kBackend, authentication(Authentication::Code::kSaslFinal, "geheim")),
      line(Sender::kBackend, authentication(Authentication::Code::kMd5Password, "gehe")),
      line(Sender::kBackend, encode(BackendKeyData{7, as_bytes("geheim")})),
  };
  const std::string_view expected[] = {
      "F\t11\tPasswordMessage\t \"SSSS\"\n",
      "F\t28\tSASLInitialResponse\t \"SCRAM-SHA-256\" 6 'BBBB'\n",
      "F\t10\tSASLResponse\t 'BBBB'\n",
      "B\t14\tAuthenticationSASLContinue\t 'BBBB'\n",
      "B\t14\tAuthenticationSASLFinal\t 'BBBB'\n",
      "B\t12\tAuthenticationMD5Password\n",
      "B\t14\tBackendKeyData\t 7 NNNN\n",
  };
  for (size_t i = 0; i < std::size(lines); ++i) {
    EXPECT_EQ(lines[i], expected[i]);
    EXPECT_THAT(lines[i], Not(HasSubstr("geheim")));
  }
  std::string cancel;
  trace_startup_packet(cancel, as_bytes("\x04\xd2\x16\x2e\0\0\0\7geheim"sv));
  EXPECT_EQ(cancel, "F\t18\tCancelRequest\t 1234 5678 7 NNNN\n");
  EXPECT_EQ(line(Sender::kBackend, authentication_sasl({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"})),
            "B\t42\tAuthenticationSASL\t \"SCRAM-SHA-256-PLUS\" \"SCRAM-SHA-256\" \"\"\n");
}

TEST(Trace, SaysWhereAMessageIsNotWhole) {
  EXPECT_EQ(line(Sender::kFrontend, raw_message('Q', "no end")),
            "F\t10\tQuery\t\nmismatched message length: too short of 10\n");
  EXPECT_EQ(line(Sender::kBackend, raw_message('Z', "Ixx")),
            "B\t7\tReadyForQuery\t I\nmismatched message length: 2 bytes left over of 7\n");
  EXPECT_THAT(line(Sender::kBackend, raw_message('D', "\xff\xff\xff\xff\xff\xff\xff\xfe")),
              HasSubstr("too short"));
}

const std::string kClient = std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8) +
                            std::string("\0\0\0\x16\0\3\0\0user\0bob\0a\0b\0\0", 22) +
                            raw_message('p', "SCRAM-SHA-256\0\0\0\0\6geheim"sv) +
                            raw_message('p', "geheim") + raw_message('Q', "SELECT 1\0"sv) +
                            raw_message('d', std::string(500, 'x')) +
                            raw_message('Q', std::string(500, 'y') + '\0') + raw_message('X', "");
const std::string kServer = "S" + authentication_sasl({"SCRAM-SHA-256"}) +
                            authentication(Authentication::Code::kSaslContinue, "geheim") +
                            authentication(Authentication::Code::kOk) + encode(ready('I'));

constexpr const char* kLines =
    "F\t8\tSSLRequest\t 1234 5679\n"
    "B\t1\tSSLResponse\t S\n"
    "F\t22\tStartupMessage\t 3 0 \"user\" \"bob\" \"a\" \"b\"\n"
    "B\t23\tAuthenticationSASL\t \"SCRAM-SHA-256\" \"\"\n"
    "F\t28\tSASLInitialResponse\t \"SCRAM-SHA-256\" 6 'BBBB'\n"
    "B\t14\tAuthenticationSASLContinue\t 'BBBB'\n"
    "F\t10\tSASLResponse\t 'BBBB'\n"
    "B\t8\tAuthenticationOk\n"
    "B\t5\tReadyForQuery\t I\n"
    "F\t13\tQuery\t \"SELECT 1\"\n"
    "F\t504\tCopyData\n"
    "F\t505\tMessage of type Q, too large to be kept\n"
    "F\t4\tTerminate\n";

// The tracer sees bytes as the network cuts them, and knows from the server's questions what an
// answer of type 'p' is.
TEST(Tracer, WritesAConversationHoweverItIsCut) {
  const size_t turns[][2] = {{8, 1}, {22, 24}, {29, 15}, {11, 9 + 6}};
  for (size_t piece = 1; piece < 40; ++piece) {
    Tracer tracer(300);
    std::string text;
    std::string_view client = kClient;
    std::string_view server = kServer;
    const auto feed = [&](bool from_client, size_t size) {
      std::string_view& stream = from_client ? client : server;
      std::string_view part = stream.substr(0, size);
      stream.remove_prefix(part.size());
      for (; !part.empty(); part.remove_prefix(std::min(piece, part.size()))) {
        const Bytes bytes = as_bytes(part.substr(0, piece));
        from_client ? tracer.frontend(bytes, text) : tracer.backend(bytes, text);
      }
    };
    for (const auto& [from_client, from_server] : turns) {
      feed(true, from_client);
      feed(false, from_server);
    }
    feed(true, client.size());
    EXPECT_TRUE(server.empty());
    EXPECT_EQ(text, kLines) << "pieces of " << piece;
  }
}

// A reader of lines must not take a part of a text for a message, nor a terminal act on it.
TEST(Tracer, AMessageIsOneLine) {
  Tracer tracer;
  std::string text;
  tracer.frontend(as_bytes("\0\0\0\x08\0\x03\0\0"sv), text);
  text.clear();
  tracer.frontend(as_bytes("Q\0\0\0\x0d"
                           "a\nb\x1b\x7f\tc\xc3\0"sv),
                  text);
  EXPECT_EQ(text, "F\t13\tQuery\t \"a\\nb\\x1b\\x7f\tc\xc3\"\n");
}

}  // namespace
