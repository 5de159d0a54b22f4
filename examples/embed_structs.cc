// Structs into PostgreSQL: upserts with exactly-once delivery, rejected rows to a callback.
//
//   embed_structs 'postgresql://user@localhost/analytics'
//
// The table: CREATE TABLE trades (id bigint PRIMARY KEY, price numeric(12,2) NOT NULL
//            CHECK (price > 0), venue text, traded_at timestamptz)

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>
#include <pgsink/sink.h>

namespace {

struct Trade {
  int64_t id = 0;
  double price = 0;
  std::optional<std::string> venue;
  std::chrono::sys_time<std::chrono::microseconds> traded_at;
};

// The members stay where they are: the batch owns the vector and is a view of it.
pgsink::RecordBatch batch_of_trades(std::vector<Trade> trades) {
  return pgsink::batch_of(
      std::move(trades), pgsink::column("id", &Trade::id), pgsink::column("price", &Trade::price),
      pgsink::column("venue", &Trade::venue), pgsink::column("traded_at", &Trade::traded_at));
}

void check(const pgsink::Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  std::exit(1);
}

// A source that can be read again from any position: here, arithmetic.
std::vector<Trade> trades_after(uint64_t position, uint64_t count) {
  std::vector<Trade> trades;
  for (uint64_t n = position + 1; n <= position + count; ++n) {
    const double price = n % 100 == 0 ? -1 : static_cast<double>(n % 1000) + 0.25;
    trades.push_back({.id = static_cast<int64_t>(n % 500),
                      .price = price,
                      .venue = n % 3 == 0 ? std::optional<std::string>("XETRA") : std::nullopt,
                      .traded_at = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1) +
                                   std::chrono::seconds(n)});
  }
  return trades;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s CONNECTION_URI\n", arguments[0]);
    return 2;
  }
  pgsink::SinkOptions options;
  options.connection_name = "trades";
  options.url = arguments[1];
  options.table = "trades";
  options.write_mode = pgsink::WriteMode::kUpsert;
  options.delivery = pgsink::Delivery::kExactlyOnce;
  options.sink_id = "embed_structs";
  uint64_t rejected = 0;
  options.on_dead_letters = [&](std::span<const pgsink::DeadLetter> letters) -> pgsink::Status {
    rejected += letters.size();
    return {};
  };

  auto sink = pgsink::Sink::open(options, batch_of_trades({}).schema());
  if (!sink) check(pgsink::fail(sink.error()));

  // Where former runs ended: started again, this program writes nothing twice.
  constexpr uint64_t kEnd = 10'000, kBatch = 1000;
  for (uint64_t at = (*sink)->durable_position(); at < kEnd; at += kBatch) {
    pgsink::RecordBatch batch = batch_of_trades(trades_after(at, kBatch));
    batch.position = at + kBatch;
    check((*sink)->write(std::move(batch)));
  }
  check((*sink)->close());
  const pgsink::SinkMetrics metrics = (*sink)->metrics();
  std::printf("%llu rows written, %llu rejected\n",
              static_cast<unsigned long long>(metrics.rows_written),
              static_cast<unsigned long long>(rejected));
}
