#pragma once
// Pool: so many connections to one server, shared by whoever asks, in the order of asking.
//
//   auto pool = Pool::create(env, {.name = "orders", .connect = options, .size = 4, …});
//   auto lease = pool->checkout();            // waits for a place, opens or takes an idle
//   connection
//   (*lease)->query("SELECT 1", deadline);
//   lease->give_back();                       // or its destructor: the next one gets it clean
//
// A lease is a *place* with at most one connection in it. A connection that broke is replaced in
// its place, so whoever reconnects never waits behind others; and who needs several places reserves
// them all at once, so that two of them never wait for each other.
//
// Clean means: as after login. A connection that was used gets DISCARD ALL when it comes back,
// without waiting; the answers are read when it goes out again, when they have long been there.
// Whatever is not plainly idle then (a request under way, an open transaction, bytes not sent) is
// closed. Nothing is asked of a server for the sake of a check: a look at the socket tells whether
// it closed the session or said why it will (57P01 and the like). A session that is no more is
// replaced.

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
  Duration wait_max = std::chrono::seconds(5);  ///< For a place; opening has its own limit.
  Duration idle_max = Duration::zero();         ///< Idle ones are closed then; 0: never.
  bool keeps_idle = true;                       ///< False: what comes back is closed.
  std::shared_ptr<void> env_owner = nullptr;    ///< Lives as long as the pool.
};

/// PoolStats is a snapshot. Places are in_use + opening + vacant; idle connections beside them.
struct PoolStats {
  size_t size = 0;
  size_t in_use = 0;   ///< Connections that are lent.
  size_t opening = 0;  ///< Being opened, for a place that is lent.
  size_t vacant = 0;   ///< Places that are lent and hold no connection at present.
  size_t idle = 0;
  size_t waiting = 0;  ///< Requests in the queue.
  uint64_t requests = 0, requests_failed = 0;
  /// From asking for places to having them, with what was opened or checked for that at once.
  Duration wait_total{}, wait_longest{};
  uint64_t opened = 0;
  uint64_t broken = 0;  ///< That ended while lent or idle, not by us.
  uint64_t reaped = 0;  ///< Closed because they were idle for long.
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

  /// Whether there is a connection that connect() has vouched for.
  explicit operator bool() const { return ready_; }
  Connection& operator*() const { return *connection_; }
  Connection* operator->() const { return connection_.get(); }
  Connection* get() const { return ready_ ? connection_.get() : nullptr; }

  /// Connect puts a connection into the place: the idle one that came with it if that is alive,
  /// else a new one. At once if there is one already. Fails as Connection::open() does; the place
  /// stays, and connect() may be tried again. REQUIRES: the place was not given back.
  Status connect();
  /// Reset closes the connection, without giving the place back.
  void reset();
  /// Gives back place and connection. Idempotent.
  void give_back();
  /// Gives back the place alone: the connection is closed, for what DISCARD ALL does not undo.
  void drop();

 private:
  friend class Pool;
  PoolLease(std::shared_ptr<Pool> pool, std::unique_ptr<Connection> idle)
      : pool_(std::move(pool)), connection_(std::move(idle)) {}

  std::shared_ptr<Pool> pool_;  // null: no place
  std::unique_ptr<Connection> connection_;
  bool ready_ = false;           // connection_ is checked, not just idle
  uint64_t clean_position_ = 0;  // what its session had sent when it was clean
};

/// Pool is thread-safe. It opens nothing before it is asked for. `env` must outlive it.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  static std::shared_ptr<Pool> create(Env& env, PoolConfig config);
  /// Closes.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// One place with its connection. Fails with kPoolTimeout if none becomes free within `wait_max`,
  /// with kInterrupted once closed, or as Connection::open() does.
  Result<PoolLease> checkout();
  Result<PoolLease> checkout(Duration wait_max);
  /// Several places at once, or none. Their connections come with PoolLease::connect(). Fails with
  /// kLimit if the pool is smaller.
  Result<std::vector<PoolLease>> reserve(size_t count);
  /// Connects all of the places side by side, in this thread and others, which have ended when it
  /// returns. The first error counts; what is connected stays so.
  static Status connect_all(std::span<PoolLease> leases);

  PoolStats stats();
  /// Closes idle connections; those that are lent when they come back. Who waits or asks fails
  /// with kInterrupted. Idempotent.
  void close();

  const PoolConfig& config() const { return config_; }
  Env& env() const { return env_; }
  /// For connections beside the pool, to the same server.
  pgproto::SaltedKeyCache& salted_keys() { return salted_keys_; }

 private:
  friend class PoolLease;
  using Connections = std::vector<std::unique_ptr<Connection>>;
  struct Idle {
    std::unique_ptr<Connection> connection;
    TimePoint since;
  };
  /// Waiter stands on the stack of who waits. The pool's monitor is locked before the waiter's.
  struct Waiter {
    size_t count = 0;
    std::unique_ptr<Monitor> monitor;
    bool woken = false;    // guarded by its monitor
    bool granted = false;  // guarded by the pool's
    Connections idle;      // that it gets; has room for `count`
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
  const std::unique_ptr<Monitor> monitor_;  // its condition wakes the reaper alone
  // Guarded by monitor_:
  std::vector<Idle> idle_;              // by `since`; the last one goes out first; has room for all
  std::deque<Waiter*> waiters_;         // the first is served first
  size_t lent_ = 0;                     // places
  size_t connected_ = 0, opening_ = 0;  // of them
  bool closed_ = false;
  PoolStats counters_;  // only what grows
  std::unique_ptr<Task> reaper_;
};

}  // namespace pgsink
