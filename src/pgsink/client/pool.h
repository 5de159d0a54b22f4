#pragma once
// Pool shares a fixed number of connections to one server, first come, first served.
//
//   auto pool = Pool::create(env, {.name = "orders", .connect = options, .size = 4, …});
//   auto lease = pool->checkout();  // waits for a place, opens or takes an idle connection
//   (*lease)->query("SELECT 1", deadline);
//   lease->give_back();             // or its destructor: the next user gets a clean session
//
// A lease is a *place* with at most one connection in it. A broken connection is replaced in its
// place, so reconnecting never waits for other users. A request for several places gets all of them
// at once, so that two requests cannot wait for each other.
//
// Clean means: as after login. A used connection gets DISCARD ALL when it is given back, without
// waiting; the answers are read when it is taken again, when they have usually arrived. A
// connection that is not idle when it is given back (a pending request, an open transaction, unsent
// bytes) is closed. No query is sent to check a connection: the socket shows whether the server
// closed the session or announced its end (57P01 and the like). Such a session is replaced.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/salted_keys.h"

namespace pgsink {

struct PoolConfig {
  std::string name;        ///< For messages.
  ConnectOptions connect;  ///< Complete: see apply_environment().
  size_t size = 1;
  Duration wait_max = std::chrono::seconds(5);  ///< How long to wait for a place; opening has its
                                                ///< own limit.
  Duration idle_max = Duration::zero();         ///< Idle connections are closed after this time; 0:
                                                ///< never.
  bool keeps_idle = true;                       ///< False: connections are closed when they are
                                                ///< given back.
  Duration silence_max = Duration::zero();      ///< See Connection::watch_silence(); 0: no watch.
  std::shared_ptr<void> env_owner = nullptr;    ///< Lives as long as the pool.
};

/// PoolStats is a snapshot. Places are in_use + opening + vacant; idle connections are not part of
/// them.
struct PoolStats {
  size_t size = 0;
  size_t in_use = 0;   ///< Connections that are leased.
  size_t opening = 0;  ///< Being opened, for a leased place.
  size_t vacant = 0;   ///< Leased places without a connection at present.
  size_t idle = 0;
  size_t waiting = 0;  ///< Requests in the queue.
  uint64_t requests = 0, requests_failed = 0;
  /// Time from the request to having the places, including what was opened or checked for it at
  /// once.
  Duration wait_total{}, wait_longest{};
  uint64_t opened = 0;
  uint64_t broken = 0;  ///< Broken while leased or idle, not closed by us.
  uint64_t reaped = 0;  ///< Closed after being idle for too long.
};

class Pool;

/// PoolLease is one place of a pool, and points to the connection in it. Movable; one user at a
/// time. The destructor gives the place back.
class PoolLease {
 public:
  PoolLease() = default;
  PoolLease(PoolLease&& other) noexcept { *this = std::move(other); }
  PoolLease& operator=(PoolLease&& other) noexcept;
  PoolLease(const PoolLease&) = delete;
  PoolLease& operator=(const PoolLease&) = delete;
  ~PoolLease() { give_back(); }

  /// Whether there is a connection that connect() has checked.
  explicit operator bool() const { return ready_; }
  Connection& operator*() const { return *connection_; }
  Connection* operator->() const { return connection_.get(); }
  Connection* get() const { return ready_ ? connection_.get() : nullptr; }

  /// connect puts a connection into the place: the idle one that came with it if it is alive, else
  /// a new one. Returns at once if there is one already. Fails as Connection::open() does; the
  /// place stays leased, and connect() may be called again. REQUIRES: the place was not given back.
  Status connect();
  /// reset closes the connection and keeps the place.
  void reset();
  /// Gives back place and connection. Idempotent.
  void give_back();
  /// Gives back the place without its connection, which is closed: for state that DISCARD ALL does
  /// not undo.
  void drop();

 private:
  friend class Pool;
  PoolLease(std::shared_ptr<Pool> pool, std::unique_ptr<Connection> idle)
      : pool_(std::move(pool)), connection_(std::move(idle)) {}

  std::shared_ptr<Pool> pool_;  // null: no place
  std::unique_ptr<Connection> connection_;
  bool ready_ = false;           // connection_ is checked, not just idle
  uint64_t clean_position_ = 0;  // bytes that its session had sent when it was clean
};

/// Pool is thread-safe. It opens no connection before the first request. `env` must outlive it.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  static std::shared_ptr<Pool> create(Env& env, PoolConfig config);
  /// The destructor closes.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// checkout leases one place with its connection. Fails with kPoolTimeout if none becomes free
  /// within `wait_max`, with kInterrupted once closed, or as Connection::open() does.
  Result<PoolLease> checkout();
  Result<PoolLease> checkout(Duration wait_max);
  /// reserve leases several places at once, or none. PoolLease::connect() opens their connections.
  /// Fails with kLimit if the pool is smaller.
  Result<std::vector<PoolLease>> reserve(size_t count);
  /// connect_all connects all of the places concurrently, in this thread and others, which have
  /// ended when it returns. It returns the first error; places that are connected stay so.
  static Status connect_all(std::span<PoolLease> leases);

  PoolStats stats();
  /// close closes idle connections, and leased ones when they are given back. Waiting and later
  /// requests fail with kInterrupted. Idempotent.
  void close();

  const PoolConfig& config() const { return config_; }
  Env& env() const { return env_; }
  /// For connections outside the pool, to the same server.
  pgproto::SaltedKeyCache& salted_keys() { return salted_keys_; }

 private:
  friend class PoolLease;
  using Connections = std::vector<std::unique_ptr<Connection>>;
  struct Idle {
    std::unique_ptr<Connection> connection;
    TimePoint since;
  };
  /// Waiter is on the stack of the waiting thread. The pool's monitor is locked before the
  /// waiter's.
  struct Waiter {
    size_t count = 0;
    std::unique_ptr<Monitor> monitor;
    bool woken = false;    // guarded by its monitor
    bool granted = false;  // guarded by the pool's
    Connections idle;      // connections that it gets; has capacity for `count`
  };

  Pool(Env& env, PoolConfig config);
  Result<std::vector<PoolLease>> take(size_t count, Duration wait_max);
  bool can_grant(size_t count) const { return count <= config_.size - lent_; }
  void grant(Waiter& to);
  void serve_waiters();
  static void wake(Waiter& waiter);
  std::vector<PoolLease> make_leases(size_t count, Connections idle);
  Error timed_out(size_t count, Duration waited) const;
  Error closed() const;
  void count_request(TimePoint began, bool failed);
  std::string describe() const;

  Result<std::unique_ptr<Connection>> open();
  void take_back(std::unique_ptr<Connection> kept, bool had_connection);
  void note_reset(bool broken);
  void start_reaper();
  Connections take_expired();
  void reap();

  Env& env_;
  const PoolConfig config_;
  SharedSaltedKeys salted_keys_;
  const std::unique_ptr<Monitor> monitor_;  // its condition wakes only the reaper
  // Guarded by monitor_:
  // By `since`; the last one is leased first; has capacity for all.
  std::vector<Idle> idle_;
  std::deque<Waiter*> waiters_;         // the first is served first
  size_t lent_ = 0;                     // places
  size_t connected_ = 0, opening_ = 0;  // of them
  bool closed_ = false;
  PoolStats counters_;  // only the counters that grow
  std::unique_ptr<Task> reaper_;
};

}  // namespace pgsink
