#include "support/wire_proxy.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <deque>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgsink::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReceiveBytes = 256 * 1024;

[[noreturn]] void raise(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int dial_unix(const std::string& directory, uint16_t port) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = directory + "/.s.PGSQL." + std::to_string(port);
  if (path.size() >= sizeof name.sun_path)
    throw std::runtime_error("socket path too long: " + path);
  std::memcpy(name.sun_path, path.data(), path.size());
  if (::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) return fd;
  ::close(fd);
  return -1;
}

int dial_tcp(const std::string& host, uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  ::inet_pton(AF_INET, host.c_str(), &name.sin_addr);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

/// What one side said and the other has not got yet.
struct WireProxy::Stream {
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  int from = -1;
  int to = -1;
  Side side = Side::kFrontend;
  std::deque<Chunk> chunks;
  bool ended = false;          ///< The sender closed.
  bool startup = true;         ///< Frontend messages have no type byte yet.
  size_t message_left = 0;     ///< Of the message under way.
  std::string header;          ///< The first bytes of the next message.
  bool strike_at_end = false;  ///< The rule fires after the current message.
};

struct WireProxy::Link {
  int client = -1;
  int server = -1;
  Stream up;          // frontend → backend
  Stream down;        // backend → frontend
  bool held = false;  ///< Nothing moves before hold_new(false).
  bool swallowing = false;
  bool orphaned = false;
  bool closing = false;  ///< Close once the chunks are delivered.
  bool dead = false;
  ~Link() {
    if (client >= 0) ::close(client);
    if (server >= 0) ::close(server);
  }
};

WireProxy::WireProxy(std::string host, uint16_t port) : host_(std::move(host)), server_port_(port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&name), size) != 0) raise("bind");
  if (::listen(listener_, 64) != 0) raise("listen");
  if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    raise("getsockname");
  port_ = ntohs(name.sin_port);
  if (::pipe(wakeup_) != 0) raise("pipe");
  thread_ = std::thread([this] { run(); });
}

WireProxy::~WireProxy() {
  stop_ = true;
  wake_thread();
  thread_.join();
  ::close(listener_);
  ::close(wakeup_[0]);
  ::close(wakeup_[1]);
}

void WireProxy::set_rule(const Rule& rule) {
  const std::lock_guard lock(mutex_);
  rule_ = rule;
  armed_ = true;
  seen_ = 0;
  fired_ = false;
}

int WireProxy::seen() {
  const std::lock_guard lock(mutex_);
  return seen_;
}

void WireProxy::cut_after_bytes(Side side, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_side_ = side;
  bytes_left_ = bytes;
  fired_ = false;
}

void WireProxy::replace_once(std::string from, std::string to) {
  if (from.size() != to.size()) throw std::invalid_argument("not as long: " + to);
  const std::lock_guard lock(mutex_);
  replaced_ = std::move(from);
  replacement_ = std::move(to);
  fired_ = false;
}

void WireProxy::replace(std::string& bytes) {
  const std::lock_guard lock(mutex_);
  const size_t at = replaced_.empty() ? std::string::npos : bytes.find(replaced_);
  if (at == std::string::npos) return;
  bytes.replace(at, replacement_.size(), replacement_);
  replaced_.clear();
  fired_ = true;
}

void WireProxy::call_before(std::string text, std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  called_before_ = std::move(text);
  call_ = std::move(call);
  fired_ = false;
}

void WireProxy::call_if_due(const std::string& bytes) {
  std::function<void()> call;
  {
    const std::lock_guard lock(mutex_);
    if (!call_ || bytes.find(called_before_) == std::string::npos) return;
    call = std::exchange(call_, nullptr);
  }
  call();
  fired_ = true;
}

void WireProxy::drop_orphans() {
  drop_orphans_ = true;
  wake_thread();
}

void WireProxy::wake_thread() {
  [[maybe_unused]] const ssize_t written = ::write(wakeup_[1], "x", 1);
}

void WireProxy::run() {
  while (!stop_) {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}, {wakeup_[0], POLLIN, 0}};
    Clock::time_point wake = Clock::now() + std::chrono::seconds(1);
    for (const auto& link : links_) {
      link->held = link->held && hold_new_;
      for (const Stream* stream : {&link->up, &link->down}) {
        short in = 0;
        if (!link->held && !link->swallowing && !stream->ended && !link->closing) in = POLLIN;
        if (segment_bytes_ > 0 && !stream->chunks.empty()) in = 0;
        if (link->orphaned && stream->side == Side::kBackend) in = POLLIN;
        polled.push_back({in != 0 ? stream->from : -1, in, 0});
        short out = 0;
        if (!stream->chunks.empty()) {
          if (stream->chunks.front().due <= Clock::now()) {
            out = POLLOUT;
          } else {
            wake = std::min(wake, stream->chunks.front().due);
          }
        }
        polled.push_back({out != 0 ? stream->to : -1, out, 0});
      }
    }
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(wake - Clock::now());
    const int64_t ns = std::max<int64_t>(left.count(), 0);
    const timespec timeout{static_cast<time_t>(ns / 1'000'000'000),
                           static_cast<long>(ns % 1'000'000'000)};
    if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) < 0) continue;

    size_t at = 2;
    for (const auto& link : links_) {
      for (Stream* stream : {&link->up, &link->down}) {
        if (polled[at].revents != 0 && !link->dead) receive(*link, *stream);
        at += 2;
      }
      for (Stream* stream : {&link->up, &link->down}) {
        if (!link->dead && !deliver(*link, *stream)) link->dead = true;
      }
      const bool delivered = link->up.chunks.empty() && link->down.chunks.empty();
      if (link->closing && delivered) link->dead = true;
      if (link->swallowing && drop_orphans_) link->dead = true;
    }
    drop_orphans_ = false;
    links_.remove_if([](const auto& link) { return link->dead; });
    if (polled[0].revents != 0) accept_client();
    if (polled[1].revents != 0) {
      char byte = 0;
      [[maybe_unused]] const ssize_t read = ::read(wakeup_[0], &byte, 1);
    }
  }
  links_.clear();
}

void WireProxy::accept_client() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  if (refuse_) {
    ::close(client);
    return;
  }
  const int on = 1;
  ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto link = std::make_unique<Link>();
  link->client = client;
  link->held = hold_new_;
  link->server =
      host_.starts_with('/') ? dial_unix(host_, server_port_) : dial_tcp(host_, server_port_);
  if (link->server < 0) return;
  link->up.from = link->down.to = client;
  link->up.to = link->down.from = link->server;
  link->down.side = Side::kBackend;
  link->down.startup = false;
  links_.push_back(std::move(link));
  ++connections_;
}

void WireProxy::receive(Link& link, Stream& from) {
  static thread_local std::vector<std::byte> buffer(kReceiveBytes);
  const size_t segment = segment_bytes_;
  const size_t size_max = segment > 0 ? std::min(segment, buffer.size()) : buffer.size();
  const ssize_t size = ::recv(from.from, buffer.data(), size_max, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    from.ended = true;
    link.closing = true;
    return;
  }
  if (link.orphaned) return;  // What the server says to nobody.
  const size_t passed = scan(link, from, buffer.data(), static_cast<size_t>(size));
  if (passed == 0) return;
  std::string bytes(reinterpret_cast<const char*>(buffer.data()), passed);
  if (from.side == Side::kFrontend) {
    call_if_due(bytes);
    replace(bytes);
  }
  const std::chrono::microseconds later(delay_us_ + (segment > 0 ? segment_pause_us_.load() : 0));
  from.chunks.push_back({Clock::now() + later, std::move(bytes)});
}

/// Follows the messages in `data`, strikes where the rule says so, and returns how many bytes of it
/// are passed on.
size_t WireProxy::scan(Link& link, Stream& from, const std::byte* data, size_t size) {
  const std::lock_guard lock(mutex_);
  if (from.side == bytes_side_ && bytes_left_ != UINT64_MAX) {
    if (size >= bytes_left_) {
      const auto passed = static_cast<size_t>(bytes_left_);
      bytes_left_ = UINT64_MAX;
      strike(link, Effect::kCut);
      return passed;
    }
    bytes_left_ -= size;
  }
  for (size_t i = 0; i < size;) {
    if (from.message_left > 0) {
      const size_t part = std::min(from.message_left, size - i);
      from.message_left -= part;
      i += part;
      if (from.message_left == 0 && from.strike_at_end) {
        strike(link, rule_.effect);
        return i;
      }
      continue;
    }
    const size_t header_begin =
        i - from.header.size();  // May wrap: only used if it lies in `data`.
    const size_t header_bytes = from.startup ? 4 : 5;
    while (from.header.size() < header_bytes && i < size)
      from.header += static_cast<char>(data[i++]);
    if (from.header.size() < header_bytes) break;
    uint32_t length = 0;
    std::memcpy(&length, from.header.data() + header_bytes - 4, 4);
    from.message_left = std::max<uint32_t>(ntohl(length), 4) - 4;
    const char type = from.startup ? '\0' : from.header[0];
    // SSLRequest and GSSENCRequest (8 bytes) are followed by another untyped message.
    if (from.startup && ntohl(length) != 8) from.startup = false;
    from.header.clear();
    const bool matches =
        armed_ && from.side == rule_.side && (rule_.type == 0 || rule_.type == type);
    if (!matches || ++seen_ != rule_.nth) continue;
    armed_ = false;
    if (rule_.then_refuse) refuse_ = true;
    if (!rule_.pass_on || from.message_left == 0) {
      strike(link, rule_.effect);
      return rule_.pass_on ? i : std::min(header_begin, size);
    }
    from.strike_at_end = true;
  }
  return size;
}

void WireProxy::strike(Link& link, Effect effect) {
  fired_ = true;
  switch (effect) {
    case Effect::kCut:
      link.closing = true;
      break;
    case Effect::kOrphan:
      link.orphaned = true;
      link.swallowing = true;
      ::shutdown(link.client, SHUT_RDWR);
      break;
    case Effect::kSwallow:
      link.swallowing = true;
      break;
  }
}

bool WireProxy::deliver(Link& link, Stream& to) {
  if (link.swallowing && to.side == Side::kBackend) {
    to.chunks.clear();
    return true;
  }
  while (!to.chunks.empty() && to.chunks.front().due <= Clock::now()) {
    std::string& bytes = to.chunks.front().bytes;
    const ssize_t size = ::send(to.to, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    bytes.erase(0, static_cast<size_t>(size));
    if (bytes.empty()) to.chunks.pop_front();
  }
  return true;
}

}  // namespace pgsink::test
