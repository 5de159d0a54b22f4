#include "support/scripted_server.h"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace pgsink::test {

using pgproto::as_bytes;

Peer::~Peer() { close(); }

bool Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

std::string Peer::receive() {
  std::string bytes(65536, '\0');
  const ssize_t size = ::recv(fd_, bytes.data(), bytes.size(), 0);
  bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
  heard_ += bytes;
  decoder_.feed(bytes);
  return bytes;
}

std::optional<ClientSaid> Peer::next() {
  for (;;) {
    auto said = decoder_.next();
    if (!said) return std::nullopt;
    if (*said) return **said;
    if (receive().empty()) return std::nullopt;
  }
}

void Peer::wait_for_end() {
  while (!receive().empty()) {
  }
}

void Peer::reset() {
  const linger at_once = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Peer::close() {
  const std::lock_guard lock(mutex_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Peer::abort() {
  const std::lock_guard lock(mutex_);
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

bool Peer::let_in() {
  for (;;) {
    const auto said = next();
    if (!said) return false;
    const auto* packet = std::get_if<pgproto::StartupPacket>(&said->message);
    if (packet == nullptr) return false;
    if (std::holds_alternative<pgproto::StartupMessage>(*packet)) break;
    if (std::holds_alternative<pgproto::CancelRequest>(*packet)) return false;
    send("N");
  }
  const std::string key = "key!";
  send(authentication(pgproto::Authentication::Code::kOk) +
       encode_all({pgproto::ParameterStatus{"client_encoding", "UTF8"},
                   pgproto::BackendKeyData{4711, as_bytes(key)}, ready('I')}));
  const auto question = next();
  if (!question || question->as<pgproto::Query>() == nullptr) return false;
  return send(identity_answer());
}

void Peer::forward_to(uint16_t port, size_t bytes_max) {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string buffer(65536, '\0');
  const int ends[2] = {fd_, server};
  bool open = ::connect(server, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
  while (open && bytes_max > 0) {
    pollfd polled[2] = {{fd_, POLLIN, 0}, {server, POLLIN, 0}};
    if (::poll(polled, 2, -1) < 0) break;
    for (int side = 0; side < 2 && open; ++side) {
      if (polled[side].revents == 0) continue;
      const size_t room = side == 1 ? std::min(bytes_max, buffer.size()) : buffer.size();
      const ssize_t size = ::recv(ends[side], buffer.data(), room, 0);
      if (side == 0 && size > 0) heard_.append(buffer, 0, static_cast<size_t>(size));
      open = size > 0 &&
             ::send(ends[1 - side], buffer.data(), static_cast<size_t>(size), MSG_NOSIGNAL) == size;
      if (open && side == 1) bytes_max -= static_cast<size_t>(size);
    }
  }
  ::close(server);
}

ScriptedServer::ScriptedServer(Play play) : play_(std::move(play)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&name), size) != 0 ||
      ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    throw std::runtime_error("a scripted server cannot listen");
  }
  port_ = ntohs(name.sin_port);
  thread_ = std::thread([this] { run(); });
}

void ScriptedServer::run() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) break;
    peers_.push_back(std::make_shared<Peer>(fd));
    peers_.back()->number = connections_++;
    threads_.emplace_back([this, peer = peers_.back()] {
      play_(*peer);
      peer->close();
    });
  }
  for (const auto& peer : peers_) peer->abort();
  for (std::thread& thread : threads_) thread.join();
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

std::string ScriptedServer::conninfo(const std::string& more) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=u dbname=d " + more;
}

std::string identity_answer() {
  const std::vector<std::string> values = {"150020",
                                           "f",
                                           "4711",
                                           "2026-01-01 00:00:00.000001+00",
                                           "10",
                                           "on",
                                           "",
                                           "64",
                                           "off",
                                           "2026-01-01 00:00:00+00",
                                           "7000000000000000001",
                                           "00000001",
                                           "2026-01-01 00:00:00+00",
                                           "1000",
                                           "0",
                                           "postgres1"};
  pgproto::RowDescription description;
  pgproto::DataRow row;
  for (const std::string& value : values) {
    pgproto::FieldDescription field;
    field.name = "c";
    field.type_oid = pgproto::oid::kText;
    description.fields.push_back(field);
    row.values.emplace_back(as_bytes(value));
  }
  return encode_all({description, row, pgproto::CommandComplete{"SELECT 1"}, ready('I')});
}

}  // namespace pgsink::test
