// Opens 20 connections at once over a Unix socket with SCRAM-SHA-256: by libpq, all of them polled
// in one thread, and by a pool of pgsink, which derives the costly key once:
// docs/reference/benchmarks.md.

#include <memory>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "bench_server.h"
#include "measured_child.h"
#include "pgsink/client/pool.h"
#include "report.h"

namespace pgsink::bench {
namespace {

constexpr double kTimesOfLibpqMax = 0.45;
constexpr double kCpuOfLibpqMax = 0.10;

struct Config {
  size_t connections = 0;
  size_t rounds = 0;
};

// ---- libpq -------------------------------------------------------------------------------------

using PgConnection = std::unique_ptr<PGconn, decltype(&::PQfinish)>;

/// One step of each login whose socket is ready, until all are done.
void connect_by_libpq(const std::string& conninfo, std::vector<PgConnection>& connections,
                      size_t count) {
  std::vector<pollfd> waits;
  for (size_t i = 0; i < count; ++i) {
    connections.emplace_back(::PQconnectStart(conninfo.c_str()), &::PQfinish);
    // Source: PostgreSQL documentation, "PQconnectStartParams": first as if it had said WRITING.
    waits.push_back({::PQsocket(connections.back().get()), POLLOUT, 0});
  }
  for (size_t left = count; left > 0;) {
    if (::poll(waits.data(), waits.size(), -1) < 0) throw std::runtime_error("poll failed");
    for (size_t i = 0; i < count; ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      PGconn* connection = connections[i].get();
      const PostgresPollingStatusType next = ::PQconnectPoll(connection);
      if (next == PGRES_POLLING_FAILED) throw std::runtime_error(::PQerrorMessage(connection));
      waits[i].events = next == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
      waits[i].fd = next == PGRES_POLLING_OK ? -1 : ::PQsocket(connection);
      if (next == PGRES_POLLING_OK) --left;
    }
  }
}

Run libpq_run(const std::string& conninfo, size_t count) {
  return [conninfo, count](Meter& meter) {
    std::vector<PgConnection> connections;
    meter.start();
    connect_by_libpq(conninfo, connections, count);
    meter.stop();
  };
}

// ---- pgsink ------------------------------------------------------------------------------------

std::shared_ptr<Pool> make_pool(OsEnv& os, const std::string& conninfo, size_t size) {
  auto parsed = parse_conninfo(conninfo);
  if (!parsed) throw std::runtime_error(parsed.error().to_string());
  auto complete = apply_environment(std::move(*parsed), os.env().files);
  if (!complete) throw std::runtime_error(complete.error().to_string());
  return Pool::create(os.env(), {.name = "bench", .connect = std::move(*complete), .size = size});
}

void check(const Status& status) {
  if (!status) throw std::runtime_error(status.error().to_string());
}

/// All of them, from nothing; or, if `warm`, all but the first, which comes before the measurement.
Run pool_run(const std::string& conninfo, size_t count, bool warm) {
  return [conninfo, count, warm](Meter& meter) {
    OsEnv os;
    const auto pool = make_pool(os, conninfo, count);
    auto places = pool->reserve(count);
    if (!places) throw std::runtime_error(places.error().to_string());
    if (warm) check(places->front().connect());
    meter.start();
    check(Pool::connect_all(*places));
    meter.stop();
  };
}

// ---- both --------------------------------------------------------------------------------------

struct Figure {
  std::vector<double> wall_ms, cpu_ms;  ///< Of all connections together.
  void add(const Sample& sample) {
    wall_ms.push_back(1e3 * sample.wall_s);
    cpu_ms.push_back(1e3 * sample.cpu_s);
  }
};

void report_figures(const Config& config, const Figure& libpq, const Figure& cold,
                    const Figure& warm, const Flags& flags) {
  const auto count = static_cast<double>(config.connections);
  const double libpq_cpu = median(libpq.cpu_ms) / count;
  const double warm_cpu = median(warm.cpu_ms) / (count - 1);
  const std::string all = std::to_string(config.connections);
  Table table({"client", "connections", "all open after, ms", "client CPU per connection, ms"});
  table.add({"libpq, PQconnectPoll", all, fixed(median(libpq.wall_ms), 1), fixed(libpq_cpu, 2)});
  table.add({"pool of pgsink", all, fixed(median(cold.wall_ms), 1),
             fixed(median(cold.cpu_ms) / count, 2)});
  table.add({"pool of pgsink, after its first", std::to_string(config.connections - 1),
             fixed(median(warm.wall_ms), 1), fixed(warm_cpu, 2)});
  const double times = median(cold.wall_ms) / median(libpq.wall_ms);
  Report report;
  Goals& goals = report.goals;
  goals.at_most(all + " at once: time of libpq's", times, kTimesOfLibpqMax);
  goals.at_most("client CPU after the first: of libpq's", warm_cpu / libpq_cpu, kCpuOfLibpqMax);
  Figures& figures = report.figures;
  figures.add("libpq: ms", median(libpq.wall_ms));
  figures.add("libpq: CPU ms a connection", libpq_cpu);
  figures.add("pool: ms", median(cold.wall_ms));
  figures.add("pool: CPU ms a connection after the first", warm_cpu);
  report.page = section("How fast do many connections open at once?",
                        "From the request for the first connection until the last one is open. "
                        "Unix socket, SCRAM-SHA-256 with 4,096 iterations. Medians of " +
                            std::to_string(config.rounds) +
                            " interleaved rounds, each in a process of its own.",
                        table);
  finish(flags, report);
}

void run(const Flags& flags) {
  const Config config{.connections = flags.count("connections"), .rounds = flags.count("rounds")};
  if (config.connections < 2 || config.rounds == 0) throw std::runtime_error("nothing to measure");
  const auto server = start_bench_server();
  server->sql(
      "SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'open sesame'");
  server->set_hba({"local all scram scram-sha-256", "local all all trust"});
  const std::string conninfo = "host=" + server->socket_dir() +
                               " port=" + std::to_string(server->port()) +
                               " user=scram password='open sesame' dbname=postgres";
  Figure libpq, cold, warm;
  for (size_t round = 0; round < config.rounds; ++round) {
    libpq.add(measure(libpq_run(conninfo, config.connections)));
    cold.add(measure(pool_run(conninfo, config.connections, false)));
    warm.add(measure(pool_run(conninfo, config.connections, true)));
  }
  report_figures(config, libpq, cold, warm, flags);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("connect_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    run(Flags(arguments, {{"connections", "20"},
                          {"rounds", "15"},
                          {"markdown", ""},
                          {"details", ""},
                          {"json", ""},
                          {"enforce", "no"}}));
  });
}
