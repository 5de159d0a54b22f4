#pragma once
// A TCP server of a test: every connection is played by a function of the test, which speaks
// through a Peer. For servers that lie, stop in the middle, or cut. Needs no GoogleTest.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/backend_encoder.h"

namespace pgsink::test {

/// Peer is the server's end of one connection.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  int number = 0;  ///< Of the connection, from 0.
  int fd() const { return fd_; }

  /// Sends all of it; false once the client is gone.
  bool send(std::string_view bytes);
  /// What has arrived, waiting for the first byte; "" at the end of the stream.
  std::string receive();
  /// The next whole message; nullopt at the end of the stream or if it is none.
  std::optional<ClientSaid> next();
  FrontendDecoder& decoder() { return decoder_; }
  /// Everything received so far.
  const std::string& heard() const { return heard_; }
  /// Waits until the client closes, taking and dropping what it says.
  void wait_for_end();
  /// Closes with RST instead of FIN.
  void reset();
  void close();
  /// Ends whatever the test's function waits for. Any thread.
  void abort();
  /// Reads the startup packet (and refuses TLS first), lets the client in without a password, and
  /// answers the question about the server's identity. What follows is up to the test.
  bool let_in();
  /// Moves bytes between the client and 127.0.0.1:port until either closes; stops after
  /// `bytes_max` bytes from the server.
  void forward_to(uint16_t port, size_t bytes_max = SIZE_MAX);

 private:
  std::mutex mutex_;  // between close() and abort()
  int fd_;
  FrontendDecoder decoder_;
  std::string heard_;
};

class ScriptedServer {
 public:
  using Play = std::function<void(Peer&)>;
  /// Listens on a free port of 127.0.0.1. Connections are played side by side.
  explicit ScriptedServer(Play play);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  /// "host=127.0.0.1 port=… user=u dbname=d" and what else is given.
  std::string conninfo(const std::string& more = "sslmode=disable") const;

 private:
  void run();

  Play play_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::vector<std::shared_ptr<Peer>> peers_;  // of run() only
  std::vector<std::thread> threads_;          // of run() only
  std::thread thread_;
};

/// What a server answers to the question about its identity.
std::string identity_answer();

}  // namespace pgsink::test
