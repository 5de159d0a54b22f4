#include "rows.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

namespace pgsink::bench {
namespace {

constexpr int64_t kEpochDifference_us = 946'684'800'000'000;  // 1970 to 2000
constexpr int64_t kFirstTime_us = 1'700'000'000'000'000;

// splitmix64: the same rows in every run.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t limit) { return next() % limit; }
  double part() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

// What a careful C programmer writes: an unchecked cursor, one check a row.
class Cursor {
 public:
  explicit Cursor(std::byte* at) : at_(at) {}
  std::byte* at() const { return at_; }

  void int16(uint16_t value) { store(value); }
  void int32(uint32_t value) { store(value); }
  void int64(uint64_t value) { store(value); }
  void bytes(const void* data, size_t size) {
    std::memcpy(at_, data, size);
    at_ += size;
  }

 private:
  template <typename T>
  void store(T value) {
    value = std::byteswap(value);
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }

  std::byte* at_;
};

void set_bit(std::vector<uint8_t>& bits, size_t index) {
  bits[index / 8] = static_cast<uint8_t>(bits[index / 8] | (1U << (index % 8)));
}

Field field(std::string name, ColumnKind kind) {
  Field made;
  made.name = std::move(name);
  made.kind = kind;
  return made;
}

Field instant(std::string name) {
  Field made = field(std::move(name), ColumnKind::kTimestamp);
  made.unit = TimeUnit::kMicro;
  made.utc = true;
  return made;
}

template <typename T>
ColumnView fixed_view(ColumnKind kind, const std::vector<T>& values, size_t begin) {
  ColumnView view;
  view.kind = kind;
  view.values = values.data() + begin;
  view.stride_bytes = sizeof(T);
  return view;
}

template <typename... Containers>
std::vector<std::span<const std::byte>> memory_of(const Containers&... containers) {
  return {std::as_bytes(std::span(containers))...};
}

/// Text in Arrow's layout.
struct Text {
  std::vector<int32_t> offsets;
  std::string heap;

  std::string_view add(std::string_view value) {
    const size_t begin = heap.size();
    heap += value;
    offsets.push_back(static_cast<int32_t>(heap.size()));
    return std::string_view(heap).substr(begin);
  }
  ColumnView view(size_t begin) const {
    ColumnView column = fixed_view(ColumnKind::kText32, offsets, begin);
    column.heap = heap.data();
    return column;
  }
  size_t bytes(size_t begin, size_t count) const {
    return static_cast<size_t>(offsets[begin + count] - offsets[begin]);
  }
};

// ---- narrow ------------------------------------------------------------------------------------

struct NarrowRow {
  int64_t id;
  int64_t time_us;  ///< Since 1970.
  double value;
  int32_t amount;
  bool flag;
  uint8_t null_mask;  ///< Bit i: column i is NULL.
};

class NarrowRows final : public Rows {
 public:
  NarrowRows(size_t count, Nulls nulls) : nulls_(nulls) {
    Numbers numbers(1);
    structs_.reserve(count);
    flags_.resize(count / 8 + 1);
    for (size_t i = 0; i < count; ++i) {
      NarrowRow row{};
      row.id = static_cast<int64_t>(i);
      row.time_us = kFirstTime_us + static_cast<int64_t>(i * 1000 + numbers.below(1000));
      row.value = numbers.part() * 1e6;
      row.amount = static_cast<int32_t>(numbers.below(2'000'000)) - 1'000'000;
      row.flag = numbers.below(2) == 1;
      for (unsigned column = 1; nulls == Nulls::kSome && column < kColumnCount; ++column) {
        if (numbers.below(20) == 0) {
          row.null_mask = static_cast<uint8_t>(row.null_mask | 1U << column);
        }
      }
      structs_.push_back(row);
    }
    fill_columns();
    schema_ = std::make_shared<const Schema>(
        Schema{field("id", ColumnKind::kInt64), instant("ts"), field("v", ColumnKind::kFloat64),
               field("flag", ColumnKind::kBoolBits), field("n", ColumnKind::kInt32)});
  }

  std::string_view name() const override { return "narrow"; }
  std::string_view table_columns() const override {
    return "id int8, ts timestamptz, v float8, flag bool, n int4";
  }
  size_t row_count() const override { return structs_.size(); }
  size_t column_bytes() const override { return structs_.size() * 28 + flags_.size(); }
  const std::shared_ptr<const Schema>& schema() const override { return schema_; }

  RecordBatch batch(size_t begin, size_t count) const override {
    ColumnView flag;
    flag.kind = ColumnKind::kBoolBits;
    flag.values = flags_.data();
    flag.offset = static_cast<int64_t>(begin);
    std::vector<ColumnView> columns{fixed_view(ColumnKind::kInt64, ids_, begin),
                                    fixed_view(ColumnKind::kTimestamp, times_, begin),
                                    fixed_view(ColumnKind::kFloat64, values_, begin), flag,
                                    fixed_view(ColumnKind::kInt32, amounts_, begin)};
    for (size_t i = 0; nulls_ != Nulls::kNoBitmap && i < kColumnCount; ++i) {
      columns[i].validity_bits = valid_[i].data();
      columns[i].offset = static_cast<int64_t>(begin);
    }
    return {schema_, std::move(columns), count, count * 28 + count / 8, nullptr};
  }

  size_t encode_rows(size_t& row, size_t end, std::span<std::byte> out) const override {
    Cursor cursor(out.data());
    const std::byte* const last = out.data() + out.size() - kRowBytesMax;
    if (nulls_ == Nulls::kNoBitmap) {
      for (; row < end && cursor.at() <= last; ++row) encode_row(structs_[row], cursor);
    } else {
      for (; row < end && cursor.at() <= last; ++row) encode_nullable_row(structs_[row], cursor);
    }
    return static_cast<size_t>(cursor.at() - out.data());
  }

 private:
  Memory memory() const override {
    Memory memory = memory_of(structs_, ids_, times_, values_, amounts_, flags_);
    for (const auto& bits : valid_) memory.push_back(std::as_bytes(std::span(bits)));
    return memory;
  }

  void fill_columns() {
    for (size_t i = 0; i < structs_.size(); ++i) {
      const NarrowRow& row = structs_[i];
      ids_.push_back(row.id);
      times_.push_back(row.time_us);
      values_.push_back(row.value);
      amounts_.push_back(row.amount);
      if (row.flag) set_bit(flags_, i);
    }
    for (size_t column = 0; column < kColumnCount; ++column) {
      valid_[column].resize(structs_.size() / 8 + 1);
      for (size_t i = 0; i < structs_.size(); ++i) {
        if ((structs_[i].null_mask >> column & 1) == 0) set_bit(valid_[column], i);
      }
    }
  }

  static void encode_row(const NarrowRow& from, Cursor& cursor) {
    cursor.int16(kColumnCount);
    cursor.int32(8);
    cursor.int64(static_cast<uint64_t>(from.id));
    cursor.int32(8);
    cursor.int64(static_cast<uint64_t>(from.time_us - kEpochDifference_us));
    cursor.int32(8);
    cursor.int64(std::bit_cast<uint64_t>(from.value));
    cursor.int32(1);
    cursor.bytes(&from.flag, 1);
    cursor.int32(4);
    cursor.int32(static_cast<uint32_t>(from.amount));
  }

  static void encode_nullable_row(const NarrowRow& from, Cursor& cursor) {
    if (from.null_mask == 0) return encode_row(from, cursor);
    const auto present = [&](unsigned column, uint32_t bytes) {
      const bool is_null = (from.null_mask >> column & 1) != 0;
      cursor.int32(is_null ? 0xffffffff : bytes);
      return !is_null;
    };
    cursor.int16(kColumnCount);
    if (present(0, 8)) cursor.int64(static_cast<uint64_t>(from.id));
    if (present(1, 8)) cursor.int64(static_cast<uint64_t>(from.time_us - kEpochDifference_us));
    if (present(2, 8)) cursor.int64(std::bit_cast<uint64_t>(from.value));
    if (present(3, 1)) cursor.bytes(&from.flag, 1);
    if (present(4, 4)) cursor.int32(static_cast<uint32_t>(from.amount));
  }

  static constexpr size_t kColumnCount = 5;

  Nulls nulls_;
  std::vector<NarrowRow> structs_;
  std::vector<int64_t> ids_, times_;
  std::vector<double> values_;
  std::vector<int32_t> amounts_;
  std::vector<uint8_t> flags_;
  std::array<std::vector<uint8_t>, kColumnCount> valid_;
  std::shared_ptr<const Schema> schema_;
};

// ---- mixed -------------------------------------------------------------------------------------

struct MixedRow {
  int64_t id;
  std::array<uint8_t, 16> key;
  std::string_view text, json;  ///< Into the columns' heaps.
  int64_t price_e4;             ///< numeric(18,4), times 10,000.
  int64_t time_us;
  std::array<double, 4> samples;
  std::optional<int32_t> rank;
};

void put_numeric(Cursor& cursor, int64_t value_e4) {
  // Base 10,000 digits, most significant first; the last one is the fraction.
  std::array<uint16_t, 6> digits{};
  size_t first = digits.size();
  uint64_t rest =
      value_e4 < 0 ? 0 - static_cast<uint64_t>(value_e4) : static_cast<uint64_t>(value_e4);
  while (rest > 0) {
    digits[--first] = static_cast<uint16_t>(rest % 10'000);
    rest /= 10'000;
  }
  const size_t count = digits.size() - first;
  cursor.int32(static_cast<uint32_t>(8 + 2 * count));
  cursor.int16(static_cast<uint16_t>(count));
  cursor.int16(static_cast<uint16_t>(static_cast<int>(count) - 2));  // weight of the first digit
  cursor.int16(value_e4 < 0 ? 0x4000 : 0);
  cursor.int16(4);
  for (size_t i = first; i < digits.size(); ++i) cursor.int16(digits[i]);
}

class MixedRows final : public Rows {
 public:
  explicit MixedRows(size_t count) {
    text_.offsets.push_back(0);
    json_.offsets.push_back(0);
    // The heaps must not move under the structs' views.
    text_.heap.reserve(count * 32);
    json_.heap.reserve(count * 160);
    structs_.reserve(count);
    ranks_valid_.resize(count / 8 + 1);
    Numbers numbers(2);
    for (size_t i = 0; i < count; ++i) add_row(i, numbers);
    schema_ = std::make_shared<const Schema>(make_schema());
  }

  std::string_view name() const override { return "mixed"; }
  std::string_view table_columns() const override {
    return "id int8, key uuid, name text, doc jsonb, price numeric(18,4), ts timestamptz, "
           "samples float8[], rank int4";
  }
  size_t row_count() const override { return structs_.size(); }
  size_t column_bytes() const override {
    return structs_.size() * kFixedBytes + text_.heap.size() + json_.heap.size();
  }
  const std::shared_ptr<const Schema>& schema() const override { return schema_; }

  RecordBatch batch(size_t begin, size_t count) const override {
    ColumnView samples;
    samples.kind = ColumnKind::kFixedList;
    samples.children.push_back(fixed_view(ColumnKind::kFloat64, samples_, 4 * begin));
    ColumnView rank = fixed_view(ColumnKind::kInt32, ranks_, begin);
    rank.validity_bits = ranks_valid_.data();
    rank.offset = static_cast<int64_t>(begin);
    std::vector<ColumnView> columns{fixed_view(ColumnKind::kInt64, ids_, begin),
                                    fixed_view(ColumnKind::kUuid, keys_, begin),
                                    text_.view(begin),
                                    json_.view(begin),
                                    fixed_view(ColumnKind::kDecimal128, prices_, begin),
                                    fixed_view(ColumnKind::kTimestamp, times_, begin),
                                    std::move(samples),
                                    std::move(rank)};
    const size_t bytes =
        count * kFixedBytes + text_.bytes(begin, count) + json_.bytes(begin, count);
    return {schema_, std::move(columns), count, bytes, nullptr};
  }

  size_t encode_rows(size_t& row, size_t end, std::span<std::byte> out) const override {
    Cursor cursor(out.data());
    const std::byte* const last = out.data() + out.size() - kRowBytesMax;
    for (; row < end && cursor.at() <= last; ++row) encode_row(structs_[row], cursor);
    return static_cast<size_t>(cursor.at() - out.data());
  }

 private:
  Memory memory() const override {
    return memory_of(structs_, ids_, keys_, text_.offsets, text_.heap, json_.offsets, json_.heap,
                     prices_, times_, samples_, ranks_, ranks_valid_);
  }

  // id, key, two offsets, price, time, samples, rank and its bit
  static constexpr size_t kFixedBytes = 8 + 16 + 8 + 16 + 8 + 32 + 5;

  static Schema make_schema() {
    Field doc = field("doc", ColumnKind::kText32);
    doc.json = true;
    Field price = field("price", ColumnKind::kDecimal128);
    price.precision = 18;
    price.scale = 4;
    Field samples = field("samples", ColumnKind::kFixedList);
    samples.width = 4;
    samples.children.push_back(field("item", ColumnKind::kFloat64));
    return {field("id", ColumnKind::kInt64),
            field("key", ColumnKind::kUuid),
            field("name", ColumnKind::kText32),
            doc,
            price,
            instant("ts"),
            samples,
            field("rank", ColumnKind::kInt32)};
  }

  void add_row(size_t i, Numbers& numbers) {
    MixedRow row{};
    row.id = static_cast<int64_t>(i);
    for (size_t half = 0; half < 2; ++half) {
      const uint64_t bits = numbers.next();
      std::memcpy(row.key.data() + 8 * half, &bits, sizeof bits);
    }
    std::array<char, 33> name{};
    const size_t length = 16 + numbers.below(17);
    for (size_t at = 0; at < length; ++at) {
      name[at] = "abcdefghijklmnopqrstuvwxyz 0123456789"[numbers.below(37)];
    }
    row.text = text_.add({name.data(), length});
    std::array<char, 192> json{};
    const int written = std::snprintf(
        json.data(), json.size(),
        R"({"user": %llu, "event": "page_view", "path": "/shop/item/%llu", "ms": %llu, )"
        R"("tags": ["a%llu", "beta", "c"], "ok": %s, "score": %.3f})",
        static_cast<unsigned long long>(numbers.below(100'000'000)),
        static_cast<unsigned long long>(numbers.below(1'000'000)),
        static_cast<unsigned long long>(numbers.below(10'000)),
        static_cast<unsigned long long>(numbers.below(100)),
        numbers.below(2) == 1 ? "true" : "false", numbers.part() * 100);
    row.json = json_.add({json.data(), static_cast<size_t>(written)});
    row.price_e4 = static_cast<int64_t>(numbers.below(20'000'000'000'000)) - 10'000'000'000'000;
    row.time_us = kFirstTime_us + static_cast<int64_t>(i * 1000 + numbers.below(1000));
    for (double& sample : row.samples) sample = numbers.part() * 200 - 100;
    if (numbers.below(5) != 0) row.rank = static_cast<int32_t>(numbers.below(1'000'000));
    add_to_columns(i, row);
    structs_.push_back(row);
  }

  void add_to_columns(size_t i, const MixedRow& row) {
    ids_.push_back(row.id);
    keys_.push_back(row.key);
    const uint64_t high = row.price_e4 < 0 ? ~uint64_t{0} : 0;
    prices_.push_back({static_cast<uint64_t>(row.price_e4), high});
    times_.push_back(row.time_us);
    samples_.insert(samples_.end(), row.samples.begin(), row.samples.end());
    ranks_.push_back(row.rank.value_or(0));
    if (row.rank) set_bit(ranks_valid_, i);
  }

  static void encode_row(const MixedRow& from, Cursor& cursor) {
    constexpr uint32_t kFloat8Oid = 701;
    cursor.int16(8);
    cursor.int32(8);
    cursor.int64(static_cast<uint64_t>(from.id));
    cursor.int32(16);
    cursor.bytes(from.key.data(), from.key.size());
    cursor.int32(static_cast<uint32_t>(from.text.size()));
    cursor.bytes(from.text.data(), from.text.size());
    cursor.int32(static_cast<uint32_t>(from.json.size() + 1));
    constexpr char kJsonbVersion = 1;
    cursor.bytes(&kJsonbVersion, 1);
    cursor.bytes(from.json.data(), from.json.size());
    put_numeric(cursor, from.price_e4);
    cursor.int32(8);
    cursor.int64(static_cast<uint64_t>(from.time_us - kEpochDifference_us));
    cursor.int32(20 + 4 * 12);
    cursor.int32(1);  // dimensions
    cursor.int32(0);  // no NULL
    cursor.int32(kFloat8Oid);
    cursor.int32(4);
    cursor.int32(1);  // lower bound
    for (const double sample : from.samples) {
      cursor.int32(8);
      cursor.int64(std::bit_cast<uint64_t>(sample));
    }
    if (from.rank) {
      cursor.int32(4);
      cursor.int32(static_cast<uint32_t>(*from.rank));
    } else {
      cursor.int32(0xffffffff);
    }
  }

  std::vector<MixedRow> structs_;
  std::vector<int64_t> ids_, times_;
  std::vector<std::array<uint8_t, 16>> keys_;
  Text text_, json_;
  std::vector<std::array<uint64_t, 2>> prices_;
  std::vector<double> samples_;
  std::vector<int32_t> ranks_;
  std::vector<uint8_t> ranks_valid_;
  std::shared_ptr<const Schema> schema_;
};

// ---- wide --------------------------------------------------------------------------------------

class WideRows final : public Rows {
 public:
  explicit WideRows(size_t count) {
    Numbers numbers(3);
    structs_.resize(count);
    for (Text& text : texts_) {
      text.offsets.push_back(0);
      text.heap.reserve(count * kTextBytesMax);  // must not move under the structs' views
    }
    std::array<char, kTextBytesMax> value{};
    for (auto& row : structs_) {
      for (size_t k = 0; k < kTextCount; ++k) {
        const size_t length = kTextBytesMin + numbers.below(kTextBytesMax - kTextBytesMin + 1);
        for (char& c : value) c = static_cast<char>('a' + numbers.below(26));
        row[k] = texts_[k].add({value.data(), length});
      }
    }
    Schema schema;
    for (const char* name : {"t0", "t1", "t2", "t3"}) {
      schema.push_back(field(name, ColumnKind::kText32));
    }
    schema_ = std::make_shared<const Schema>(std::move(schema));
  }

  std::string_view name() const override { return "wide"; }
  std::string_view table_columns() const override { return "t0 text, t1 text, t2 text, t3 text"; }
  size_t row_count() const override { return structs_.size(); }
  size_t column_bytes() const override {
    size_t bytes = 0;
    for (const Text& text : texts_) bytes += text.heap.size() + text.offsets.size() * 4;
    return bytes;
  }
  const std::shared_ptr<const Schema>& schema() const override { return schema_; }

  RecordBatch batch(size_t begin, size_t count) const override {
    std::vector<ColumnView> columns;
    size_t bytes = 0;
    for (const Text& text : texts_) {
      columns.push_back(text.view(begin));
      bytes += text.bytes(begin, count) + count * 4;
    }
    return {schema_, std::move(columns), count, bytes, nullptr};
  }

  size_t encode_rows(size_t& row, size_t end, std::span<std::byte> out) const override {
    Cursor cursor(out.data());
    const std::byte* const last = out.data() + out.size() - kRowBytesMax;
    for (; row < end && cursor.at() <= last; ++row) {
      cursor.int16(kTextCount);
      for (const std::string_view text : structs_[row]) {
        cursor.int32(static_cast<uint32_t>(text.size()));
        cursor.bytes(text.data(), text.size());
      }
    }
    return static_cast<size_t>(cursor.at() - out.data());
  }

 private:
  Memory memory() const override {
    Memory memory = memory_of(structs_);
    for (const Text& text : texts_) {
      for (const auto part : memory_of(text.offsets, text.heap)) memory.push_back(part);
    }
    return memory;
  }

  static constexpr size_t kTextCount = 4;
  static constexpr size_t kTextBytesMin = 180;
  static constexpr size_t kTextBytesMax = 220;

  std::vector<std::array<std::string_view, kTextCount>> structs_;
  std::array<Text, kTextCount> texts_;
  std::shared_ptr<const Schema> schema_;
};

}  // namespace

void Rows::touch() const {
  constexpr size_t kPageBytes = 4096;
  for (const auto part : memory()) {
    const volatile std::byte* const bytes = part.data();
    for (size_t at = 0; at < part.size(); at += kPageBytes) {
      [[maybe_unused]] const std::byte seen = bytes[at];
    }
  }
}

std::unique_ptr<Rows> make_narrow_rows(size_t count, Nulls nulls) {
  return std::make_unique<NarrowRows>(count, nulls);
}
std::unique_ptr<Rows> make_mixed_rows(size_t count) { return std::make_unique<MixedRows>(count); }
std::unique_ptr<Rows> make_wide_rows(size_t count) { return std::make_unique<WideRows>(count); }

}  // namespace pgsink::bench
