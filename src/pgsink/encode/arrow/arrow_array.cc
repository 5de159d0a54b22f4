// ArrowArray → RecordBatch: views into the producer's buffers, after their contents were checked.

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include <pgsink/arrow.h>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/render.h"

namespace pgsink {
namespace {

using encode::load;

/// Lengths and offsets are bounded so that no sum or product of two of them overflows; rows are
/// counted in uint32 by RowRange.
constexpr int64_t kRowsMax = std::numeric_limits<uint32_t>::max();
constexpr int64_t kRunsMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kElementsMax = int64_t{1} << 40;

std::unexpected<Error> malformed_array(const std::string& path, const std::string& what) {
  return pgproto::fail(Errc::kMalformedBatch, "Arrow array, " + path + ": " + what);
}

/// Bytes of a value whose buffer is a plain vector; 0 for the others.
size_t fixed_bytes(const Field& field, ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kInt8:
    case ColumnKind::kUint8:
    case ColumnKind::kBoolBytes:
      return 1;
    case ColumnKind::kInt16:
    case ColumnKind::kUint16:
    case ColumnKind::kFloat16:
      return 2;
    case ColumnKind::kInt32:
    case ColumnKind::kUint32:
    case ColumnKind::kFloat32:
    case ColumnKind::kDecimal32:
    case ColumnKind::kDate32:
    case ColumnKind::kTime32:
    case ColumnKind::kIntervalMonths:
      return 4;
    case ColumnKind::kInt64:
    case ColumnKind::kUint64:
    case ColumnKind::kFloat64:
    case ColumnKind::kDecimal64:
    case ColumnKind::kDate64:
    case ColumnKind::kDays64:
    case ColumnKind::kTime64:
    case ColumnKind::kTimestamp:
    case ColumnKind::kDuration:
    case ColumnKind::kIntervalDayTime:
      return 8;
    case ColumnKind::kDecimal128:
    case ColumnKind::kIntervalMonthDayNano:
    case ColumnKind::kIntervalMonthDayMicro:
    case ColumnKind::kUuid:
    case ColumnKind::kTextView:
    case ColumnKind::kBinaryView:
      return 16;
    case ColumnKind::kDecimal256:
      return 32;
    case ColumnKind::kFixedBinary:
      return static_cast<size_t>(field.width);
    default:
      return 0;
  }
}

/// Runs is the run that each row of a column is in, and whether its value is not NULL.
struct Runs {
  std::vector<int32_t> indexes;
  std::vector<uint8_t> valid;
};

class ArrayReader {
 public:
  /// What the columns that were read refer to beside the producer's memory.
  std::vector<std::shared_ptr<const Runs>> take_runs() { return std::move(runs_); }
  size_t memory_bytes() const { return memory_bytes_; }

  /// Rows [skip, skip + length) of `array` as a column.
  Result<ColumnView> read(const Field& field, const ArrowArray* array, int64_t skip, int64_t length,
                          const std::string& parent) {
    const std::string path = parent + (parent.empty() ? "column " : ".") + "\"" + field.name + "\"";
    if (auto status = check_frame(array, skip, length, path); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    const Window window{field, *array, array->offset + skip, length, path};
    ColumnView view;
    view.kind = field.kind;
    view.offset = window.first;
    if (field.kind == ColumnKind::kNull) return view;
    if (field.kind == ColumnKind::kDictionary && field.width != 0) {
      if (auto status = read_runs(window, view); !status) {
        return pgproto::fail(std::move(status.error()));
      }
      return view;
    }
    if (auto status = read_validity(window, view); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    if (auto status = read_values(window, view); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    return view;
  }

 private:
  struct Window {
    const Field& field;
    const ArrowArray& array;
    int64_t first;  ///< Index of the first row in the buffers.
    int64_t length;
    const std::string& path;
  };

  static Status check_frame(const ArrowArray* array, int64_t skip, int64_t length,
                            const std::string& path) {
    if (array == nullptr) return malformed_array(path, "the array is missing");
    const auto sane = [](int64_t n) { return n >= 0 && n <= kElementsMax; };
    if (!sane(array->length) || !sane(array->offset) || !sane(skip) || !sane(length)) {
      return malformed_array(path, "length " + std::to_string(array->length) + " or offset " +
                                       std::to_string(array->offset) + " is negative or too large");
    }
    if (skip + length > array->length) {
      return malformed_array(path, "has " + std::to_string(array->length) + " rows where " +
                                       std::to_string(skip + length) + " are needed");
    }
    return {};
  }

  static Status check_counts(const Window& window, int64_t buffers, int64_t children) {
    const ArrowArray& array = window.array;
    if (array.n_buffers != buffers || (buffers > 0 && array.buffers == nullptr)) {
      return malformed_array(window.path, "has " + std::to_string(array.n_buffers) +
                                              " buffers where its format has " +
                                              std::to_string(buffers));
    }
    if (array.n_children != children || (children > 0 && array.children == nullptr)) {
      return malformed_array(window.path, "has " + std::to_string(array.n_children) +
                                              " children where its format has " +
                                              std::to_string(children));
    }
    return {};
  }

  Status read_validity(const Window& window, ColumnView& view) {
    const ArrowArray& array = window.array;
    if (array.n_buffers < 1 || array.buffers == nullptr) {
      return malformed_array(window.path, "has no buffers");
    }
    const auto* bits = static_cast<const uint8_t*>(array.buffers[0]);
    if (bits == nullptr && array.null_count > 0) {
      return malformed_array(
          window.path, "has " + std::to_string(array.null_count) + " NULLs but no validity buffer");
    }
    if (array.null_count == 0) return {};
    view.validity_bits = bits;
    if (bits != nullptr) memory_bytes_ += static_cast<size_t>(window.length / 8);
    return {};
  }

  Status read_values(const Window& window, ColumnView& view) {
    switch (window.field.kind) {
      case ColumnKind::kBoolBits:
        return read_bits(window, view);
      case ColumnKind::kText32:
      case ColumnKind::kBinary32:
        return read_text<int32_t>(window, view);
      case ColumnKind::kText64:
      case ColumnKind::kBinary64:
        return read_text<int64_t>(window, view);
      case ColumnKind::kTextView:
      case ColumnKind::kBinaryView:
        return read_views(window, view);
      case ColumnKind::kList32:
      case ColumnKind::kMap:
        return read_list<int32_t>(window, view);
      case ColumnKind::kList64:
        return read_list<int64_t>(window, view);
      case ColumnKind::kFixedList:
        return read_fixed_list(window, view);
      case ColumnKind::kStruct:
        return read_struct(window, view);
      case ColumnKind::kDictionary:
        return read_dictionary(window, view);
      default:
        break;
    }
    if (auto status = check_counts(window, 2, 0); !status) return status;
    return read_plain(window, fixed_bytes(window.field, window.field.kind), view);
  }

  /// Points `view` at buffer 1, whose entries have `bytes` each.
  Status read_plain(const Window& window, size_t bytes, ColumnView& view) {
    const auto* buffer = static_cast<const std::byte*>(window.array.buffers[1]);
    if (buffer == nullptr && window.length > 0 && bytes > 0) {
      return malformed_array(window.path, "has rows but no data buffer");
    }
    view.stride_bytes = static_cast<ptrdiff_t>(bytes);
    if (buffer != nullptr) view.values = buffer + static_cast<size_t>(window.first) * bytes;
    memory_bytes_ += static_cast<size_t>(window.length) * bytes;
    return {};
  }

  Status read_bits(const Window& window, ColumnView& view) {
    if (auto status = check_counts(window, 2, 0); !status) return status;
    view.values = window.array.buffers[1];
    if (view.values == nullptr && window.length > 0) {
      return malformed_array(window.path, "has rows but no data buffer");
    }
    memory_bytes_ += static_cast<size_t>(window.length / 8);
    return {};
  }

  /// Checks the length + 1 offsets of a window; `end` becomes the last one.
  template <class Offset>
  Status read_offsets(const Window& window, ColumnView& view, int64_t& begin, int64_t& end) {
    begin = end = 0;
    view.stride_bytes = sizeof(Offset);
    const auto* buffer = static_cast<const std::byte*>(window.array.buffers[1]);
    if (buffer == nullptr) {
      if (window.length == 0) return {};
      return malformed_array(window.path, "has rows but no offsets");
    }
    const std::byte* const at = buffer + static_cast<size_t>(window.first) * sizeof(Offset);
    view.values = at;
    if (window.length == 0) return {};
    const auto count = static_cast<size_t>(window.length);
    Offset previous = load<Offset>(at);
    begin = previous;
    bool good = previous >= 0;
    for (size_t i = 1; i <= count; ++i) {
      const auto offset = load<Offset>(at + i * sizeof(Offset));
      good &= offset >= previous;
      previous = offset;
    }
    end = previous;
    memory_bytes_ += (count + 1) * sizeof(Offset);
    if (!good)
      return malformed_array(window.path, "an offset is negative or less than the one before");
    return {};
  }

  template <class Offset>
  Status read_text(const Window& window, ColumnView& view) {
    if (auto status = check_counts(window, 3, 0); !status) return status;
    int64_t begin = 0;
    int64_t end = 0;
    if (auto status = read_offsets<Offset>(window, view, begin, end); !status) return status;
    view.heap = window.array.buffers[2];
    if (view.heap == nullptr && end > 0) {
      return malformed_array(window.path, "has text but no data buffer");
    }
    if (view.heap == nullptr) view.heap = &kNothing;
    memory_bytes_ += static_cast<size_t>(end - begin);
    return {};
  }

  Status read_views(const Window& window, ColumnView& view) {
    const ArrowArray& array = window.array;
    if (array.n_buffers < 3) return check_counts(window, 3, 0);
    if (auto status = check_counts(window, array.n_buffers, 0); !status) return status;
    const int64_t heap_count = array.n_buffers - 3;
    const auto* sizes = static_cast<const std::byte*>(array.buffers[array.n_buffers - 1]);
    if (heap_count > 0 && sizes == nullptr)
      return malformed_array(window.path, "has no buffer sizes");
    if (auto status = read_plain(window, 16, view); !status) return status;
    view.heaps = array.buffers + 2;
    for (int64_t i = 0; i < window.length; ++i) {
      const auto row = static_cast<size_t>(i);
      if (encode::is_null_at(view, row)) continue;
      constexpr int32_t kInlineMax = 12;
      const std::byte* const at = encode::value_at(view, row);
      const auto size = load<int32_t>(at);
      if (size >= 0 && size <= kInlineMax) continue;
      const auto heap = load<int32_t>(at + 8);
      const auto offset = load<int32_t>(at + 12);
      const bool known = size >= 0 && heap >= 0 && heap < heap_count && offset >= 0 &&
                         array.buffers[2 + heap] != nullptr;
      if (!known || int64_t{offset} + size >
                        load<int64_t>(sizes + static_cast<size_t>(heap) * sizeof(int64_t))) {
        return malformed_array(window.path,
                               "row " + std::to_string(i) + " points outside its buffers");
      }
      memory_bytes_ += static_cast<size_t>(size);
    }
    return {};
  }

  template <class Offset>
  Status read_list(const Window& window, ColumnView& view) {
    if (window.field.width != 0) return read_list_view<Offset>(window, view);
    if (auto status = check_counts(window, 2, 1); !status) return status;
    int64_t begin = 0;
    int64_t end = 0;
    if (auto status = read_offsets<Offset>(window, view, begin, end); !status) return status;
    return read_child(window, 0, end, view);
  }

  template <class Offset>
  Status read_list_view(const Window& window, ColumnView& view) {
    if (auto status = check_counts(window, 3, 1); !status) return status;
    if (auto status = read_plain(window, sizeof(Offset), view); !status) return status;
    const auto* const counts = static_cast<const std::byte*>(window.array.buffers[2]);
    if (counts == nullptr && window.length > 0) {
      return malformed_array(window.path, "has rows but no sizes");
    }
    view.heap = &kNothing;
    if (counts != nullptr) view.heap = counts + static_cast<size_t>(window.first) * sizeof(Offset);
    memory_bytes_ += static_cast<size_t>(window.length) * sizeof(Offset);
    const ArrowArray* const child = window.array.children[0];
    if (child == nullptr) return malformed_array(window.path, "a child is missing");
    for (int64_t i = 0; i < window.length; ++i) {
      const auto row = static_cast<size_t>(i);
      if (encode::is_null_at(view, row)) continue;
      const int64_t first = load<Offset>(encode::value_at(view, row));
      const int64_t count =
          load<Offset>(static_cast<const std::byte*>(view.heap) + row * sizeof(Offset));
      if (first < 0 || count < 0 || first > child->length || count > child->length - first) {
        return malformed_array(window.path,
                               "row " + std::to_string(i) + " points outside its elements");
      }
    }
    return read_child(window, 0, child->length, view);
  }

  /// Runs end before the logical row that their number says, counted without the array's offset.
  Status read_runs(const Window& window, ColumnView& view) {
    const ArrowArray& array = window.array;
    if (array.n_buffers != 0 || array.n_children != 2 || array.children == nullptr ||
        array.children[0] == nullptr || array.children[1] == nullptr) {
      return malformed_array(window.path, "runs have two children and no buffers");
    }
    const ArrowArray& ends = *array.children[0];
    if (ends.length < 0 || ends.offset < 0 || ends.length > kRunsMax ||
        ends.offset > kElementsMax || ends.n_buffers != 2 || ends.buffers == nullptr ||
        (ends.buffers[1] == nullptr && ends.length > 0)) {
      return malformed_array(window.path, "the ends of its runs are malformed");
    }
    auto values = read(window.field.children[0], array.children[1], 0, ends.length, window.path);
    if (!values) return pgproto::fail(std::move(values.error()));
    view.children.push_back(std::move(*values));
    const auto length = static_cast<size_t>(window.length);
    auto made = std::make_shared<Runs>();
    made->indexes.reserve(length);
    made->valid.reserve(length);
    int64_t before = 0;
    for (int64_t run = 0; run < ends.length && made->indexes.size() < length; ++run) {
      const int64_t end = run_end(ends, window.field.width, run);
      if (end <= before) return malformed_array(window.path, "the ends of its runs do not grow");
      before = end;
      if (end <= window.first) continue;
      const size_t rows = std::min(static_cast<size_t>(end - window.first), length);
      const bool null = encode::is_null_at(view.children[0], static_cast<size_t>(run));
      made->indexes.resize(rows, static_cast<int32_t>(run));
      made->valid.resize(rows, null ? 0 : 1);
    }
    if (made->indexes.size() < length) {
      return malformed_array(window.path, "its runs end before its rows do");
    }
    memory_bytes_ += length * (sizeof(int32_t) + 1);
    view.values = made->indexes.data();
    view.stride_bytes = sizeof(int32_t);
    view.validity_bytes = made->valid.data();
    view.validity_stride_bytes = 1;
    runs_.push_back(std::move(made));
    return {};
  }

  static int64_t run_end(const ArrowArray& ends, int32_t width, int64_t run) {
    const auto* const at = static_cast<const std::byte*>(ends.buffers[1]) +
                           static_cast<size_t>((ends.offset + run) * width);
    if (width == sizeof(int16_t)) return load<int16_t>(at);
    return width == sizeof(int32_t) ? int64_t{load<int32_t>(at)} : load<int64_t>(at);
  }

  Status read_fixed_list(const Window& window, ColumnView& view) {
    if (auto status = check_counts(window, 1, 1); !status) return status;
    const int64_t width = window.field.width;
    int64_t skip = 0;
    int64_t count = 0;
    if (__builtin_mul_overflow(window.first, width, &skip) ||
        __builtin_mul_overflow(window.length, width, &count)) {
      return malformed_array(window.path, "has too many elements");
    }
    auto child = read(window.field.children[0], window.array.children[0], skip, count, window.path);
    if (!child) return pgproto::fail(std::move(child.error()));
    view.children.push_back(std::move(*child));
    return {};
  }

  Status read_struct(const Window& window, ColumnView& view) {
    const size_t count = window.field.children.size();
    if (auto status = check_counts(window, 1, static_cast<int64_t>(count)); !status) return status;
    for (size_t i = 0; i < count; ++i) {
      auto child = read(window.field.children[i], window.array.children[i], window.first,
                        window.length, window.path);
      if (!child) return pgproto::fail(std::move(child.error()));
      view.children.push_back(std::move(*child));
    }
    return {};
  }

  Status read_child(const Window& window, int64_t skip, int64_t count, ColumnView& view) {
    auto child = read(window.field.children[0], window.array.children[0], skip, count, window.path);
    if (!child) return pgproto::fail(std::move(child.error()));
    view.children.push_back(std::move(*child));
    return {};
  }

  Status read_dictionary(const Window& window, ColumnView& view) {
    if (auto status = check_counts(window, 2, 0); !status) return status;
    const ArrowArray* const values = window.array.dictionary;
    if (values == nullptr) return malformed_array(window.path, "has no dictionary");
    const ColumnKind index = window.field.index_kind;
    if (auto status = read_plain(window, fixed_bytes(window.field, index), view); !status) {
      return status;
    }
    auto child = read(window.field.children[0], values, 0, values->length, window.path);
    if (!child) return pgproto::fail(std::move(child.error()));
    if (values->length > kRowsMax)
      return malformed_array(window.path, "the dictionary is too large");
    view.children.push_back(std::move(*child));
    for (int64_t i = 0; i < window.length; ++i) {
      const auto row = static_cast<size_t>(i);
      if (encode::is_null_at(view, row)) continue;
      // A negative index becomes a large one.
      if (encode::dictionary_row(view, index, row) >= static_cast<size_t>(values->length)) {
        return malformed_array(window.path,
                               "row " + std::to_string(i) + " has an index outside of the " +
                                   std::to_string(values->length) + " dictionary values");
      }
    }
    return {};
  }

  static constexpr std::byte kNothing{};
  std::vector<std::shared_ptr<const Runs>> runs_;
  size_t memory_bytes_ = 0;
};

using ArrayOwner = std::shared_ptr<ArrowArray>;

/// Releases a struct that nobody took over, because there was no memory for that.
template <typename T>
auto released_in_the_end(T* given) {
  const auto release = [](T* left) {
    if (left->release != nullptr) left->release(left);
  };
  return std::unique_ptr<T, decltype(release)>(given, release);
}

/// Moves a struct from its producer to an owner that releases it when the last reference ends.
ArrayOwner take(ArrowArray* array) {
  auto* const moved = new ArrowArray(*array);
  // From here on it is released, also if there is no memory for the owner.
  array->release = nullptr;
  return {moved, [](ArrowArray* held) {
            if (held->release != nullptr) held->release(held);
            delete held;
          }};
}

bool any_null_row(const ArrowArray& array) {
  if (array.null_count == 0 || array.n_buffers < 1 || array.buffers == nullptr) return false;
  const auto* bits = static_cast<const uint8_t*>(array.buffers[0]);
  return bits != nullptr && !encode::bits_all_set(bits, static_cast<size_t>(array.offset),
                                                  static_cast<size_t>(array.length));
}

}  // namespace

Result<RecordBatch> import_arrow_batch(std::shared_ptr<const Schema> schema, ArrowArray* array) {
  if (array == nullptr || array->release == nullptr) {
    return pgproto::fail(Errc::kUsage, "the Arrow array has been released already");
  }
  const auto given = released_in_the_end(array);
  const ArrayOwner owner = take(array);
  if (schema == nullptr) return pgproto::fail(Errc::kUsage, "an Arrow array needs its schema");
  if (owner->length < 0 || owner->length > kRowsMax || owner->offset < 0 ||
      owner->offset > kElementsMax) {
    return malformed_array("record batch", "length " + std::to_string(owner->length) +
                                               " or offset " + std::to_string(owner->offset) +
                                               " is out of range");
  }
  const auto column_count = static_cast<int64_t>(schema->size());
  if (owner->n_children != column_count || (column_count > 0 && owner->children == nullptr)) {
    return malformed_array("record batch", "has " + std::to_string(owner->n_children) +
                                               " columns, its schema " +
                                               std::to_string(column_count));
  }
  if (any_null_row(*owner)) return malformed_array("record batch", "a whole row is NULL");
  ArrayReader reader;
  std::vector<ColumnView> columns;
  columns.reserve(schema->size());
  for (size_t i = 0; i < schema->size(); ++i) {
    auto view = reader.read((*schema)[i], owner->children[i], owner->offset, owner->length, "");
    if (!view) return pgproto::fail(std::move(view.error()));
    columns.push_back(std::move(*view));
  }
  return RecordBatch(std::move(schema), std::move(columns), static_cast<size_t>(owner->length),
                     reader.memory_bytes(), [held = owner, runs = reader.take_runs()]() mutable {
                       runs.clear();
                       held.reset();
                     });
}

void ArrowStream::Release::operator()(ArrowArrayStream* stream) const {
  if (stream->release != nullptr) stream->release(stream);
  delete stream;
}

ArrowStream::ArrowStream(Owner stream, std::shared_ptr<const Schema> schema)
    : stream_(std::move(stream)), schema_(std::move(schema)) {}

namespace {

std::unexpected<Error> producer_error(ArrowArrayStream& stream, int code) {
  const char* text = stream.get_last_error != nullptr ? stream.get_last_error(&stream) : nullptr;
  return pgproto::fail(Errc::kQuery, std::string("the Arrow stream failed: ") +
                                         (text != nullptr ? text : "error") + " (code " +
                                         std::to_string(code) + ")");
}

}  // namespace

Result<ArrowStream> ArrowStream::open(ArrowArrayStream* stream, const ArrowImport& options) {
  if (stream == nullptr || stream->release == nullptr) {
    return pgproto::fail(Errc::kUsage, "the Arrow stream has been released already");
  }
  const auto given = released_in_the_end(stream);
  Owner owner(new ArrowArrayStream(*stream));
  stream->release = nullptr;
  ArrowSchema arrow_schema{};
  if (const int code = owner->get_schema(owner.get(), &arrow_schema); code != 0) {
    return producer_error(*owner, code);
  }
  auto schema = import_arrow_schema(&arrow_schema, options);
  if (!schema) return pgproto::fail(std::move(schema.error()));
  return ArrowStream(std::move(owner), std::move(*schema));
}

Result<std::optional<RecordBatch>> ArrowStream::next() {
  ArrowArray array{};
  if (const int code = stream_->get_next(stream_.get(), &array); code != 0) {
    return producer_error(*stream_, code);
  }
  if (array.release == nullptr) return std::nullopt;
  auto batch = import_arrow_batch(schema_, &array);
  if (!batch) return pgproto::fail(std::move(batch.error()));
  return std::move(*batch);
}

}  // namespace pgsink
