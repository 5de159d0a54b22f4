#include "shell/connections/metrics_http.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using std::chrono::steady_clock;

/// A request is a line and a few headers.
constexpr size_t kRequestBytesMax = 8 << 10;
/// A client that sends or reads more slowly is disconnected: the next one waits.
constexpr std::chrono::seconds kClientTimeout{2};

struct Place {
  std::string host, port;
};

std::optional<Place> parse_place(const std::string& address) {
  const size_t colon = address.rfind(':');
  Place place{"127.0.0.1", colon == std::string::npos ? address : address.substr(colon + 1)};
  if (colon != std::string::npos && colon > 0) place.host = address.substr(0, colon);
  if (place.host.starts_with('[') && place.host.ends_with(']')) {
    place.host = place.host.substr(1, place.host.size() - 2);
  }
  const bool number = !place.port.empty() && place.port.size() <= 5 &&
                      place.port.find_first_not_of("0123456789") == std::string::npos &&
                      std::stoi(place.port) <= 65535;
  if (!number) return std::nullopt;
  return place;
}

std::string bound_address(int listening) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getsockname(listening, address, &bytes) != 0 ||
      ::getnameinfo(address, bytes, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  const std::string name(host.data());
  const bool six = name.find(':') != std::string::npos;
  return (six ? "[" + name + "]" : name) + ":" + port.data();
}

pgproto::Result<int> listen_at(const std::string& text) {
  const auto place = parse_place(text);
  if (!place) {
    return fail(Errc::kUsage, "--metrics-listen takes PORT or HOST:PORT, not '" + text + "'");
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int refused = ::getaddrinfo(place->host.c_str(), place->port.c_str(), &hints, &found);
  if (refused != 0) {
    return fail(Errc::kUsage, "--metrics-listen " + text + ": " + ::gai_strerror(refused));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  const int listening =
      ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, found->ai_protocol);
  const int on = 1;
  if (listening >= 0) ::setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (listening < 0 || ::bind(listening, found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listening, 16) != 0) {
    const int error = errno;
    if (listening >= 0) ::close(listening);
    return fail(Errc::kUsage, "--metrics-listen " + text + ": " + std::strerror(error));
  }
  return listening;
}

bool wait_for(int file, short events, steady_clock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  pollfd polled{.fd = file, .events = events, .revents = 0};
  return left > 0 && ::poll(&polled, 1, static_cast<int>(left)) > 0;
}

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

}  // namespace

pgproto::Result<std::unique_ptr<MetricsHttp>> MetricsHttp::start(const std::string& address,
                                                                 Pages pages) {
  const auto listening = listen_at(address);
  if (!listening) return fail(listening.error());
  std::array<int, 2> wake{};
  if (::pipe2(wake.data(), O_CLOEXEC) != 0) {
    ::close(*listening);
    return fail(Errc::kInternal, std::string("--metrics-listen: ") + std::strerror(errno));
  }
  return std::unique_ptr<MetricsHttp>(
      new MetricsHttp(*listening, wake[0], wake[1], bound_address(*listening), std::move(pages)));
}

MetricsHttp::MetricsHttp(int listening, int wake_read, int wake_write, std::string address,
                         Pages pages)
    : listening_(listening),
      wake_read_(wake_read),
      wake_write_(wake_write),
      address_(std::move(address)),
      pages_(std::move(pages)) {
  thread_ = std::thread([this] { run(); });
}

MetricsHttp::~MetricsHttp() {
  ::close(wake_write_);
  thread_.join();
  ::close(wake_read_);
  ::close(listening_);
}

void MetricsHttp::run() {
  for (;;) {
    std::array<pollfd, 2> polled{pollfd{listening_, POLLIN, 0}, pollfd{wake_read_, POLLIN, 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    if (polled[0].revents == 0) continue;
    const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) continue;
    serve(client);
    ::close(client);
  }
}

void MetricsHttp::serve(int client) const {
  const auto deadline = steady_clock::now() + kClientTimeout;
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < kRequestBytesMax) {
    std::array<char, 2048> part{};
    if (!wait_for(client, POLLIN, deadline)) return;
    const ssize_t bytes = ::recv(client, part.data(), part.size(), 0);
    if (bytes <= 0) return;
    head.append(part.data(), static_cast<size_t>(bytes));
  }
  const std::string answer = respond(head);
  for (size_t sent = 0; sent < answer.size();) {
    if (!wait_for(client, POLLOUT, deadline)) return;
    const ssize_t bytes = ::send(client, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (bytes < 0 && errno != EAGAIN) return;
    if (bytes > 0) sent += static_cast<size_t>(bytes);
  }
}

std::string MetricsHttp::respond(const std::string& head) const {
  const size_t space = head.find(' ');
  const size_t end = space == std::string::npos ? space : head.find_first_of(" ?\r\n", space + 1);
  Answer answer{400, "text/plain; charset=utf-8", "bad request\n"};
  const std::string method = head.substr(0, space);
  if (end != std::string::npos) {
    const auto page = pages_.find(head.substr(space + 1, end - space - 1));
    if (method != "GET" && method != "HEAD") {
      answer = {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
    } else if (page == pages_.end()) {
      answer = {404, "text/plain; charset=utf-8", "there are:"};
      for (const auto& entry : pages_) answer.body += " " + entry.first;
      answer.body += "\n";
    } else {
      answer = page->second();
    }
  }
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " " + reason_of(answer.status) +
                     "\r\nContent-Type: " + answer.type +
                     "\r\nContent-Length: " + std::to_string(answer.body.size()) +
                     "\r\nConnection: close\r\n\r\n";
  if (method != "HEAD") text += answer.body;
  return text;
}

}  // namespace pgsink::shell
