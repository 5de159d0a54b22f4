#include <pgsink/batch_of.h>
#include <pgsink/sink.h>

int main(int, char** arguments) {
  auto batch =
      pgsink::batch_of_columns(pgsink::column("id", std::vector<int64_t>{1, 2}),
                               pgsink::column("price", std::vector<double>{10.25, 99.5}),
                               pgsink::column("venue", std::vector<std::string>{"XETRA", "NYSE"}));
  pgsink::SinkOptions options;
  options.url = arguments[1];
  options.table = "trades";
  if (!batch) return 1;
  auto sink = pgsink::Sink::open(options, batch->schema());
  return sink && (*sink)->write(*std::move(batch)) && (*sink)->close() ? 0 : 1;
}
