#pragma once
// MetricsHttp: a small HTTP server for monitoring, in a separate thread. It answers GET and HEAD
// for a fixed set of paths, one request per connection, and nothing else.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include <pgproto/error.h>

namespace pgsink::shell {

class MetricsHttp {
 public:
  struct Answer {
    int status = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
  };
  using Pages = std::map<std::string, std::function<Answer()>>;

  /// Listens at "PORT", ":PORT", "HOST:PORT" or "[IPv6]:PORT"; without a host only on 127.0.0.1.
  /// Port 0 takes a free one. Pages are generated in the server's thread.
  static pgproto::Result<std::unique_ptr<MetricsHttp>> start(const std::string& address,
                                                             Pages pages);
  ~MetricsHttp();
  MetricsHttp(const MetricsHttp&) = delete;
  MetricsHttp& operator=(const MetricsHttp&) = delete;

  /// Its address: "127.0.0.1:9187".
  const std::string& address() const { return address_; }

 private:
  MetricsHttp(int listening, int wake_read, int wake_write, std::string address, Pages pages);
  void run();
  void serve(int client) const;
  std::string respond(const std::string& head) const;

  const int listening_, wake_read_, wake_write_;
  const std::string address_;
  const Pages pages_;
  std::thread thread_;
};

}  // namespace pgsink::shell
