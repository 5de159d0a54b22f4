#pragma once
// Env: the five interfaces through which the library reaches the outside: time, randomness,
// network, threads, files. Production implements them with the operating system (os_env.cc); a
// simulation can implement them with fibers and virtual time.
//
// Rules that keep the simulation possible: no thread_local, no mutable statics, no lock held over
// an exchange, no decision from hash or pointer order or from the wall clock.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/error.h>

namespace pgsink {

using pgproto::Bytes;
using pgproto::Errc;
using pgproto::Error;
using pgproto::fail;
using pgproto::MutableBytes;
using pgproto::Result;
using pgproto::Status;

/// Monotonic time. A Deadline is a point of it; kNoDeadline never passes.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;
using Deadline = TimePoint;
inline constexpr Deadline kNoDeadline = TimePoint::max();
/// A deadline that has passed: only what is possible without waiting is done.
inline constexpr Deadline kAtOnce = TimePoint{};

/// Clock returns the time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() = 0;
  /// Microseconds since 1970-01-01 UTC, for reports only: no decision depends on it.
  virtual int64_t wall_us() = 0;
};

/// Random draws bytes that an attacker cannot guess. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes to) = 0;
  uint64_t next_u64();
};

/// Monitor is a mutex and its condition. Lock with `Monitor::Lock lock(monitor)`.
class Monitor {
 public:
  virtual ~Monitor() = default;
  virtual void lock() = 0;
  virtual void unlock() = 0;
  /// Unlocks, sleeps until notify_all(), the deadline, or a spurious wakeup, and locks again. False
  /// if the deadline has passed.
  virtual bool wait(Deadline deadline) = 0;
  virtual void notify_all() = 0;

  class Lock {
   public:
    explicit Lock(Monitor& monitor) : monitor_(monitor) { monitor_.lock(); }
    ~Lock() { monitor_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    Monitor& monitor_;
  };
};

/// Task is a running function; join before destruction.
class Task {
 public:
  virtual ~Task() = default;
  virtual void join() = 0;
};

/// Tasks starts concurrent functions and makes monitors. Thread-safe.
class Tasks {
 public:
  virtual ~Tasks() = default;
  virtual Result<std::unique_ptr<Task>> spawn(std::string_view name,
                                              std::function<void()> body) = 0;
  virtual std::unique_ptr<Monitor> monitor() = 0;
};

/// Transport is one byte stream to a server: TCP, Unix socket, or TLS over one of them. Not
/// thread-safe, except interrupt().
class Transport {
 public:
  virtual ~Transport() = default;

  struct Moved {
    size_t sent = 0;      ///< Bytes of `out` taken, in order.
    size_t received = 0;  ///< Bytes put at the start of `in`.
    bool eof = false;     ///< The peer closed its side; only with received == 0.
    bool interrupted = false;
  };
  /// exchange moves bytes in both directions and returns as soon as some moved. A blocked send
  /// still receives, so the server is always heard. Sends `out` if not empty, receives into `in` if
  /// not empty. With `out` empty it waits for bytes to arrive. It does one send and one receive,
  /// and does not wait for the rest. Fails with kTimeout, kConnectionLost, kTls. A call that moved
  /// bytes succeeds, and a failure is reported by the next one: `sent` counts exactly the bytes
  /// that may have left, which decides whether a lost COMMIT can have reached the server. Bytes
  /// that arrived before an error are received first.
  virtual Result<Moved> exchange(Bytes out, MutableBytes in, Deadline deadline) = 0;
  /// Makes the running or the next exchange() return with `interrupted`. Thread-safe.
  virtual void interrupt() = 0;
  /// The TCP port of this side; 0: it has none, or it is not known.
  virtual uint16_t local_port() const { return 0; }
  /// Announces that nothing more will be sent, if the transport has a message for that (TLS:
  /// close_notify) and sending it does not block.
  virtual void end_stream() {}
  /// Closes at once, without such an announcement. Idempotent.
  virtual void close() = 0;
};

/// Address is where to connect: a TCP host and port, or a Unix socket's path.
struct Address {
  std::string
      host;  ///< Name or numeric address; a leading '/' makes it a Unix socket directory, '@'
             ///< abstract.
  uint16_t port = 5432;
  std::string host_address;  ///< libpq: hostaddr, skips the name lookup.
  friend bool operator==(const Address&, const Address&) = default;
};
struct SocketOptions {
  bool keepalives = true;
  int keepalives_idle_s = 0, keepalives_interval_s = 0, keepalives_count = 0;  ///< 0: the system's
                                                                               ///< default
  int tcp_user_timeout_ms = 0;
  friend bool operator==(const SocketOptions&, const SocketOptions&) = default;
};
/// Network connects. Thread-safe.
class Network {
 public:
  virtual ~Network() = default;
  /// All addresses of a name, in the resolver's order: each a literal host_address. A Unix socket
  /// resolves to itself.
  virtual Result<std::vector<Address>> resolve(const Address& address, Deadline deadline) = 0;
  /// A connected Transport without TLS.
  virtual Result<std::unique_ptr<Transport>> dial(const Address& resolved, const SocketOptions&,
                                                  Deadline deadline) = 0;
};

/// OutputFile is a file that only grows. Not thread-safe. Closed when it is destroyed.
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  /// Appends all of it, or fails with kFile after appending a part.
  virtual Status append(std::string_view bytes) = 0;
  /// When this returns, everything appended is on disk.
  virtual Status sync() = 0;
  /// Truncates the file to that many bytes.
  virtual Status truncate(uint64_t bytes) = 0;
};

/// Files reads small files (secrets, passfiles, certificates), the environment, and writes reports.
/// Thread-safe.
class Files {
 public:
  virtual ~Files() = default;
  struct Info {
    uint32_t mode = 0;  ///< Permission bits.
    bool regular = false;
    bool directory = false;
    uint32_t owner = 0;
  };
  virtual Result<Info> info(const std::string& path) = 0;
  virtual Result<std::string> read(const std::string& path, size_t bytes_max) = 0;
  /// Opens or creates a regular file, readable and writable by its owner only; its directory entry
  /// is on disk too. It is locked while open: opening it again fails.
  virtual Result<std::unique_ptr<OutputFile>> open_to_append(const std::string& path) = 0;
  /// Gives a file a new name: false if a file has that name already.
  virtual Result<bool> rename(const std::string& from, const std::string& to) = 0;
  /// Runs a command of the system's shell and returns the first line of its output. Fails with
  /// kFile, without the output, if it cannot be run, fails or takes longer.
  virtual Result<std::string> line_of(const std::string& command, Duration longest) {
    static_cast<void>(longest);
    return fail(Errc::kFile, "no commands are run here: " + command);
  }
  virtual std::optional<std::string> environment(const std::string& name) = 0;
  virtual std::string user_name() = 0;       ///< Of the effective user.
  virtual std::string home_directory() = 0;  ///< "" if there is none.
};

struct Env {
  Clock& clock;
  Random& random;
  Network& network;
  Tasks& tasks;
  Files& files;
};

/// OsEnv implements Env by the operating system: threads, sockets, clocks and random source.
class OsEnv {
 public:
  OsEnv();
  ~OsEnv();
  OsEnv(const OsEnv&) = delete;
  OsEnv& operator=(const OsEnv&) = delete;
  /// Valid as long as the OsEnv.
  Env& env() { return env_; }

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  Env env_;
};

}  // namespace pgsink
