#include <pgsink/batch_of.h>
#include <pgsink/sink.h>

struct Trade {
  int64_t id;
  double price;
  std::string venue;
};

int main(int, char** arguments) {
  std::vector<Trade> trades{{1, 10.25, "XETRA"}, {2, 99.5, "NYSE"}};
  auto batch = pgsink::batch_of(std::move(trades), pgsink::column("id", &Trade::id),
                                pgsink::column("price", &Trade::price),
                                pgsink::column("venue", &Trade::venue));
  pgsink::SinkOptions options;
  options.url = arguments[1];
  options.table = "trades";
  auto sink = pgsink::Sink::open(options, batch.schema());
  return sink && (*sink)->write(std::move(batch)) && (*sink)->close() ? 0 : 1;
}
