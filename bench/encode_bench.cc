// Columns → COPY bytes in a reused 64 KiB chunk, one core, against row encoders written by hand
// (rows.h) and memcpy of the same run. Prints time and bytes a row, and at the end the ratios;
// --markdown FILE writes a section for docs/reference/benchmarks.md.
//
//   encode_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true

#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include <pgproto/oid.h>

#include <pgsink/encode/rows/row_encoder.h>

#include <benchmark/benchmark.h>

#include "report.h"
#include "rows.h"

namespace pgsink::bench {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;
constexpr size_t kNarrowCount = 65'536;
constexpr size_t kMixedCount = 16'384;
constexpr size_t kWideCount = 8'192;
constexpr size_t kMemcpyBytes = size_t{256} << 20;

namespace oid = pgproto::oid;
constexpr pgproto::Oid kFloat8Array = 1022;
constexpr int32_t kNumeric18Scale4 = (18 << 16 | 4) + 4;

using TargetType = std::pair<pgproto::Oid, int32_t>;
const std::vector<TargetType> kNarrowTypes = {{oid::kInt8, -1},
                                              {oid::kTimestamptz, -1},
                                              {oid::kFloat8, -1},
                                              {oid::kBool, -1},
                                              {oid::kInt4, -1}};
const std::vector<TargetType> kMixedTypes = {{oid::kInt8, -1},
                                             {oid::kUuid, -1},
                                             {oid::kText, -1},
                                             {oid::kJsonb, -1},
                                             {oid::kNumeric, kNumeric18Scale4},
                                             {oid::kTimestamptz, -1},
                                             {kFloat8Array, -1},
                                             {oid::kInt4, -1}};
const std::vector<TargetType> kWideTypes(4, {oid::kText, -1});

std::span<std::byte> chunk() {
  alignas(64) static std::array<std::byte, kChunkBytes> bytes;
  return bytes;
}

void report(benchmark::State& state, size_t rows, size_t bytes) {
  const auto rounds = static_cast<double>(state.iterations());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(bytes));
  // In seconds, which the reporter prints with the prefix that fits: 5.01n.
  state.counters["time/row"] =
      benchmark::Counter(rounds * static_cast<double>(rows),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["B/row"] = static_cast<double>(bytes) / static_cast<double>(rows);
}

void memcpy_into_chunk(benchmark::State& state) {
  const std::vector<std::byte> source(kMemcpyBytes, std::byte{'x'});
  for (auto _ : state) {
    for (size_t at = 0; at < source.size(); at += kChunkBytes) {
      std::memcpy(chunk().data(), source.data() + at, kChunkBytes);
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kMemcpyBytes));
}

/// All rows of a batch through the chunk.
void run_encoder(benchmark::State& state, const RecordBatch& batch,
                 const std::vector<TargetType>& types) {
  std::vector<EncodeColumn> columns;
  for (size_t i = 0; i < types.size(); ++i) {
    const Field& field = batch.schema()->at(i);
    columns.push_back({i, field, field.name, types[i].first, types[i].second});
  }
  auto encoder = RowEncoder::create(std::move(columns), {});
  if (!encoder) return state.SkipWithError(encoder.error().to_string().c_str());
  encoder->leave_documents_to_server(true);  // As a sink does until the server has rejected one.
  std::vector<Rejection> rejected;
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = 0;
    RowRange rows{0, batch.row_count(), nullptr};
    while (rows.count != 0) {
      const RowEncoder::Step step = encoder->encode(batch, rows, chunk(), rejected);
      benchmark::ClobberMemory();
      rows.begin += step.rows;
      rows.count -= step.rows;
      bytes += step.bytes;
    }
  }
  if (!rejected.empty()) return state.SkipWithError(rejected[0].error.to_string().c_str());
  report(state, batch.row_count(), bytes);
}

/// The rival: structs, row by row.
void run_hand(benchmark::State& state, const Rows& rows) {
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = 0;
    for (size_t row = 0; row != rows.row_count();) {
      bytes += rows.encode_rows(row, rows.row_count(), chunk());
      benchmark::ClobberMemory();
    }
  }
  report(state, rows.row_count(), bytes);
}

bool bit_at(const void* bits, size_t i) {
  return ((static_cast<const uint8_t*>(bits)[i >> 3] >> (i & 7)) & 1) != 0;
}

template <typename T>
std::byte* put(std::byte* to, T value) {
  value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
  return to + sizeof value;
}

/// The other rival: narrow rows from the columns, one fused loop by hand. `nullable` says whether
/// it looks at the bitmaps.
template <bool nullable>
std::byte* put_narrow_columns(const RecordBatch& batch, size_t& row, std::span<std::byte> out) {
  constexpr int64_t kEpochMicros = 946'684'800'000'000;
  const auto columns = batch.columns();
  const auto* ids = static_cast<const uint64_t*>(columns[0].values);
  const auto* times = static_cast<const int64_t*>(columns[1].values);
  const auto* values = static_cast<const uint64_t*>(columns[2].values);
  const auto* amounts = static_cast<const uint32_t*>(columns[4].values);
  std::byte* to = out.data();
  const std::byte* const last = to + out.size() - Rows::kRowBytesMax;
  for (; row != batch.row_count() && to <= last; ++row) {
    const auto present = [&](size_t column, uint32_t bytes) {
      const bool valid = !nullable || bit_at(columns[column].validity_bits, row);
      to = put(to, valid ? bytes : ~uint32_t{0});
      return valid;
    };
    to = put(to, uint16_t{5});
    if (present(0, 8)) to = put(to, ids[row]);
    if (present(1, 8)) to = put(to, static_cast<uint64_t>(times[row] - kEpochMicros));
    if (present(2, 8)) to = put(to, values[row]);
    if (present(3, 1)) to = put(to, static_cast<uint8_t>(bit_at(columns[3].values, row) ? 1 : 0));
    if (present(4, 4)) to = put(to, amounts[row]);
  }
  return to;
}

void narrow_hand_structs(benchmark::State& state, Nulls nulls) {
  run_hand(state, *make_narrow_rows(kNarrowCount, nulls));
}

void narrow_hand_columns(benchmark::State& state, Nulls nulls) {
  const auto rows = make_narrow_rows(kNarrowCount, nulls);
  const RecordBatch batch = rows->batch(0, kNarrowCount);
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = 0;
    for (size_t row = 0; row != kNarrowCount;) {
      const std::byte* const end = nulls == Nulls::kNoBitmap
                                       ? put_narrow_columns<false>(batch, row, chunk())
                                       : put_narrow_columns<true>(batch, row, chunk());
      benchmark::ClobberMemory();
      bytes += static_cast<size_t>(end - chunk().data());
    }
  }
  report(state, kNarrowCount, bytes);
}

void narrow_pgsink(benchmark::State& state, Nulls nulls) {
  const auto rows = make_narrow_rows(kNarrowCount, nulls);
  run_encoder(state, rows->batch(0, kNarrowCount), kNarrowTypes);
}

void mixed_hand(benchmark::State& state) { run_hand(state, *make_mixed_rows(kMixedCount)); }

void mixed_pgsink(benchmark::State& state) {
  const auto rows = make_mixed_rows(kMixedCount);
  run_encoder(state, rows->batch(0, kMixedCount), kMixedTypes);
}

/// The four floats as a list of any length, as an SQL engine has them.
void mixed_pgsink_list(benchmark::State& state) {
  constexpr size_t kList = 6;
  const auto rows = make_mixed_rows(kMixedCount);
  const RecordBatch fixed = rows->batch(0, kMixedCount);
  std::vector<int32_t> offsets(kMixedCount + 1);
  for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<int32_t>(4 * i);
  Schema schema = *fixed.schema();
  schema[kList].kind = ColumnKind::kList32;
  std::vector<ColumnView> columns(fixed.columns().begin(), fixed.columns().end());
  columns[kList].kind = ColumnKind::kList32;
  columns[kList].values = offsets.data();
  columns[kList].stride_bytes = sizeof(int32_t);
  run_encoder(state,
              RecordBatch(std::make_shared<const Schema>(std::move(schema)), std::move(columns),
                          kMixedCount, 0, nullptr),
              kMixedTypes);
}

void wide_hand(benchmark::State& state) { run_hand(state, *make_wide_rows(kWideCount)); }

void wide_pgsink(benchmark::State& state) {
  const auto rows = make_wide_rows(kWideCount);
  run_encoder(state, rows->batch(0, kWideCount), kWideTypes);
}

BENCHMARK(memcpy_into_chunk)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(narrow_hand_structs, no_bitmap, Nulls::kNoBitmap);
BENCHMARK_CAPTURE(narrow_hand_columns, no_bitmap, Nulls::kNoBitmap);
BENCHMARK_CAPTURE(narrow_pgsink, no_bitmap, Nulls::kNoBitmap);
BENCHMARK_CAPTURE(narrow_hand_structs, bitmaps_no_null, Nulls::kNone);
BENCHMARK_CAPTURE(narrow_hand_columns, bitmaps_no_null, Nulls::kNone);
BENCHMARK_CAPTURE(narrow_pgsink, bitmaps_no_null, Nulls::kNone);
BENCHMARK_CAPTURE(narrow_hand_structs, nulls_5_percent, Nulls::kSome);
BENCHMARK_CAPTURE(narrow_hand_columns, nulls_5_percent, Nulls::kSome);
BENCHMARK_CAPTURE(narrow_pgsink, nulls_5_percent, Nulls::kSome);
BENCHMARK(mixed_hand);
BENCHMARK(mixed_pgsink);
BENCHMARK(mixed_pgsink_list);
BENCHMARK(wide_hand);
BENCHMARK(wide_pgsink);

/// Prints as usual, and keeps the medians (or single runs).
class Reporter final : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const bool median = run.run_type == Run::RT_Aggregate && run.aggregate_name == "median";
      if (!median && run.repetitions > 1) continue;
      const auto keep = [&](const char* counter, std::map<std::string, double>& kept) {
        const auto rate = run.counters.find(counter);
        if (rate != run.counters.end()) kept[run.run_name.str()] = rate->second;
      };
      keep("items_per_second", rows_per_second_);
      keep("bytes_per_second", bytes_per_second_);
    }
    ConsoleReporter::ReportRuns(runs);
  }

  void print_ratio(const std::string& ours, const std::string& rival) {
    if (rows_per_second_.contains(ours) && rows_per_second_.contains(rival)) {
      std::printf("%-32s %6.2f x the rows/s of %s\n", ours.c_str(), ratio(ours, rival),
                  rival.c_str());
    }
  }

  std::string page() {
    Table table({"rows", "by hand from structs, ns/row", "by hand from columns, ns/row",
                 "pgsink, ns/row", "pgsink, GB/s", "pgsink's rate / by hand from structs"});
    const auto add = [&](std::string rows, const std::string& ours, const std::string& structs,
                         const std::string& columns) {
      table.add({std::move(rows), ns_per_row(structs), ns_per_row(columns), ns_per_row(ours),
                 gigabytes_per_second(ours), fixed(ratio(ours, structs), 2)});
    };
    const std::pair<const char*, const char*> nulls[] = {
        {"no_bitmap", "narrow, no NULL bitmaps"},
        {"bitmaps_no_null", "narrow, NULL bitmaps without NULLs"},
        {"nulls_5_percent", "narrow, 5 % NULLs"}};
    for (const auto& [name, title] : nulls) {
      const std::string suffix = std::string("/") + name;
      add(title, "narrow_pgsink" + suffix, "narrow_hand_structs" + suffix,
          "narrow_hand_columns" + suffix);
    }
    add("mixed, an array of fixed length", "mixed_pgsink", "mixed_hand", "");
    add("mixed, an array of any length", "mixed_pgsink_list", "mixed_hand", "");
    add("wide texts", "wide_pgsink", "wide_hand", "");
    table.add(
        {"memcpy from memory", "-", "-", "-", gigabytes_per_second("memcpy_into_chunk"), "-"});
    return section("How fast are rows encoded?",
                   "Columns in Arrow's layout become binary `COPY` in one reused buffer of 64 KiB, "
                   "on one core. The rivals are row encoders written by hand for exactly these "
                   "rows, from structs and from columns. The last line is memcpy of the same run. "
                   "Medians.",
                   table);
  }

 private:
  double ratio(const std::string& ours, const std::string& rival) {
    return rows_per_second_[ours] / rows_per_second_[rival];
  }
  std::string ns_per_row(const std::string& name) {
    return name.empty() ? "-" : fixed(1e9 / rows_per_second_[name], 1);
  }
  std::string gigabytes_per_second(const std::string& name) {
    return fixed(bytes_per_second_[name] / 1e9, 1);
  }

  std::map<std::string, double> rows_per_second_, bytes_per_second_;
};

void run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const Flags flags({argv, static_cast<size_t>(argc)}, {{"markdown", ""}});
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  std::printf("\n");
  for (const char* nulls : {"no_bitmap", "bitmaps_no_null", "nulls_5_percent"}) {
    for (const char* rival : {"narrow_hand_structs/", "narrow_hand_columns/"}) {
      reporter.print_ratio(std::string("narrow_pgsink/") + nulls, std::string(rival) + nulls);
    }
  }
  reporter.print_ratio("mixed_pgsink", "mixed_hand");
  reporter.print_ratio("mixed_pgsink_list", "mixed_hand");
  reporter.print_ratio("wide_pgsink", "wide_hand");
  write_file(flags.text("markdown"), reporter.page());
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  return pgsink::bench::run_main("encode_bench", {argv, static_cast<size_t>(argc)},
                                 [&](auto) { pgsink::bench::run(argc, argv); });
}
