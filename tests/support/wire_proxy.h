#pragma once
// WireProxy stands between a client and a server on this machine and misbehaves as told: it delays
// both directions without limiting their bandwidth, or limits it, cuts what passes into segments,
// and at a chosen message or byte it cuts the connection, lets the server go on alone, or swallows
// everything. It knows where messages begin, so it needs plain
// connections (ssl_mode=disable). One thread of its own; free of GoogleTest.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgsink::test {

class WireProxy {
 public:
  enum class Side : uint8_t { kFrontend, kBackend };  ///< Who sent the message.
  enum class Effect : uint8_t {
    kCut,      ///< Both connections are closed.
    kOrphan,   ///< The client's is closed; the server's stays open and is still fed what came
               ///< before.
    kSwallow,  ///< Both stay open and nothing moves any more: no FIN, no RST.
  };
  /// Rule: at the n-th message of a type from one side, counted over all connections from the
  /// moment the rule is set, `effect` happens, after the message was passed on or instead of
  /// passing it on.
  struct Rule {
    Side side = Side::kFrontend;
    char type = 0;  ///< 0: any message.
    int nth = 1;
    bool pass_on = false;
    Effect effect = Effect::kCut;
    bool then_refuse = false;  ///< From that moment on, as by refuse_connections(true).
  };

  /// Listens on a free port of 127.0.0.1 and dials `host`:`port`, or the Unix socket in `host`.
  WireProxy(std::string host, uint16_t port);
  ~WireProxy();
  WireProxy(const WireProxy&) = delete;
  WireProxy& operator=(const WireProxy&) = delete;

  uint16_t port() const { return port_; }
  /// Each direction is this much later from now on; a round trip is twice as much.
  void set_delay(std::chrono::microseconds one_way) { delay_us_ = one_way.count(); }
  /// From now on both directions move in segments of at most so many bytes, one each `pause`, and
  /// whoever sends faster must wait. 0: as fast as they come.
  void set_segments(size_t bytes, std::chrono::microseconds pause) {
    segment_pause_us_ = pause.count();
    segment_bytes_ = bytes;
  }
  /// Sets the one rule, which fires once.
  void set_rule(const Rule& rule);
  /// How many messages the rule has met so far.
  int seen();
  /// Cuts when that many bytes of one side, of all connections together, have been passed on from
  /// now.
  void cut_after_bytes(Side side, uint64_t bytes);
  /// Puts `to` in the place of `from`, which is as long, once, in what the client sends next. It
  /// must stand within what the proxy receives at once.
  void replace_once(std::string from, std::string to);
  /// Calls `call` once, in the proxy's thread, before it passes on the first bytes of the client
  /// that hold `text`, which must stand within what the proxy receives at once.
  void call_before(std::string text, std::function<void()> call);
  /// Closes new connections at once, as a server does that is down, until told otherwise.
  void refuse_connections(bool refuse) { refuse_ = refuse; }
  /// Nothing of connections accepted from now on moves, until told otherwise.
  void hold_new(bool hold) {
    hold_new_ = hold;
    wake_thread();
  }
  bool fired() const { return fired_; }
  int connections() const { return connections_; }
  /// Closes every connection that an effect has struck, the server's side of orphans too.
  void drop_orphans();

 private:
  struct Link;
  struct Stream;

  void run();
  void wake_thread();
  void accept_client();
  void receive(Link& link, Stream& from);
  bool deliver(Link& link, Stream& to);
  size_t scan(Link& link, Stream& from, const std::byte* data, size_t size);
  void strike(Link& link, Effect effect);
  void replace(std::string& bytes);
  void call_if_due(const std::string& bytes);

  std::string host_;
  uint16_t server_port_;
  uint16_t port_ = 0;
  int listener_ = -1;
  int wakeup_[2] = {-1, -1};
  std::atomic<int64_t> delay_us_ = 0, segment_pause_us_ = 0;
  std::atomic<size_t> segment_bytes_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> fired_ = false;
  std::atomic<bool> drop_orphans_ = false;
  std::atomic<bool> refuse_ = false;
  std::atomic<bool> hold_new_ = false;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;  // guards rule_, the counters, the replacement and the call
  Rule rule_;
  bool armed_ = false;
  int seen_ = 0;
  Side bytes_side_ = Side::kFrontend;
  uint64_t bytes_left_ = UINT64_MAX;
  std::string replaced_, replacement_;
  std::string called_before_;
  std::function<void()> call_;
  std::list<std::unique_ptr<Link>> links_;
  std::thread thread_;
};

}  // namespace pgsink::test
