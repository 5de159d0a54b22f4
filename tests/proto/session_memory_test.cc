// What the session does when memory is short, and that its hot path asks for none. This file
// replaces the program's operator new by one that counts and can fail.

#include <cstring>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"
#include "support/session_script.h"

namespace {

size_t allocation_count = 0;
size_t fail_at = SIZE_MAX;  // The allocation that fails, counted from 1…
bool fail_after = false;    // …and all after it.

bool must_fail() {
  ++allocation_count;
  return allocation_count == fail_at || (fail_after && allocation_count > fail_at);
}

}  // namespace

#include "support/failing_new.h"

namespace {

using namespace pgproto;
using namespace pgsink::test;

StartupConfig config_for(std::string_view user) {
  StartupConfig config;
  config.user = user;
  config.password = "a password that is longer than the small string optimisation";
  config.scram_nonce = "fyko+d2lbbFgONRv9qkxdawL";
  return config;
}

// Calls a function of the session: an exception out of it ends the program.
template <typename Call>
auto call(Call&& function) noexcept {
  return function();
}

bool give(Session& session, std::string_view bytes) {
  while (!bytes.empty()) {
    const MutableBytes space = call([&] { return session.receive_space(); });
    const size_t count = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), count);
    call([&] { session.received(count); });
    bytes.remove_prefix(count);
    while (true) {
      const auto event = call([&] { return session.next_event(); });
      if (!event) {
        EXPECT_EQ(event.error().code, Errc::kOutOfMemory) << event.error().to_string();
        return false;
      }
      if (!*event) break;
    }
  }
  return true;
}

// The answers, made before allocations begin to fail.
struct Answers {
  std::string rest;
  std::string queries;

  Answers() {
    ErrorResponse error =
        error_response("ERROR", "23505", "a message that does not fit into a small string");
    error.detail = "some detail that does not fit into a small string";
    NoticeResponse notice;
    notice.message = "a notice";
    RowDescription rows;
    rows.fields.resize(20);
    DataRow row;
    row.values.resize(20);
    rest = authentication(Authentication::Code::kOk) +
           encode_all({ParameterStatus{"a_parameter_with_a_long_name",
                                       "a value that does not fit into a small string"},
                       BackendKeyData{1, as_bytes("abcd")}, ready('I')});
    queries = encode_all({rows, row, CommandComplete{"SELECT 1"}, ready('I'), notice,
                          CopyInResponse{0, std::vector<int16_t>(20)}, error, ready('E'),
                          ParseComplete{}, BindComplete{}, CommandComplete{"SELECT 0"}, ready('I'),
                          error_response("FATAL", "57P01", "this is the end of the connection")});
  }
};

// A whole life of a session. Every call may fail, but only with kOutOfMemory.
bool live(const Answers& answers) {
  const auto ok = [](const auto& result) {
    if (result) return true;
    EXPECT_EQ(result.error().code, Errc::kOutOfMemory) << result.error().to_string();
    return false;
  };
  const auto broken = [](Session& session) {
    const auto event = call([&] { return session.next_event(); });
    EXPECT_TRUE(!event && event.error().code == Errc::kOutOfMemory);
    return false;
  };
  using enum Session::Copy;
  Session session;
  StartupConfig config = config_for("u");
  if (!ok(call([&] { return session.startup(std::move(config)); }))) return false;
  call([&] { session.output_sent(session.output().size()); });
  if (!give(session, answers.rest)) return false;
  if (!ok(call([&] { return session.query("SELECT 1"); }))) return false;
  if (!ok(call([&] { return session.query("COPY t FROM STDIN", kIn); }))) return false;
  const MutableBytes space = call([&] { return session.copy_space(50'000); });
  if (space.empty()) return broken(session);
  std::memset(space.data(), 'x', space.size());
  call([&] {
    session.copy_commit(space.size());
    session.copy_done();
  });
  for (int i = 0; i < 40; ++i) {  // Enough for the queue of requests to grow.
    if (!ok(call([&] { return session.parse("s", "SELECT 1", {}); }))) return false;
    if (!ok(call([&] { return session.bind("", "s", {}); }))) return false;
    if (!ok(call([&] { return session.execute(""); }))) return false;
    if (call([&] { return session.sync(); }) == 0) return broken(session);
  }
  call([&] { session.output_sent(session.output().size()); });
  if (!give(session, answers.queries)) return false;
  const Status end = call([&] { return session.received_eof(); });
  return !end && end.error().code == Errc::kConnectionLost;
}

// Trap 19: memory that is not there closes the connection; it skips no message and throws nothing.
TEST(SessionMemory, EveryAllocationMayFail) {
  const Answers answers;
  for (const bool all_after : {false, true}) {
    size_t failures = 0;
    for (size_t n = 1;; ++n) {
      bool lived = false;
      bool constructed = true;
      allocation_count = 0;
      fail_at = n;
      fail_after = all_after;
      try {
        lived = live(answers);
      } catch (const std::bad_alloc&) {
        // The test's own strings and the constructor may throw.
        constructed = false;
      }
      fail_at = SIZE_MAX;
      fail_after = false;
      if (lived) break;
      failures += constructed ? 1 : 0;
      ASSERT_LT(n, 10'000U);
    }
    EXPECT_GT(failures, 20U);
  }
}

// Trap 4: what a server announces costs nothing; only what it sends does.
TEST(SessionMemory, AnAnnouncedGibibyteCostsLessThanAMebibyte) {
  const std::string ok = authentication(Authentication::Code::kOk) + encode(ready('I'));
  for (const char type : {'D', 'T', 'E', 'N', 'd', 'S', 'C'}) {
    Session session;
    ASSERT_TRUE(session.startup(config_for("u")));
    ASSERT_TRUE(give(session, ok));
    std::string header(1, type);
    header += std::string("\x3f\xff\xff\xfe", 4) + std::string(1000, '\xff');
    size_t received = 0;
    while (received < header.size()) {
      const MutableBytes space = session.receive_space();
      ASSERT_LT(space.size(), size_t{1} << 20);
      const size_t count = std::min(space.size(), header.size() - received);
      std::memcpy(space.data(), header.data() + received, count);
      session.received(count);
      received += count;
      const auto event = session.next_event();
      ASSERT_TRUE(event);
      EXPECT_FALSE(*event);
    }
  }
}

// The hot path: once warm, a chunk costs no allocation and no byte of it is moved.
TEST(SessionMemory, CopyDataCostsNoAllocation) {
  Session session;
  ASSERT_TRUE(session.startup(config_for("u")));
  ASSERT_TRUE(give(session, authentication(Authentication::Code::kOk) + encode(ready('I'))));
  session.output_sent(session.output().size());
  ASSERT_TRUE(session.query("COPY t FROM STDIN", Session::Copy::kIn));
  session.output_sent(session.output().size());
  constexpr size_t kChunk = 64 * 1024;
  const std::byte* place = nullptr;
  size_t allocations_warm = 0;
  for (int i = 0; i < 1000; ++i) {
    const MutableBytes space = session.copy_space(kChunk);
    ASSERT_EQ(space.size(), kChunk);
    session.copy_commit(kChunk - static_cast<size_t>(i % 7));
    while (!session.output().empty()) {
      session.output_sent(std::min<size_t>(session.output().size(), 20'000));
    }
    ASSERT_FALSE(session.copy_refused());
    const auto event = session.next_event();
    ASSERT_TRUE(event);
    if (i == 1) {
      place = space.data();
      allocations_warm = allocation_count;
    }
    ASSERT_TRUE(i <= 1 || space.data() == place) << i;
  }
  EXPECT_EQ(allocation_count, allocations_warm);
}

// A stream of COPY OUT reuses the receive buffer.
TEST(SessionMemory, ReceivingCopyDataCostsNoAllocation) {
  Session session;
  ASSERT_TRUE(session.startup(config_for("u")));
  const CopyOutResponse out{{0, {0}}};
  ASSERT_TRUE(give(session, authentication(Authentication::Code::kOk) + encode(ready('I'))));
  ASSERT_TRUE(session.query("COPY t TO STDOUT"));
  ASSERT_TRUE(give(session, encode(out)));
  const std::string data = encode(CopyData{as_bytes(std::string(3000, 'x'))});
  ASSERT_TRUE(give(session, data));
  const size_t allocations_warm = allocation_count;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(give(session, data));
  EXPECT_EQ(allocation_count, allocations_warm);
}

// Trap 15: a server may flood us with notices; what nobody asked for is not kept.
TEST(SessionMemory, AFloodOfNoticesIsNotKept) {
  Session session;
  ASSERT_TRUE(session.startup(config_for("u")));
  ASSERT_TRUE(give(session, authentication(Authentication::Code::kOk) + encode(ready('I'))));
  ASSERT_TRUE(session.query("SELECT 1"));
  NoticeResponse notice;
  notice.message = "a row was inserted";
  const std::string flood = encode(notice) + encode(NotificationResponse{1, "c", "p"});
  ASSERT_TRUE(give(session, flood));
  const size_t allocations_warm = allocation_count;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(give(session, flood));
  EXPECT_EQ(allocation_count, allocations_warm);
}

}  // namespace
