// The socket transport by itself: both directions, deadlines, interrupts, ends.

#include "pgsink/client/tcp.h"

#include <condition_variable>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/postgres_server.h"
#include "support/scripted_server.h"

namespace pgsink::test {
namespace {

using pgproto::as_bytes;
using pgproto::as_text;

class TcpTest : public ::testing::Test {
 protected:
  Deadline soon() { return in_ms(30'000); }
  Deadline in_ms(int64_t ms) { return os_.env().clock.now() + std::chrono::milliseconds(ms); }
  Address to(const ScriptedServer& server) { return {"127.0.0.1", server.port(), "127.0.0.1"}; }
  std::unique_ptr<Transport> dial(const ScriptedServer& server) {
    auto transport = os_.env().network.dial(to(server), {}, soon());
    if (!transport) throw std::runtime_error(transport.error().to_string());
    return *std::move(transport);
  }
  /// Receives until the text is complete.
  std::string receive(Transport& transport, size_t size) {
    std::string text;
    while (text.size() < size) {
      const auto moved = transport.exchange({}, room_, soon());
      if (!moved || moved->eof) break;
      text += as_text(Bytes(room_).first(moved->received));
    }
    return text;
  }
  OsEnv os_;
  std::vector<std::byte> room_ = std::vector<std::byte>(65536);
};

// A latch that the two threads of a test meet at.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST_F(TcpTest, SendsAndReceives) {
  ScriptedServer server([](Peer& peer) {
    EXPECT_EQ(peer.receive(), "ping");
    peer.send("pong");
    peer.wait_for_end();
  });
  const auto transport = dial(server);
  const auto sent = transport->exchange(as_bytes("ping"), room_, soon());
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->sent, 4U);
  EXPECT_EQ(receive(*transport, 4), "pong");
}

// Trap 15: whatever the size of the kernel's buffers, a sender that is blocked hears the peer.
TEST_F(TcpTest, BlockedSendStillReceives) {
  Gate received;
  ScriptedServer server([&](Peer& peer) {
    peer.receive();  // Now the client has begun; from here nothing is read.
    peer.send("stop!");
    received.wait();
    peer.wait_for_end();
  });
  const auto transport = dial(server);
  const std::string block(size_t{1} << 20, 'x');
  std::string heard;
  size_t sent = 0;
  while (heard.size() < 5) {
    const auto moved = transport->exchange(as_bytes(block), room_, soon());
    ASSERT_TRUE(moved.has_value()) << moved.error().to_string();
    sent += moved->sent;
    heard += as_text(Bytes(room_).first(moved->received));
    ASSERT_LT(sent, size_t{1} << 30) << "the server does not read: something must have blocked";
  }
  EXPECT_EQ(heard, "stop!");
  received.open();
}

// A fast receiver never blocks the sender; it must be heard all the same, soon.
TEST_F(TcpTest, SenderLooksForInputEveryQuarterMegabyte) {
  Gate said;
  ScriptedServer server([&](Peer& peer) {
    peer.send("hey");
    said.open();
    peer.wait_for_end();
  });
  const auto transport = dial(server);
  said.wait();
  const std::string block(4096, 'x');
  size_t sent = 0, received = 0;
  while (received == 0 && sent < (size_t{64} << 20)) {
    const auto moved = transport->exchange(as_bytes(block), room_, soon());
    ASSERT_TRUE(moved.has_value());
    sent += moved->sent;
    received += moved->received;
  }
  EXPECT_EQ(received, 3U);
  EXPECT_LE(sent, size_t{1} << 20);
}

TEST_F(TcpTest, DeadlineEndsEveryWait) {
  ScriptedServer server([](Peer& peer) { peer.wait_for_end(); });
  const auto transport = dial(server);
  const TimePoint begin = os_.env().clock.now();
  const auto moved = transport->exchange({}, room_, in_ms(50));
  ASSERT_FALSE(moved.has_value());
  EXPECT_EQ(moved.error().code, Errc::kTimeout);
  EXPECT_GE(os_.env().clock.now() - begin, std::chrono::milliseconds(49));
  EXPECT_EQ(transport->exchange({}, room_, kAtOnce).error().code, Errc::kTimeout);
  // A timeout breaks nothing.
  EXPECT_EQ(transport->exchange(as_bytes("x"), room_, kAtOnce)->sent, 1U);
}

TEST_F(TcpTest, DeadlineEndsABlockedSend) {
  Gate end;
  ScriptedServer server([&](Peer&) { end.wait(); });
  const auto transport = dial(server);
  const std::string block(size_t{1} << 20, 'x');
  const Deadline deadline = in_ms(300);
  for (;;) {
    const auto moved = transport->exchange(as_bytes(block), room_, deadline);
    if (moved) continue;
    EXPECT_EQ(moved.error().code, Errc::kTimeout);
    break;
  }
  end.open();
}

TEST_F(TcpTest, InterruptEndsAWaitFromAnyThread) {
  ScriptedServer server([](Peer& peer) { peer.wait_for_end(); });
  const auto transport = dial(server);
  std::thread other([&] {
    ::usleep(20'000);
    transport->interrupt();
  });
  const auto moved = transport->exchange({}, room_, soon());
  other.join();
  ASSERT_TRUE(moved.has_value());
  EXPECT_TRUE(moved->interrupted);
  // One that comes before the wait counts for the next one, once.
  transport->interrupt();
  EXPECT_TRUE(transport->exchange({}, room_, soon())->interrupted);
  EXPECT_EQ(transport->exchange({}, room_, in_ms(10)).error().code, Errc::kTimeout);
}

// Interrupts race with data for a while: none may be lost, none may spin.
TEST_F(TcpTest, NoInterruptIsLost) {
  ScriptedServer server([](Peer& peer) {
    while (!peer.receive().empty()) peer.send("answer");
  });
  const auto transport = dial(server);
  for (int round = 0; round < 300; ++round) {
    std::thread other([&] { transport->interrupt(); });
    bool interrupted = false;
    Bytes out = as_bytes("question");
    while (!interrupted) {
      const auto moved = transport->exchange(out, room_, soon());
      ASSERT_TRUE(moved.has_value()) << "round " << round << moved.error().to_string();
      out = out.subspan(moved->sent);
      interrupted = moved->interrupted;
    }
    other.join();
    // What a late write of the other thread left is reported at most once more.
    const auto after = transport->exchange({}, room_, kAtOnce);
    if (after && after->interrupted) (void)transport->exchange({}, room_, kAtOnce);
  }
}

TEST_F(TcpTest, EndOfStreamIsNoError) {
  ScriptedServer server([](Peer& peer) { peer.send("bye"); });
  const auto transport = dial(server);
  EXPECT_EQ(receive(*transport, 3), "bye");
  const auto end = transport->exchange({}, room_, soon());
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->eof);
  EXPECT_TRUE(transport->exchange({}, room_, soon())->eof) << "and it stays so";
}

// Trap 16: what the peer said before it left is heard before the broken pipe.
TEST_F(TcpTest, LastWordsComeBeforeTheBrokenPipe) {
  Gate left;
  ScriptedServer server([&](Peer& peer) {
    peer.receive();
    peer.send("last words");
    peer.close();  // With bytes unread: the client gets a RST.
    left.open();
  });
  const auto transport = dial(server);
  const std::string block(size_t{1} << 20, 'x');
  ASSERT_TRUE(transport->exchange(as_bytes(block), {}, soon()).has_value());
  left.wait();
  std::string heard;
  for (;;) {
    const auto moved = transport->exchange(as_bytes(block), room_, soon());
    if (!moved) {
      EXPECT_EQ(moved.error().code, Errc::kConnectionLost);
      break;
    }
    heard += as_text(Bytes(room_).first(moved->received));
    if (moved->eof) break;
  }
  EXPECT_EQ(heard, "last words");
}

TEST_F(TcpTest, ResetIsALostConnection) {
  ScriptedServer server([](Peer& peer) { peer.reset(); });
  const auto transport = dial(server);
  const auto moved = transport->exchange({}, room_, soon());
  ASSERT_FALSE(moved.has_value());
  EXPECT_EQ(moved.error().code, Errc::kConnectionLost);
}

TEST_F(TcpTest, ClosedTransportSaysSo) {
  ScriptedServer server([](Peer& peer) { peer.wait_for_end(); });
  const auto transport = dial(server);
  transport->close();
  transport->close();
  transport->interrupt();
  EXPECT_EQ(transport->exchange({}, room_, soon()).error().code, Errc::kConnectionLost);
}

TEST_F(TcpTest, RefusalNamesTheEndpoint) {
  const uint16_t port = free_port();
  const auto refused = os_.env().network.dial({"127.0.0.1", port, "127.0.0.1"}, {}, soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kConnect);
  EXPECT_NE(refused.error().message.find("127.0.0.1:" + std::to_string(port)), std::string::npos);
  EXPECT_EQ(os_.env().network.dial({"/nowhere", 1, ""}, {}, soon()).error().code, Errc::kConnect);
  const auto long_path = os_.env().network.dial({"/" + std::string(120, 'x'), 1, ""}, {}, soon());
  EXPECT_EQ(long_path.error().code, Errc::kOptionValue);
  EXPECT_NE(long_path.error().message.find("107"), std::string::npos);
}

// A listener that accepts nobody: its queue fills up, and then connect() hangs.
TEST_F(TcpTest, DeadlineEndsADial) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string abstract = "@pgsink-test-" + std::to_string(::getpid());
  const std::string path = abstract + "/.s.PGSQL.1";
  path.copy(name.sun_path, sizeof name.sun_path);
  name.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  std::vector<std::unique_ptr<Transport>> waiting;
  Error error;
  for (int i = 0; i < 8; ++i) {
    auto transport = os_.env().network.dial({abstract, 1, ""}, {}, in_ms(100));
    if (!transport) {
      error = transport.error();
      break;
    }
    waiting.push_back(*std::move(transport));
  }
  EXPECT_EQ(error.code, Errc::kTimeout) << error.to_string();
  ::close(listener);
}

TEST_F(TcpTest, ResolvesNamesAndLiterals) {
  Network& network = os_.env().network;
  const auto local = network.resolve({"localhost", 5, ""}, soon());
  ASSERT_TRUE(local.has_value());
  EXPECT_EQ(local->front().host, "localhost");
  EXPECT_EQ(local->front().port, 5);
  bool has_v4 = false;
  for (const Address& address : *local) has_v4 = has_v4 || address.host_address == "127.0.0.1";
  EXPECT_TRUE(has_v4);
  EXPECT_EQ(network.resolve({"::1", 5, ""}, soon())->front().host_address, "::1");
  EXPECT_EQ(network.resolve({"name", 5, "10.0.0.1"}, soon())->front().host_address, "10.0.0.1");
  EXPECT_EQ(network.resolve({"/tmp", 5, ""}, soon())->front().host, "/tmp");
  const auto unknown = network.resolve({"no-such-host.invalid", 5, ""}, soon());
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("no-such-host.invalid"), std::string::npos);
}

TEST_F(TcpTest, SetsTheSocketOptionsItIsGiven) {
  ScriptedServer server([](Peer& peer) { peer.wait_for_end(); });
  SocketOptions options;
  options.keepalives_idle_s = 11;
  options.keepalives_interval_s = 12;
  options.keepalives_count = 3;
  options.tcp_user_timeout_ms = 1234;
  ASSERT_TRUE(os_.env().network.dial(to(server), options, soon()).has_value());
  options.keepalives_idle_s = 1 << 30;
  const auto refused = os_.env().network.dial(to(server), options, soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kOptionValue);
}

}  // namespace
}  // namespace pgsink::test
