#include "changes.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

namespace pgsink::bench {
namespace {

constexpr int64_t kFirstTime_us = 1'700'000'000'000'000;

Field field(std::string name, ColumnKind kind) {
  Field made;
  made.name = std::move(name);
  made.kind = kind;
  return made;
}

template <typename T>
ColumnView view(ColumnKind kind, const std::vector<T>& values, size_t begin) {
  ColumnView column;
  column.kind = kind;
  column.values = values.data() + begin;
  column.stride_bytes = sizeof(T);
  return column;
}

template <typename T>
void touch_pages(const T& values) {
  constexpr size_t kPageBytes = 4096;
  const auto* bytes = reinterpret_cast<const volatile char*>(values.data());
  for (size_t at = 0; at < values.size() * sizeof(*values.data()); at += kPageBytes) {
    static_cast<void>(bytes[at]);
  }
}

}  // namespace

Changes::Changes(WriteMode mode, size_t table_rows, size_t count) : mode_(mode) {
  const bool half_there = mode == WriteMode::kUpsert;
  const int64_t first_key = mode == WriteMode::kInsert ? 1 : 0;
  std::vector<int64_t> keys(half_there ? 2 * table_rows : table_rows);
  std::iota(keys.begin(), keys.end(), 0);
  std::mt19937_64 random(7);  // the same rows in every run
  for (size_t i = 0; i < count; ++i) std::swap(keys[i], keys[i + random() % (keys.size() - i)]);
  keys.resize(count);
  rows_.reserve(count);
  for (const int64_t key : keys) {
    Change row{};
    row.key = half_there ? key : 2 * key + first_key;
    row.amount = static_cast<int32_t>(random() % 2'000'000) - 1'000'000;
    row.value = static_cast<double>(random() % 1'000'000'000) / 1024;
    for (char& letter : row.text) letter = static_cast<char>('a' + random() % 26);
    row.time_us = kFirstTime_us + static_cast<int64_t>(random() % 1'000'000'000'000);
    rows_.push_back(row);
    keys_.push_back(row.key);
    amounts_.push_back(row.amount);
    values_.push_back(row.value);
    heap_.append(row.text, sizeof row.text);
    offsets_.push_back(static_cast<int32_t>(heap_.size()));
    times_us_.push_back(row.time_us);
  }
  Schema schema{field("k", ColumnKind::kInt64)};
  if (mode != WriteMode::kDelete) {
    schema.push_back(field("n", ColumnKind::kInt32));
    schema.push_back(field("v", ColumnKind::kFloat64));
    schema.push_back(field("s", ColumnKind::kText32));
    schema.push_back(field("at", ColumnKind::kTimestamp));
    schema.back().utc = true;
  }
  schema_ = std::make_shared<const Schema>(std::move(schema));
}

RecordBatch Changes::batch(size_t begin, size_t count) const {
  std::vector<ColumnView> columns{view(ColumnKind::kInt64, keys_, begin)};
  size_t bytes = sizeof(int64_t);
  if (mode_ != WriteMode::kDelete) {
    columns.push_back(view(ColumnKind::kInt32, amounts_, begin));
    columns.push_back(view(ColumnKind::kFloat64, values_, begin));
    columns.push_back(view(ColumnKind::kText32, offsets_, begin));
    columns.back().heap = heap_.data();
    columns.push_back(view(ColumnKind::kTimestamp, times_us_, begin));
    bytes = sizeof(Change);
  }
  return {schema_, std::move(columns), count, count * bytes, nullptr};
}

void Changes::touch() const {
  touch_pages(rows_);
  touch_pages(keys_);
  touch_pages(amounts_);
  touch_pages(values_);
  touch_pages(offsets_);
  touch_pages(heap_);
  touch_pages(times_us_);
}

std::string_view mode_name(WriteMode mode) {
  switch (mode) {
    case WriteMode::kInsert:
      return "insert";
    case WriteMode::kUpdate:
      return "update";
    case WriteMode::kDelete:
      return "delete";
    default:
      return "upsert";
  }
}

}  // namespace pgsink::bench
