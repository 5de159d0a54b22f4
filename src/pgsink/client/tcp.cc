#include "pgsink/client/tcp.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "pgsink/client/os_file_descriptor.h"
#include "pgsink/client/os_resolve.h"

namespace pgsink {

namespace {

// While sends succeed, the socket is checked for input only this often, because each check is a
// system call. This cannot deadlock: a send that would block polls both directions and receives.
// The number only limits how late a server's refusal is noticed.
constexpr size_t kSentBetweenReceives = size_t{256} << 10;

// Unix sockets do not grow their buffer automatically. With the default of 208 KiB the client is
// woken about every 150 KiB; the kernel limits the request to wmem_max, and doubles it.
constexpr int kUnixSendBufferBytes = 1 << 20;

// The time left as ppoll() takes it; null waits forever.
class Timeout {
 public:
  Timeout(Clock& clock, Deadline deadline) {
    if (deadline == kNoDeadline) return;
    const Duration left = std::max(deadline - clock.now(), Duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    // A deadline that far away never passes within one poll; the caller polls again.
    time_.tv_sec = static_cast<time_t>(std::min<int64_t>(seconds.count(), 1'000'000));
    time_.tv_nsec = static_cast<long>((left - seconds).count());
    limited_ = true;
  }
  const timespec* get() const { return limited_ ? &time_ : nullptr; }

 private:
  timespec time_{};
  bool limited_ = false;
};

class SocketTransport final : public Transport {
 public:
  SocketTransport(Clock& clock, FileDescriptor socket, FileDescriptor wakeup)
      : clock_(clock), socket_(std::move(socket)), wakeup_(std::move(wakeup)) {}

  Result<Moved> exchange(Bytes out, MutableBytes in, Deadline deadline) override;

  void interrupt() override {
    interrupted_.store(true, std::memory_order_release);
    const uint64_t one = 1;
    // It can fail only if the counter is full, and then poll() wakes up as well.
    [[maybe_unused]] const ssize_t written = ::write(wakeup_.get(), &one, sizeof one);
  }

  uint16_t local_port() const override;
  void close() override { socket_.reset(); }

 private:
  void clear_interrupt();
  void send_some(Bytes out, Moved& moved);
  Result<bool> receive_some(MutableBytes in, Moved& moved);
  Result<short> wait(bool to_send, bool to_receive, Deadline deadline);
  std::unexpected<Error> lost(int error_number) const;

  Clock& clock_;
  FileDescriptor socket_;
  FileDescriptor wakeup_;
  std::atomic<bool> interrupted_ = false;
  size_t sent_since_receive_ = 0;
  bool send_blocked_ = false;  // the kernel is full: ask poll() before the next send
  int send_error_ = 0;         // kept: what the server sent before it left is received first
};

uint16_t SocketTransport::local_port() const {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  if (name.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port);
  if (name.ss_family != AF_INET6) return 0;
  return ntohs(reinterpret_cast<const sockaddr_in6&>(name).sin6_port);
}

// An interrupt that comes between the two lines is reported again by the next call: a spurious
// report does no harm, a missed one would.
void SocketTransport::clear_interrupt() {
  interrupted_.store(false, std::memory_order_release);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = ::read(wakeup_.get(), &count, sizeof count);
}

std::unexpected<Error> SocketTransport::lost(int error_number) const {
  return fail(Errc::kConnectionLost, "the connection broke: " + describe_errno(error_number));
}

void SocketTransport::send_some(Bytes out, Moved& moved) {
  for (;;) {
    const ssize_t size = ::send(socket_.get(), out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size >= 0) {
      moved.sent = static_cast<size_t>(size);
      sent_since_receive_ += moved.sent;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
      send_error_ = errno;
    }
    send_blocked_ = moved.sent < out.size();
    return;
  }
}

// True if something was received or the end was reached.
Result<bool> SocketTransport::receive_some(MutableBytes in, Moved& moved) {
  sent_since_receive_ = 0;
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), in.data(), in.size(), MSG_DONTWAIT);
    if (size > 0) {
      moved.received = static_cast<size_t>(size);
      return true;
    }
    if (size == 0) {
      // The peer has closed both directions: PostgreSQL never closes only one.
      moved.eof = moved.sent == 0;
      return true;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    if (moved.sent > 0) return true;  // The next call gets the error again.
    return lost(errno);
  }
}

// The result of poll() for the socket; 0 if an interrupt ended the wait.
Result<short> SocketTransport::wait(bool to_send, bool to_receive, Deadline deadline) {
  pollfd polled[2] = {};
  polled[0].fd = socket_.get();
  polled[0].events = static_cast<short>((to_send ? POLLOUT : 0) | (to_receive ? POLLIN : 0));
  polled[1].fd = wakeup_.get();
  polled[1].events = POLLIN;
  for (;;) {
    const Timeout timeout(clock_, deadline);
    const int count = ::ppoll(polled, 2, timeout.get(), nullptr);
    if (count < 0 && errno != EINTR) return lost(errno);
    if (count > 0) {
      // Otherwise move bytes first; the next call reports the interrupt.
      if (polled[0].revents == 0) clear_interrupt();
      return polled[0].revents;
    }
    if (deadline != kNoDeadline && clock_.now() >= deadline) {
      return fail(Errc::kTimeout, to_send ? "the server did not take what was sent in time"
                                          : "the server did not answer in time");
    }
  }
}

Result<Transport::Moved> SocketTransport::exchange(Bytes out, MutableBytes in, Deadline deadline) {
  Moved moved;
  if (!socket_.open()) return fail(Errc::kConnectionLost, "the connection was closed");
  PGPROTO_ASSERT(!out.empty() || !in.empty());
  if (interrupted_.load(std::memory_order_acquire)) {
    clear_interrupt();
    moved.interrupted = true;
    return moved;
  }
  // Each check of the socket is a system call: sending is tried without a check, receiving only if
  // poll() reported bytes, if there is nothing to send, or if the last check was long ago.
  bool look = out.empty();
  for (;;) {
    if (!out.empty() && !send_blocked_ && send_error_ == 0) {
      send_some(out, moved);
      if (moved.sent > 0 && sent_since_receive_ < kSentBetweenReceives) return moved;
      look = look || moved.sent > 0 || send_error_ != 0;
    }
    if (look && !in.empty()) {
      const auto received = receive_some(in, moved);
      if (!received) return fail(received.error());
      if (*received) return moved;
    }
    if (moved.sent > 0) return moved;
    if (send_error_ != 0) return lost(send_error_);
    const auto ready = wait(!out.empty(), !in.empty(), deadline);
    if (!ready) return fail(ready.error());
    if (*ready == 0) {
      moved.interrupted = true;
      return moved;
    }
    send_blocked_ = send_blocked_ && (*ready & ~POLLIN) == 0;
    look = (*ready & ~POLLOUT) != 0;
  }
}

bool set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Status set_tcp_options(int fd, const SocketOptions& options) {
  bool done = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.keepalives) {
    done = done && set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (options.keepalives_idle_s > 0) {
      done = done && set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalives_idle_s);
    }
    if (options.keepalives_interval_s > 0) {
      done = done && set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepalives_interval_s);
    }
    if (options.keepalives_count > 0) {
      done = done && set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalives_count);
    }
  }
  if (options.tcp_user_timeout_ms > 0) {
    done = done && set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.tcp_user_timeout_ms);
  }
  if (done) return {};
  return fail(Errc::kOptionValue,
              "the system refuses the socket options (keepalives, "
              "tcp_user_timeout): " +
                  describe_errno(errno));
}

class SocketNetwork final : public Network {
 public:
  explicit SocketNetwork(Clock& clock) : clock_(clock) {}

  Result<std::vector<Address>> resolve(const Address& address, Deadline deadline) override {
    if (is_unix_socket(address)) return std::vector{address};
    const std::string& name = address.host_address.empty() ? address.host : address.host_address;
    auto found = resolve_host(name, deadline);
    if (!found) return fail(std::move(found.error()));
    std::vector<Address> resolved;
    for (std::string& literal : *found) {
      resolved.push_back({address.host, address.port, std::move(literal)});
    }
    return resolved;
  }

  Result<std::unique_ptr<Transport>> dial(const Address& resolved, const SocketOptions& options,
                                          Deadline deadline) override {
    auto socket = is_unix_socket(resolved) ? dial_unix(resolved, deadline)
                                           : dial_tcp(resolved, options, deadline);
    if (!socket) return fail(std::move(socket.error()));
    FileDescriptor wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wakeup.open()) return refused("eventfd", errno);
    return std::make_unique<SocketTransport>(clock_, std::move(*socket), std::move(wakeup));
  }

 private:
  Result<FileDescriptor> dial_unix(const Address& address, Deadline deadline);
  Result<FileDescriptor> dial_tcp(const Address& address, const SocketOptions& options,
                                  Deadline deadline);
  Status finish_connect(int fd, const std::string& endpoint, Deadline deadline);

  static std::unexpected<Error> refused(const std::string& endpoint, int error_number) {
    return fail(Errc::kConnect,
                "cannot connect to " + endpoint + ": " + describe_errno(error_number));
  }

  Clock& clock_;
};

Result<FileDescriptor> SocketNetwork::dial_unix(const Address& address, Deadline deadline) {
  const std::string path = unix_socket_path(address);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    return fail(Errc::kOptionValue, "the Unix socket's path " + path + " has " +
                                        std::to_string(path.size()) + " bytes; the system allows " +
                                        std::to_string(sizeof name.sun_path - 1));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  const bool abstract = path.front() == '@';
  if (abstract) name.sun_path[0] = '\0';
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.open()) return refused(path, errno);
  // If the server's backlog is full, a non-blocking connect() fails at once; a blocking one waits,
  // up to SO_SNDTIMEO.
  const Timeout left(clock_, deadline);
  if (left.get() != nullptr) {
    const timeval limit = {left.get()->tv_sec, left.get()->tv_nsec / 1000 + 1};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      return fail(Errc::kTimeout, path + ": the server did not accept the connection in time");
    }
    return refused(path, errno);
  }
  if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) return refused(path, errno);
  set_option(socket.get(), SOL_SOCKET, SO_SNDBUF, kUnixSendBufferBytes);
  return socket;
}

Result<FileDescriptor> SocketNetwork::dial_tcp(const Address& address, const SocketOptions& options,
                                               Deadline deadline) {
  const std::string literal = address.host_address.empty() ? address.host : address.host_address;
  const bool v6 = literal.find(':') != std::string::npos;
  const std::string endpoint =
      (v6 ? "[" + literal + "]" : literal) + ":" + std::to_string(address.port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int code = ::getaddrinfo(literal.c_str(), port.c_str(), &hints, &found); code != 0) {
    return fail(Errc::kConnect, "\"" + literal + "\" is not a numeric address");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  FileDescriptor socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.open()) return refused(endpoint, errno);
  if (auto status = set_tcp_options(socket.get(), options); !status) {
    return fail(std::move(status.error()));
  }
  if (::connect(socket.get(), list->ai_addr, list->ai_addrlen) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return refused(endpoint, errno);
    if (auto status = finish_connect(socket.get(), endpoint, deadline); !status) {
      return fail(std::move(status.error()));
    }
  }
  return socket;
}

Status SocketNetwork::finish_connect(int fd, const std::string& endpoint, Deadline deadline) {
  pollfd polled = {fd, POLLOUT, 0};
  for (;;) {
    const Timeout timeout(clock_, deadline);
    const int count = ::ppoll(&polled, 1, timeout.get(), nullptr);
    if (count > 0) break;
    if (count < 0 && errno != EINTR) return refused(endpoint, errno);
    if (deadline != kNoDeadline && clock_.now() >= deadline) {
      return fail(Errc::kTimeout, endpoint + ": no answer to the attempt to connect in time");
    }
  }
  int error_number = 0;
  socklen_t size = sizeof error_number;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
  if (error_number != 0) return refused(endpoint, error_number);
  return {};
}

}  // namespace

std::string unix_socket_path(const Address& address) {
  return address.host + "/.s.PGSQL." + std::to_string(address.port);
}

std::unique_ptr<Network> make_socket_network(Clock& clock) {
  return std::make_unique<SocketNetwork>(clock);
}

}  // namespace pgsink
