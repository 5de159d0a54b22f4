// Values from bytes into tuples. An input that begins with a capital letter is text for the type of
// that letter (see kTextTypes); any other builds an Arrow array whose lengths, offsets, indexes,
// views and bitmaps are the input's, imports it, and encodes it into every type that takes it.
//
// Whatever comes: no crash; measured size = written size; a row is written or rejected, never both;
// any size of buffer and any code (portable, vector) gives the same bytes.

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <pgproto/bytes.h>

#include <pgsink/arrow.h>
#include <pgsink/encode/rows/row_encoder.h>

#include "check.h"

namespace {

using pgsink::EncodeColumn;
using pgsink::Kernels;
using pgsink::RecordBatch;
using pgsink::Rejection;
using pgsink::RowEncoder;
using pgsink::RowRange;

struct Type {
  pgproto::Oid oid;
  int32_t type_modifier = -1;
};

constexpr pgproto::Oid kMood = 90'001;
constexpr pgproto::Oid kPair = 90'002;
constexpr pgproto::Oid kPairArray = 90'003;
constexpr int32_t kNumeric6Scale2 = (6 << 16 | 2) + 4;

constexpr Type kTextTypes[] = {
    {16},         {21},      {23},
    {20},         {26},      {700},
    {701},        {1700},    {1700, kNumeric6Scale2},
    {1043, 14},   {1042, 9}, {19},
    {18},         {17},      {1082},
    {1083},       {1266},    {1114},
    {1184},       {1186},    {2950},
    {3802},       {869},     {650},
    {829},        {1560, 5}, {1007},
    {3904},       {kMood},   {kPair},
    {kPairArray}, {4451},
};

const pgproto::TypeMap& catalog() {
  static const pgproto::TypeMap kTypes = [] {
    pgproto::TypeInfo mood;
    mood.oid = kMood;
    mood.name = "mood";
    mood.kind = pgproto::TypeInfo::Kind::kEnum;
    mood.labels = {"sad", "ok"};
    pgproto::TypeInfo pair;
    pair.oid = kPair;
    pair.name = "pair";
    pair.kind = pgproto::TypeInfo::Kind::kComposite;
    pair.attributes = {{"key", 25, -1}, {"value", 1007, -1}};
    pgproto::TypeInfo array;
    array.oid = kPairArray;
    array.name = "pair[]";
    array.kind = pgproto::TypeInfo::Kind::kArray;
    array.element_oid = kPair;
    return pgproto::TypeMap{{kMood, mood}, {kPair, pair}, {kPairArray, array}};
  }();
  return kTypes;
}

/// Encodes all rows through a buffer of that size.
std::string encode_all(RowEncoder& encoder, const RecordBatch& batch, size_t out_bytes,
                       size_t& rejected_count) {
  std::string all;
  std::vector<std::byte> out(out_bytes);
  std::vector<Rejection> rejected;
  RowRange rows{0, batch.row_count(), nullptr};
  while (rows.count != 0) {
    const RowEncoder::Step step = encoder.encode(batch, rows, out, rejected);
    FUZZ_CHECK(step.bytes <= out.size() && step.rows <= rows.count);
    all.append(reinterpret_cast<const char*>(out.data()), step.bytes);
    rows.begin += step.rows;
    rows.count -= step.rows;
    if (step.rows != 0) continue;
    FUZZ_CHECK(step.bytes_needed > out.size());
    out.resize(step.bytes_needed);
  }
  for (const Rejection& rejection : rejected) {
    FUZZ_CHECK(rejection.row < batch.row_count());
    FUZZ_CHECK(rejection.error.sqlstate.is_set() && !rejection.error.message.empty());
  }
  rejected_count = rejected.size();
  return all;
}

/// Takes tuples of one field apart; the number of rows.
size_t count_tuples(const std::string& tuples) {
  pgproto::ByteReader reader(pgproto::as_bytes(tuples));
  size_t rows = 0;
  for (; !reader.done(); ++rows) {
    FUZZ_CHECK(reader.ok() && reader.read<int16_t>() == 1);
    const auto size = reader.read<int32_t>();
    FUZZ_CHECK(reader.ok() && size >= -1);
    if (size > 0) reader.read_bytes(static_cast<size_t>(size));
  }
  return rows;
}

void encode_every_way(const RecordBatch& batch, const Type& type) {
  const EncodeColumn column{0, batch.schema()->at(0), "c", type.oid, type.type_modifier};
  auto encoder = RowEncoder::create({column}, catalog());
  if (!encoder) return;
  size_t rejected = 0;
  const std::string tuples = encode_all(*encoder, batch, size_t{1} << 16, rejected);
  FUZZ_CHECK(count_tuples(tuples) + rejected == batch.row_count());
  size_t rejected_again = 0;
  FUZZ_CHECK(encode_all(*encoder, batch, 37, rejected_again) == tuples);
  FUZZ_CHECK(rejected_again == rejected);
  auto portable = RowEncoder::create({column}, catalog(), Kernels::kPortable);
  FUZZ_CHECK(portable.has_value());
  FUZZ_CHECK(encode_all(*portable, batch, 4096, rejected_again) == tuples);
}

void encode_text(std::string_view text, const Type& type) {
  const std::string copy(text);
  pgsink::Field field;
  field.name = "c";
  field.kind = pgsink::ColumnKind::kStdStringView;
  const std::string_view view(copy);
  pgsink::ColumnView column;
  column.kind = field.kind;
  column.values = &view;
  column.stride_bytes = sizeof(view);
  const RecordBatch batch(std::make_shared<const pgsink::Schema>(pgsink::Schema{field}), {column},
                          1, 0, nullptr);
  encode_every_way(batch, type);
}

/// ArrayMaker builds one Arrow array from the input. Buffers are large enough for whatever small
/// offsets the input puts into them, which is the one thing that an importer cannot check.
class ArrayMaker {
 public:
  explicit ArrayMaker(FuzzInput& input) : input_(input) {}

  void make(ArrowSchema& schema, ArrowArray& array, int depth) {
    static constexpr const char* kFormats[] = {
        "n",           "b",    "c",       "C",   "s",   "S",    "i",   "I",    "l",        "L",
        "e",           "f",    "g",       "u",   "z",   "U",    "vu",  "tdD",  "tdm",      "tts",
        "ttu",         "tsu:", "tsn:UTC", "tDn", "tiM", "tiD",  "tin", "w:16", "d:9,2,32", "d:38,4",
        "d:76,80,256", "+l",   "+L",      "+s",  "+m",  "+w:2", "dict"};
    constexpr size_t kFlat = 31;
    const size_t count = depth < 3 ? std::size(kFormats) : kFlat;
    const std::string_view format = kFormats[input_.byte() % count];
    schema = {};
    array = {};
    schema.format = format == "dict" ? "c" : format.data();
    schema.name = "c";
    schema.release = [](ArrowSchema* s) { s->release = nullptr; };
    array.release = [](ArrowArray* a) { a->release = nullptr; };
    array.length = input_.byte() % 9;
    array.offset = input_.byte() % 4;
    array.null_count = -1;
    fill(format, schema, array, depth);
  }

 private:
  static constexpr size_t kBufferBytes = 4096;
  static constexpr size_t kHeapBytes = 70'000;
  static constexpr size_t kOffsetCount = 64;

  std::byte* buffer(size_t bytes) {
    buffers_.emplace_back(bytes, std::byte{'7'});
    return buffers_.back().data();
  }

  /// Room of a fixed size whose front is the input's.
  const void* values() {
    std::byte* const room = buffer(kBufferBytes);
    const std::string_view bytes = input_.take(input_.byte());
    std::memcpy(room, bytes.data(), bytes.size());
    return room;
  }

  template <class Offset>
  const void* offsets() {
    std::byte* const room = buffer(kOffsetCount * sizeof(Offset));
    Offset offset = 0;
    for (size_t i = 0; i < kOffsetCount; ++i) {
      // Mostly growing by little; now and then anything of 16 bits.
      const uint8_t step = input_.byte();
      offset = static_cast<Offset>(step < 250 ? offset + step % 16 : input_.byte() * 256 - 300);
      if (offset > static_cast<Offset>(kHeapBytes)) offset = 0;
      std::memcpy(room + i * sizeof(Offset), &offset, sizeof(Offset));
    }
    return room;
  }

  const void* heap() {
    std::byte* const room = buffer(kHeapBytes);
    const std::string_view bytes = input_.take(input_.byte());
    std::memcpy(room, bytes.data(), bytes.size());
    return room;
  }

  const void* validity() { return input_.byte() % 2 == 0 ? nullptr : values(); }

  void set_buffers(ArrowArray& array, std::vector<const void*> pointers) {
    pointers_.push_back(std::move(pointers));
    array.buffers = pointers_.back().data();
    array.n_buffers = static_cast<int64_t>(pointers_.back().size());
  }

  void add_children(ArrowSchema& schema, ArrowArray& array, size_t count, int depth) {
    std::vector<ArrowSchema*> child_schemas;
    std::vector<ArrowArray*> child_arrays;
    for (size_t i = 0; i < count; ++i) {
      child_schemas.push_back(&schemas_.emplace_back());
      child_arrays.push_back(&arrays_.emplace_back());
      make(*child_schemas.back(), *child_arrays.back(), depth + 1);
      child_arrays.back()->length += input_.byte() % 32;
    }
    schema_lists_.push_back(std::move(child_schemas));
    array_lists_.push_back(std::move(child_arrays));
    schema.children = schema_lists_.back().data();
    array.children = array_lists_.back().data();
    schema.n_children = array.n_children = static_cast<int64_t>(count);
  }

  void fill(std::string_view format, ArrowSchema& schema, ArrowArray& array, int depth) {
    if (format == "n") return;
    if (format == "u" || format == "z") {
      return set_buffers(array, {validity(), offsets<int32_t>(), heap()});
    }
    if (format == "U") return set_buffers(array, {validity(), offsets<int64_t>(), heap()});
    if (format == "vu") {
      const auto* sizes = reinterpret_cast<int64_t*>(buffer(sizeof(int64_t)));
      const auto size = static_cast<int64_t>(kHeapBytes);
      std::memcpy(buffers_.back().data(), &size, sizeof(size));
      return set_buffers(array, {validity(), values(), heap(), sizes});
    }
    if (format == "+l" || format == "+L" || format == "+m") {
      const void* const valid = validity();
      set_buffers(array, {valid, format == "+L" ? offsets<int64_t>() : offsets<int32_t>()});
      return add_children(schema, array, 1, depth);
    }
    if (format == "+w:2" || format == "+s") {
      set_buffers(array, {validity()});
      return add_children(schema, array, format == "+s" ? input_.byte() % 3 : 1, depth);
    }
    set_buffers(array, {validity(), values()});
    if (format == "dict") {
      schema.dictionary = &schemas_.emplace_back();
      array.dictionary = &arrays_.emplace_back();
      make(*schema.dictionary, *array.dictionary, depth + 1);
    }
  }

  FuzzInput& input_;
  std::deque<std::vector<std::byte>> buffers_;
  std::deque<std::vector<const void*>> pointers_;
  std::deque<ArrowSchema> schemas_;
  std::deque<ArrowArray> arrays_;
  std::deque<std::vector<ArrowSchema*>> schema_lists_;
  std::deque<std::vector<ArrowArray*>> array_lists_;
};

void encode_array(FuzzInput& input) {
  ArrayMaker maker(input);
  ArrowSchema column_schema;
  ArrowArray column_array;
  maker.make(column_schema, column_array, 0);
  ArrowSchema* schemas[] = {&column_schema};
  ArrowArray* arrays[] = {&column_array};
  const void* no_buffer = nullptr;
  ArrowSchema schema{};
  schema.format = "+s";
  schema.n_children = 1;
  schema.children = schemas;
  schema.release = [](ArrowSchema* s) { s->release = nullptr; };
  ArrowArray array{};
  array.length = column_array.length;
  array.n_buffers = 1;
  array.buffers = &no_buffer;
  array.n_children = 1;
  array.children = arrays;
  array.release = [](ArrowArray* a) { a->release = nullptr; };
  auto imported_schema = pgsink::import_arrow_schema(&schema);
  if (!imported_schema) return;
  auto batch = pgsink::import_arrow_batch(*imported_schema, &array);
  FUZZ_CHECK(array.release == nullptr);
  if (!batch) return;
  for (const Type& type : kTextTypes) encode_every_way(*batch, type);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const uint8_t first = input.byte();
  const size_t letter = first - size_t{'A'};
  if (first >= 'A' && letter < std::size(kTextTypes)) {
    encode_text(input.take(size), kTextTypes[letter]);
  } else {
    encode_array(input);
  }
  return 0;
}
