#include <string>

#include <pgproto/backend.h>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;
using namespace std::string_view_literals;
using pgsink::test::describe;
using pgsink::test::encode;

Result<BackendMessage> decode(const std::string& bytes) {
  return decode_backend(bytes[0], as_bytes(bytes).subspan(5));
}

ErrorResponse full_error() {
  ErrorResponse error;
  error.severity = "FEHLER";
  error.severity_plain = "ERROR";
  error.sqlstate = Sqlstate("23505");
  error.message = "duplicate key";
  error.detail = "Key (a)=(1)";
  error.hint = "a hint";
  error.where = "COPY t, line 8, column b";
  error.schema = "public";
  error.table = "t";
  error.column = "b";
  error.data_type = "int4";
  error.constraint = "t_pkey";
  error.routine = "_bt_check_unique";
  return error;
}

std::vector<BackendMessage> one_of_each() {
  NoticeResponse notice;
  static_cast<DiagnosticFields&>(notice) = full_error();
  RowDescription rows;
  rows.fields = {{"a", 16384, 1, 23, 4, -1, 1}, {"", 0, -1, 4294967295U, -1, 260, 0}};
  DataRow row;
  row.values = {as_bytes("1"), std::nullopt, as_bytes("")};
  CopyInResponse in;
  in.format = 1;
  in.column_formats = {1, 1, 0};
  CopyOutResponse out;
  out.column_formats = {0};
  CopyBothResponse both;
  return {
      Authentication{Authentication::Code::kOk, {}},
      Authentication{Authentication::Code::kMd5Password, as_bytes("salt")},
      Authentication{Authentication::Code::kSaslContinue, as_bytes("r=x,s=y,i=1")},
      BackendKeyData{-7, as_bytes("key4")},
      NegotiateProtocolVersion{0, {"_pq_.a", "_pq_.b"}},
      ParameterStatus{"client_encoding", "UTF8"},
      ReadyForQuery{ReadyForQuery::Status::kInTransaction},
      full_error(),
      notice,
      NotificationResponse{77, "channel", "payload"},
      rows,
      RowDescription{},
      row,
      DataRow{},
      CommandComplete{"COPY 2"},
      in,
      out,
      both,
      CopyData{as_bytes("a\tb\n")},
      CopyData{},
      CopyDone{},
      EmptyQueryResponse{},
      ParseComplete{},
      BindComplete{},
      CloseComplete{},
      NoData{},
      PortalSuspended{},
      ParameterDescription{{23, 25, 0}},
      FunctionCallResponse{as_bytes("v")},
      FunctionCallResponse{std::nullopt},
  };
}

TEST(Backend, MessagesSurviveTheRoundTrip) {
  for (const BackendMessage& message : one_of_each()) {
    const std::string bytes = encode(message);
    const auto again = decode(bytes);
    ASSERT_TRUE(again) << describe(message) << ": " << again.error().message;
    EXPECT_EQ(again->index(), message.index());
    EXPECT_EQ(describe(*again), describe(message));
  }
}

TEST(Backend, EveryMessageOfTheVariantIsTested) {
  std::vector<bool> seen(std::variant_size_v<BackendMessage>);
  for (const BackendMessage& message : one_of_each()) seen[message.index()] = true;
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << i;
}

TEST(Backend, RefusesEveryShorterAndEveryLongerBody) {
  for (const BackendMessage& message : one_of_each()) {
    const std::string bytes = encode(message);
    const bool open_ended = bytes[0] == 'd' || bytes[0] == 'R' || bytes[0] == 'K';
    for (size_t size = 5; size < bytes.size(); ++size) {
      const auto cut = decode_backend(bytes[0], as_bytes(bytes).subspan(5, size - 5));
      EXPECT_TRUE(open_ended || !cut) << describe(message) << " cut to " << size;
    }
    const auto longer = decode(bytes + "x");
    EXPECT_TRUE(open_ended || !longer) << describe(message);
  }
}

TEST(Backend, RefusesUnknownTypes) {
  for (int type = 0; type < 256; ++type) {
    const char c = static_cast<char>(type);
    if ("123ACDEGHIKNRSTVWZcdnstv"sv.find(c) != std::string_view::npos) continue;
    const auto message = decode_backend(c, {});
    ASSERT_FALSE(message) << type;
    EXPECT_EQ(message.error().code, Errc::kProtocol);
  }
}

// Trap 4: no count is believed before the bytes for it are there.
TEST(Backend, RefusesCountsThatCannotFitTheBody) {
  const std::pair<char, std::string_view> bodies[] = {
      {'D', "\xff\xff"sv},              // 65535 values, none there
      {'D', "\0\2\xff\xff\xff\xff"sv},  // one of two
      {'D', "\0\1\xff\xff\xff\xfe"sv},  // a length of -2
      {'D', "\0\1\x80\0\0\0"sv},        // the most negative length
      {'D', "\0\1\x7f\xff\xff\xff"sv},  // 2 GiB
      {'D', "\0\1\0\0\0\5abcd"sv},      // one byte short
      {'T', "\xff\xff\0"sv},
      {'T', "\0\1a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv},
      {'t', "\0\2\0\0\0\x17"sv},
      {'G', "\0\0\2\0\0"sv},
      {'G', "\2\0\0"sv},  // a format that does not exist
      {'H', "\0\xff\xff"sv},
      {'W', "\1"sv},
      {'V', "\0\0\0\4abc"sv},
      {'v', "\0\3\0\0\xff\xff\xff\xff"sv},  // four billion options
      {'v', "\0\3\0\0\0\0\0\2_pq_.a\0"sv},
      {'v', "\0\2\0\0\0\0\0\0"sv},  // protocol 2
      {'Z', "X"sv},
      {'Z', ""sv},
      {'K', "\0\0\0\1abc"sv},  // a key of three bytes
      {'E', "SERROR\0"sv},     // no terminator
      {'E', "SERROR\0MC"sv},
      {'N', ""sv},
      {'S', "only the name\0"sv},
      {'C', "no terminator"sv},
      {'R', "\0\0\0"sv},
  };
  for (const auto& [type, body] : bodies) {
    const auto message = decode_backend(type, as_bytes(body));
    ASSERT_FALSE(message) << type << " of " << body.size() << " bytes";
    EXPECT_EQ(message.error().code, Errc::kProtocol);
  }
}

// Trap 11.
TEST(Backend, TakesCancelKeysOf4To256Bytes) {
  for (const size_t size : {3UL, 4UL, 256UL, 257UL}) {
    const auto message = decode_backend('K', as_bytes(std::string(4 + size, 'k')));
    EXPECT_EQ(message.has_value(), size >= 4 && size <= 256) << size;
  }
}

// Trap 2: libpq's sanity limit once broke at 7498 parameters.
TEST(Backend, TakesParameterDescriptionsUpTo65535) {
  for (const size_t count : {7'499UL, 8'000UL, 65'535UL}) {
    const auto message = decode(encode(ParameterDescription{std::vector<Oid>(count, Oid{23})}));
    ASSERT_TRUE(message);
    EXPECT_EQ(std::get<ParameterDescription>(*message).types.size(), count);
  }
}

// Trap 3: a pooler sent an ErrorResponse without SQLSTATE; "00000" would read as success.
TEST(Backend, ErrorWithoutSqlstateIsStillAnError) {
  const auto message = decode_backend('E', as_bytes("Mbroken\0\0"sv));
  ASSERT_TRUE(message);
  const auto& error = std::get<ErrorResponse>(*message);
  EXPECT_EQ(error.sqlstate.view(), "XX000");
  EXPECT_EQ(error.message, "broken");
  const auto empty = decode_backend('E', as_bytes("\0"sv));
  ASSERT_TRUE(empty);
  EXPECT_TRUE(std::get<ErrorResponse>(*empty).to_error().sqlstate.is_set());
}

TEST(Backend, UnknownFieldsOfAnErrorAreIgnored) {
  const auto message = decode_backend('E', as_bytes("SERROR\0?what\0C22012\0\0"sv));
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<ErrorResponse>(*message).sqlstate.view(), "22012");
}

TEST(Backend, ErrorOwnsItsTexts) {
  Error error;
  {
    const std::string bytes = encode(full_error());
    const auto message = decode(bytes);
    ASSERT_TRUE(message);
    error = std::get<ErrorResponse>(*message).to_error();
  }
  EXPECT_EQ(error.code, Errc::kServer);
  EXPECT_EQ(error.severity, "ERROR");  // The one that is never localised.
  EXPECT_EQ(error.sqlstate.view(), "23505");
  EXPECT_EQ(error.message, "duplicate key");
  EXPECT_EQ(error.where, "COPY t, line 8, column b");
  EXPECT_EQ(error.constraint, "t_pkey");
  EXPECT_TRUE(error.sent);
  EXPECT_EQ(error.to_string(),
            "PGS-5001: duplicate key (SQLSTATE 23505) DETAIL: Key (a)=(1) HINT: a hint CONTEXT: "
            "COPY t, line 8, column b");
}

TEST(Backend, NegotiateProtocolVersionTakesTheVersionInBothForms) {
  for (const auto body : {"\0\3\0\2\0\0\0\0"sv, "\0\0\0\2\0\0\0\0"sv}) {
    const auto message = decode_backend('v', as_bytes(body));
    ASSERT_TRUE(message);
    EXPECT_EQ(std::get<NegotiateProtocolVersion>(*message).newest_minor, 2);
  }
}

}  // namespace
