// What the C interface costs beside the C++ one: the same Arrow batches through pgsink_sink_write()
// of the shared library and through import_arrow_batch() and Sink::write(), in turns:
// docs/reference/benchmarks.md.

#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <pgsink/arrow.h>
#include <pgsink/pgsink_c.h>
#include <pgsink/sink.h>

#include "bench_server.h"
#include "measured_child.h"
#include "report.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr double kCallMax = 1000;  // ns
constexpr double kLargeBatchesMax = 1.01, kSmallBatchesMax = 1.05;
constexpr size_t kLargeBatch = 65'536, kSmallBatch = 1000;
constexpr std::array<const char*, 5> kNames{"id", "at", "value", "flag", "code"};
constexpr std::array<const char*, 5> kFormats{"l", "tsu:UTC", "g", "b", "i"};
constexpr const char* kTable = "id int8, at timestamptz, value float8, flag bool, code int4";

// ---- rows as Arrow's structs -------------------------------------------------------------------

/// Columns lends its memory to arrays: they have nothing to release but themselves.
struct Columns {
  explicit Columns(size_t count)
      : rows(count), ids(count), at(count), value(count), flag((count + 7) / 8, 0x55), code(count) {
    for (size_t i = 0; i < rows; ++i) {
      ids[i] = static_cast<int64_t>(i);
      at[i] = 1'700'000'000'000'000 + ids[i];
      value[i] = static_cast<double>(i) / 7;
      code[i] = static_cast<int32_t>(i & 1023);
    }
  }
  std::array<const void*, 5> buffers() const {
    return {ids.data(), at.data(), value.data(), flag.data(), code.data()};
  }

  /// As Rows::touch().
  void touch() const {
    constexpr size_t kPage = 4096;
    const std::array<size_t, 5> sizes{rows * 8, rows * 8, rows * 8, flag.size(), rows * 4};
    const auto all = buffers();
    volatile std::byte sum{};
    for (size_t i = 0; i < all.size(); ++i) {
      const auto* const bytes = static_cast<const std::byte*>(all[i]);
      for (size_t byte = 0; byte < sizes[i]; byte += kPage) sum = sum ^ bytes[byte];
    }
  }

  size_t rows;
  std::vector<int64_t> ids, at;
  std::vector<double> value;
  std::vector<uint8_t> flag;
  std::vector<int32_t> code;
};

/// One allocation for a struct of five children, as a producer makes it.
template <class Struct>
struct Nest {
  Struct children[5]{};
  Struct* pointers[5]{};
  const void* buffers[5][2]{};
  const void* none[1]{};

  static Nest* make(Struct* parent) {
    auto* nest = new Nest;
    *parent = Struct{};
    for (size_t i = 0; i < 5; ++i) {
      nest->pointers[i] = &nest->children[i];
      nest->children[i].release = [](Struct* self) { self->release = nullptr; };
    }
    parent->n_children = 5;
    parent->children = nest->pointers;
    parent->private_data = nest;
    parent->release = [](Struct* self) {
      delete static_cast<Nest*>(self->private_data);
      self->release = nullptr;
    };
    return nest;
  }
};

void make_schema(ArrowSchema* to) {
  auto* nest = Nest<ArrowSchema>::make(to);
  to->format = "+s";
  to->name = "";
  for (size_t i = 0; i < 5; ++i) {
    nest->children[i].format = kFormats[i];
    nest->children[i].name = kNames[i];
    nest->children[i].flags = ARROW_FLAG_NULLABLE;
  }
}

void make_batch(ArrowArray* to, const Columns& columns, size_t begin, size_t count) {
  auto* nest = Nest<ArrowArray>::make(to);
  to->length = static_cast<int64_t>(count);
  to->n_buffers = 1;
  to->buffers = nest->none;
  const auto buffers = columns.buffers();
  for (size_t i = 0; i < 5; ++i) {
    ArrowArray& child = nest->children[i];
    child.length = to->length;
    child.offset = static_cast<int64_t>(begin);
    child.n_buffers = 2;
    nest->buffers[i][1] = buffers[i];
    child.buffers = nest->buffers[i];
  }
}

// ---- the two ways ------------------------------------------------------------------------------

class Writer {
 public:
  virtual ~Writer() = default;
  virtual void write(ArrowArray* batch) = 0;
  virtual void ask() = 0;  ///< The cheapest call that can fail.
  virtual void flush() = 0;
};

class InC : public Writer {
 public:
  explicit InC(const Place& place) {
    const std::string port = std::to_string(place.server.port());
    const pgsink_option options[] = {{"host", place.server.socket_dir().c_str()},
                                     {"port", port.c_str()},
                                     {"database", place.database.c_str()},
                                     {"username", "postgres"},
                                     {"table", place.table.c_str()}};
    ArrowSchema schema;
    make_schema(&schema);
    done(pgsink_sink_open(options, std::size(options), &schema, nullptr, &sink_, &error_));
  }
  ~InC() override {
    pgsink_sink_free(sink_);
    pgsink_error_clear(&error_);
  }
  void write(ArrowArray* batch) override {
    done(pgsink_sink_write(sink_, nullptr, batch, 0, &error_));
  }
  void ask() override { done(pgsink_sink_status(sink_, &error_)); }
  void flush() override { done(pgsink_sink_flush(sink_, &error_)); }

 private:
  void done(int code) const {
    if (code != 0) throw std::runtime_error(error_.message);
  }
  pgsink_error error_ = PGSINK_ERROR_INIT;
  pgsink_sink* sink_ = nullptr;
};

class InCpp : public Writer {
 public:
  explicit InCpp(const Place& place) {
    ArrowSchema exported;
    make_schema(&exported);
    auto schema = import_arrow_schema(&exported);
    if (!schema) throw std::runtime_error(schema.error().to_string());
    schema_ = std::move(*schema);
    auto sink = Sink::open(sink_options(place), schema_);
    if (!sink) throw std::runtime_error(sink.error().to_string());
    sink_ = std::move(*sink);
  }
  void write(ArrowArray* batch) override {
    auto imported = import_arrow_batch(schema_, batch);
    if (!imported) throw std::runtime_error(imported.error().to_string());
    check(sink_->write(std::move(*imported)));
  }
  void ask() override { check(sink_->status()); }
  void flush() override { check(sink_->flush()); }

 private:
  std::shared_ptr<const Schema> schema_;
  std::unique_ptr<Sink> sink_;
};

std::unique_ptr<Writer> make_writer(bool in_c, const Place& place) {
  if (in_c) return std::make_unique<InC>(place);
  return std::make_unique<InCpp>(place);
}

// ---- measuring ---------------------------------------------------------------------------------

Run load(bool in_c, const Place& place, const Columns& columns, size_t batch_rows) {
  return [in_c, &place, &columns, batch_rows](Meter& meter) {
    const auto writer = make_writer(in_c, place);
    columns.touch();
    meter.start();
    for (size_t at = 0; at < columns.rows; at += batch_rows) {
      ArrowArray batch;
      make_batch(&batch, columns, at, std::min(batch_rows, columns.rows - at));
      writer->write(&batch);
    }
    writer->flush();
    meter.stop();
  };
}

/// What this thread has used of a processor.
double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Nanoseconds of one call of each way, the median of `rounds`, and of the rounds' differences.
struct Cost {
  double in_cpp = 0, in_c = 0, more = 0;
};
Cost cost_of(const Place& place, size_t rounds, size_t calls,
             const std::function<void(Writer&)>& call) {
  const auto in_cpp = make_writer(false, place), in_c = make_writer(true, place);
  std::array<std::vector<double>, 3> seen;
  for (size_t round = 0; round < rounds; ++round) {
    std::array<double, 2> each{};
    for (const size_t turn : {round % 2, (round + 1) % 2}) {
      Writer& writer = turn == 0 ? *in_cpp : *in_c;
      const double begun = thread_ns();
      for (size_t i = 0; i < calls; ++i) call(writer);
      each[turn] = (thread_ns() - begun) / static_cast<double>(calls);
      writer.flush();
    }
    seen[0].push_back(each[0]);
    seen[1].push_back(each[1]);
    seen[2].push_back(each[1] - each[0]);
  }
  return {median(seen[0]), median(seen[1]), median(seen[2])};
}

/// The median of C's share of C++'s wall time and processor time.
std::array<double, 2> shares(const Place& place, const Columns& columns, size_t batch_rows,
                             size_t rounds) {
  std::array<std::vector<double>, 2> seen;
  for (size_t round = 0; round < rounds; ++round) {
    std::array<Sample, 2> taken;
    for (const size_t turn : {round % 2, (round + 1) % 2}) {
      place.server.sql("TRUNCATE " + place.table);
      taken[turn] = measure(load(turn == 1, place, columns, batch_rows));
      const std::string found = place.server.scalar("SELECT count(*) FROM " + place.table);
      if (found != std::to_string(columns.rows)) throw std::runtime_error("rows are missing");
    }
    seen[0].push_back(taken[1].wall_s / taken[0].wall_s);
    seen[1].push_back(taken[1].cpu_s / taken[0].cpu_s);
  }
  return {median(seen[0]), median(seen[1])};
}

void run(const Flags& flags) {
  const size_t rounds = flags.count("rounds"), calls = flags.count("calls");
  const auto server = start_bench_server();
  const Place place{*server, "postgres", "target"};
  server->sql("CREATE UNLOGGED TABLE target (" + std::string(kTable) + ")");
  const Columns columns(flags.count("rows"));
  Report report;
  Table table({"what", "C++", "C", "C / C++", "C's processor time / C++'s"});
  // First the loads: their children are forked while this process has one thread.
  for (const size_t batch_rows : {kLargeBatch, kSmallBatch}) {
    const auto [wall, cpu] = shares(place, columns, batch_rows, rounds);
    const std::string name = "load, " + with_commas(batch_rows) + " rows a batch";
    table.add({name, "1", fixed(wall, 3), fixed(wall, 3), fixed(cpu, 3)});
    report.goals.at_most("C interface, " + name + ": wall of C++", wall,
                         batch_rows == kLargeBatch ? kLargeBatchesMax : kSmallBatchesMax, 3);
    report.figures.add("c, " + name + ": wall of C++", wall);
  }
  const Cost asked = cost_of(place, rounds, calls, [](Writer& writer) { writer.ask(); });
  const Cost written = cost_of(place, rounds, calls / 10, [&](Writer& writer) {
    ArrowArray batch;
    make_batch(&batch, columns, 0, 1);
    writer.write(&batch);
  });
  for (const auto& [name, cost] :
       {std::pair("status, ns", asked), {"write of one row, ns", written}}) {
    table.add(
        {name, fixed(cost.in_cpp, 0), fixed(cost.in_c, 0), fixed(cost.in_c / cost.in_cpp, 2), "-"});
    report.goals.at_most("C interface, " + std::string(name) + " more than in C++", cost.more,
                         kCallMax, 0);
    report.figures.add("c, " + std::string(name) + " more than in C++", cost.more);
  }
  report.page = section(
      "What does the C interface cost?",
      "The same Arrow batches through `pgsink_sink_write()` of `libpgsink_c` and through "
      "`import_arrow_batch()` and `Sink::write()`, in turns; a row has five columns of 29 bytes in "
      "all. Medians of " +
          std::to_string(rounds) +
          " rounds; the calls by the processor time of "
          "the thread that makes them.",
      table);
  finish(flags, report);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("c_call_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    run(Flags(arguments, {{"rows", "3000000"},
                          {"calls", "1000000"},
                          {"rounds", "9"},
                          {"markdown", ""},
                          {"details", ""},
                          {"json", ""},
                          {"enforce", "no"}}));
  });
}
