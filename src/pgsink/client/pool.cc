#include "pgsink/client/pool.h"

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

#include "pgsink/client/identity.h"

namespace pgsink {

namespace {

using pgproto::ErrorResponse;
using pgproto::ReadyForQuery;

// The answers to DISCARD ALL have nearly always arrived; a server that takes longer has a problem.
constexpr Duration kCleaningMax = std::chrono::seconds(5);
// A session that sends unsolicited messages so often that draining them never ends is replaced.
constexpr int kLooksMax = 64;

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

/// Idle: nothing is pending in either direction, no transaction is open.
bool is_idle(Connection& connection) {
  if (connection.broken()) return false;
  const pgproto::Session& session = connection.session();
  if (session.pending_requests() > 0 || !session.output().empty()) return false;
  if (session.transaction_status() != ReadyForQuery::Status::kIdle) return false;
  const auto event = connection.ready_event();
  return event && !*event;
}

/// Whether the connection can go to the next user, who finds it as after login. The cleaning
/// statements are sent as far as the socket takes them at once, without waiting.
bool clean(Connection& connection, uint64_t clean_position) {
  if (!is_idle(connection)) return false;
  // A standby that is promoted keeps its sessions, but our ServerIdentity would be wrong then.
  if (connection.server().in_recovery) return false;
  std::ignore = connection.take_notices();
  pgproto::Session& session = connection.session();
  if (session.appended_position() == clean_position) return true;
  // By then, a pooler would run DISCARD ALL on a session of another client.
  if (!connection.is_direct()) return false;
  for (const std::string_view statement : restoring_statements()) {
    if (!session.query(statement)) return false;
  }
  const auto sent = connection.send_only(kAtOnce);
  return sent || sent.error().code == Errc::kTimeout;
}

/// Waits for the answers to what clean() sent. False if one of them is an error.
bool finish_cleaning(Connection& connection, Deadline deadline) {
  bool clean = true;
  while (connection.session().pending_requests() > 0) {
    const auto event = connection.next_event(deadline);
    if (!event) return false;
    if (!*event) continue;  // A late interrupt() of the previous user.
    if (std::holds_alternative<ErrorResponse>((*event)->message)) clean = false;
  }
  return clean;
}

/// Whether an idle connection is alive and clean. Needs no round trip if its cleaning is done.
bool is_alive(Connection& connection, Clock& clock) {
  if (!finish_cleaning(connection, clock.now() + kCleaningMax)) return false;
  for (int look = 0; look < kLooksMax; ++look) {
    const auto moved = connection.pump(kAtOnce);
    if (!moved) return moved.error().code == Errc::kTimeout;
    const auto event = connection.ready_event();
    if (!event || *event) return false;  // The reason why it ended.
  }
  return false;
}

}  // namespace

// ---- leases ------------------------------------------------------------------------------------

PoolLease& PoolLease::operator=(PoolLease&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = std::move(other.pool_);
  connection_ = std::move(other.connection_);
  ready_ = std::exchange(other.ready_, false);
  other.pool_.reset();
  clean_position_ = other.clean_position_;
  return *this;
}

Status PoolLease::connect() {
  if (ready_) return {};
  PGPROTO_ASSERT(pool_ != nullptr);
  if (connection_ && !is_alive(*connection_, pool_->env_.clock)) {
    connection_.reset();
    pool_->note_reset(true);
  }
  if (!connection_) {
    auto opened = pool_->open();
    if (!opened) return fail(opened.error());
    connection_ = std::move(*opened);
  }
  clean_position_ = connection_->session().appended_position();
  ready_ = true;
  return {};
}

void PoolLease::reset() {
  if (!connection_) return;
  const bool broken = connection_->broken();
  connection_.reset();
  ready_ = false;
  pool_->note_reset(broken);
}

void PoolLease::give_back() {
  if (!pool_) return;
  const bool had_connection = connection_ != nullptr;
  bool kept = had_connection && pool_->config_.keeps_idle;
  try {
    // An idle connection that was not checked yet is unchanged.
    if (kept && ready_) kept = clean(*connection_, clean_position_);
  } catch (const std::bad_alloc&) {
    kept = false;
  }
  if (!kept && had_connection) return drop();
  ready_ = false;
  pool_->take_back(std::move(connection_), had_connection);
  pool_.reset();
}

void PoolLease::drop() {
  if (!pool_) return;
  // Before the place is free, so that the server sees the old connection end before the new one
  // starts.
  reset();
  pool_->take_back(nullptr, false);
  pool_.reset();
}

// ---- places ------------------------------------------------------------------------------------

std::shared_ptr<Pool> Pool::create(Env& env, PoolConfig config) {
  return std::shared_ptr<Pool>(new Pool(env, std::move(config)));
}

Pool::Pool(Env& env, PoolConfig config)
    : env_(env),
      config_(std::move(config)),
      salted_keys_(env.tasks),
      monitor_(env.tasks.monitor()) {
  PGPROTO_ASSERT(config_.size > 0);
  idle_.reserve(config_.size);  // Giving back must not fail.
}

Pool::~Pool() { close(); }

Result<PoolLease> Pool::checkout() { return checkout(config_.wait_max); }

Result<PoolLease> Pool::checkout(Duration wait_max) {
  const TimePoint began = env_.clock.now();
  auto places = take(1, wait_max);
  Status done = places ? places->front().connect() : fail(places.error());
  count_request(began, !done);
  if (!done) return fail(std::move(done.error()));
  return std::move(places->front());
}

Result<std::vector<PoolLease>> Pool::reserve(size_t count) {
  const TimePoint began = env_.clock.now();
  auto places = take(count, config_.wait_max);
  count_request(began, !places);
  return places;
}

void Pool::count_request(TimePoint began, bool failed) {
  const Duration waited = env_.clock.now() - began;
  const Monitor::Lock lock(*monitor_);
  ++counters_.requests;
  counters_.requests_failed += failed ? 1 : 0;
  counters_.wait_total += waited;
  counters_.wait_longest = std::max(counters_.wait_longest, waited);
}

Result<std::vector<PoolLease>> Pool::take(size_t count, Duration wait_max) {
  if (count > config_.size) {
    return fail(Errc::kLimit, "connection pool \"" + config_.name + "\": " + std::to_string(count) +
                                  " connections are needed at once, but it has " +
                                  std::to_string(config_.size) + " in all");
  }
  const TimePoint began = env_.clock.now();
  const Deadline deadline = began + wait_max;
  Connections expired;
  Waiter waiter{.count = count, .monitor = nullptr, .idle = {}};
  waiter.idle.reserve(count);
  {
    const Monitor::Lock lock(*monitor_);
    if (closed_) return fail(closed());
    expired = take_expired();
    // Requests are served in order, however few places a later one asks for.
    if (waiters_.empty() && can_grant(count)) {
      grant(waiter);
    } else {
      waiter.monitor = env_.tasks.monitor();
      waiters_.push_back(&waiter);
    }
  }
  expired.clear();
  if (!waiter.granted) {
    {
      const Monitor::Lock lock(*waiter.monitor);
      while (!waiter.woken && waiter.monitor->wait(deadline)) {
      }
    }
    const Monitor::Lock lock(*monitor_);
    if (!waiter.granted) {
      const Error error = closed_ ? closed() : timed_out(count, env_.clock.now() - began);
      std::erase(waiters_, &waiter);
      serve_waiters();  // Requests further back may need fewer places.
      return fail(error);
    }
  }
  return make_leases(count, std::move(waiter.idle));
}

/// Grants places, with the most recently used connections. REQUIRES: locked, can_grant().
void Pool::grant(Waiter& to) {
  for (size_t i = 0; i < to.count && !idle_.empty(); ++i) {
    to.idle.push_back(std::move(idle_.back().connection));
    idle_.pop_back();
  }
  lent_ += to.count;
  connected_ += to.idle.size();
  to.granted = true;
}

std::vector<PoolLease> Pool::make_leases(size_t count, Connections idle) {
  std::vector<PoolLease> leases;
  leases.reserve(count);
  idle.resize(count);
  for (auto& connection : idle) {
    leases.push_back(PoolLease(shared_from_this(), std::move(connection)));
  }
  return leases;
}

/// REQUIRES: locked.
void Pool::serve_waiters() {
  while (!waiters_.empty() && can_grant(waiters_.front()->count)) {
    Waiter& first = *waiters_.front();
    waiters_.pop_front();
    grant(first);
    wake(first);
  }
}

/// REQUIRES: the pool is locked, so that the waiter cannot end.
void Pool::wake(Waiter& waiter) {
  const Monitor::Lock lock(*waiter.monitor);
  waiter.woken = true;
  waiter.monitor->notify_all();
}

// ---- connections -------------------------------------------------------------------------------

Result<std::unique_ptr<Connection>> Pool::open() {
  {
    const Monitor::Lock lock(*monitor_);
    ++opening_;
  }
  auto opened = Connection::open(env_, config_.connect, &salted_keys_);
  if (opened) {
    (*opened)->watch_silence({.env = &env_,
                              .options = &config_.connect,
                              .salted_keys = &salted_keys_,
                              .longest = config_.silence_max});
  }
  const Monitor::Lock lock(*monitor_);
  --opening_;
  if (!opened) return opened;
  ++connected_;
  ++counters_.opened;
  return opened;
}

Status Pool::connect_all(std::span<PoolLease> leases) {
  if (leases.empty()) return {};
  // The first connects alone: it derives the key that the others use, and a wrong password is
  // refused once instead of a dozen times.
  if (auto first = leases.front().connect(); !first) return first;
  std::vector<Status> outcomes(leases.size());
  const auto connect = [&leases, &outcomes](size_t i) {
    try {
      outcomes[i] = leases[i].connect();
    } catch (const std::bad_alloc&) {
      outcomes[i] = fail(Errc::kOutOfMemory, "out of memory");
    }
  };
  std::vector<std::unique_ptr<Task>> tasks;
  tasks.reserve(leases.size());
  for (size_t i = 1; i < leases.size(); ++i) {
    if (leases[i]) continue;
    auto task = leases[i].pool_->env_.tasks.spawn("pgsink-connect", [&connect, i] { connect(i); });
    if (task) {
      tasks.push_back(std::move(*task));
    } else {
      connect(i);  // No thread could be started: connect one after the other.
    }
  }
  for (const auto& task : tasks) task->join();
  for (Status& outcome : outcomes) {
    if (!outcome) return std::move(outcome);
  }
  return {};
}

void Pool::note_reset(bool broken) {
  const Monitor::Lock lock(*monitor_);
  --connected_;
  counters_.broken += broken ? 1 : 0;
}

void Pool::take_back(std::unique_ptr<Connection> kept, bool had_connection) {
  const TimePoint now = env_.clock.now();
  // `kept`, if the connection is not kept, is destroyed after unlocking.
  const Monitor::Lock lock(*monitor_);
  --lent_;
  if (had_connection) --connected_;
  if (kept && !closed_) {
    idle_.push_back({std::move(kept), now});
    start_reaper();
  }
  serve_waiters();
}

// ---- idle connections --------------------------------------------------------------------------

/// REQUIRES: locked. Close the returned connections after unlocking.
Pool::Connections Pool::take_expired() {
  Connections expired;
  if (config_.idle_max <= Duration::zero()) return expired;
  const TimePoint now = env_.clock.now();
  while (!idle_.empty() && now - idle_.front().since >= config_.idle_max) {
    expired.push_back(std::move(idle_.front().connection));
    idle_.erase(idle_.begin());
    ++counters_.reaped;
  }
  return expired;
}

/// REQUIRES: locked, and at least one connection is idle.
void Pool::start_reaper() {
  if (config_.idle_max <= Duration::zero()) return;
  if (idle_.size() == 1) monitor_->notify_all();  // The reaper had nothing to wait for.
  if (reaper_) return;
  try {
    auto task = env_.tasks.spawn("pgsink-pool", [this] { reap(); });
    if (task) reaper_ = std::move(*task);
  } catch (const std::bad_alloc&) {
    reaper_.reset();  // Without a thread, the next caller closes idle connections.
  }
}

/// The reaper's thread: it sleeps until the next connection has been idle for long enough.
void Pool::reap() {
  try {
    for (;;) {
      Connections expired;  // Destroyed at the end of a round, after unlocking.
      const Monitor::Lock lock(*monitor_);
      if (closed_) return;
      expired = take_expired();
      if (!expired.empty()) continue;
      monitor_->wait(idle_.empty() ? kNoDeadline : idle_.front().since + config_.idle_max);
    }
  } catch (const std::bad_alloc&) {
    return;  // As above.
  }
}

void Pool::close() {
  std::unique_ptr<Task> reaper;
  std::vector<Idle> idle;
  {
    const Monitor::Lock lock(*monitor_);
    closed_ = true;
    idle = std::exchange(idle_, {});
    reaper = std::move(reaper_);
    for (Waiter* waiter : std::exchange(waiters_, {})) wake(*waiter);
    monitor_->notify_all();
  }
  idle.clear();
  if (reaper) reaper->join();
}

// ---- state for messages and metrics -------------------------------------------------------------

PoolStats Pool::stats() {
  Connections expired;
  PoolStats stats;
  {
    const Monitor::Lock lock(*monitor_);
    expired = take_expired();
    stats = counters_;
    stats.size = config_.size;
    stats.in_use = connected_;
    stats.opening = opening_;
    stats.vacant = lent_ - connected_ - opening_;
    stats.idle = idle_.size();
    stats.waiting = waiters_.size();
  }
  return stats;
}

/// REQUIRES: locked.
std::string Pool::describe() const {
  return "size " + std::to_string(config_.size) + ", active " + std::to_string(connected_) +
         ", opening " + std::to_string(opening_) + ", reconnecting " +
         std::to_string(lent_ - connected_ - opening_) + ", idle " + std::to_string(idle_.size()) +
         ", waiting " + std::to_string(waiters_.size());
}

Error Pool::timed_out(size_t count, Duration waited) const {
  Error error;
  error.code = Errc::kPoolTimeout;
  error.message =
      "connection pool \"" + config_.name + "\": " +
      (count == 1 ? "no connection" : "not " + std::to_string(count) + " connections at once") +
      " became free within " + std::to_string(milliseconds(waited)) + " ms (" + describe() +
      "): raise connection_pool_size or connection_timeout_ms, or give connections back earlier";
  return error;
}

Error Pool::closed() const {
  Error error;
  error.code = Errc::kInterrupted;
  error.message = "connection pool \"" + config_.name + "\" is closed";
  return error;
}

}  // namespace pgsink
