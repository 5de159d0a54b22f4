#pragma once
// batch_of: a vector or span of structs, or columns of scalars, as a RecordBatch. Nothing is
// copied.
//
//   struct Trade { int64_t id; double price; std::optional<std::string> venue; };
//   std::vector<Trade> trades = …;
//   pgsink::RecordBatch batch =
//       pgsink::batch_of(std::move(trades), pgsink::column("id", &Trade::id),
//                        pgsink::column("price", &Trade::price),
//                        pgsink::column("venue", &Trade::venue));
//
// Member types: bool, (u)int8_t … 64_t, float, double, std::string, std::string_view (whose
// characters must outlive the batch), std::vector<std::byte> (bytea), std::array of 16 std::byte or
// uint8_t (uuid), std::chrono::sys_time (an instant), local_time, sys_days, local_days, duration;
// std::optional of these (NULL); std::vector of these and of their optionals (arrays, also nested).

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <ratio>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <pgsink/record_batch.h>

namespace pgsink {

/// MemberType says how a C++ type is stored in a column: describe() fills the field, view() makes
/// the view of values that are `stride` bytes apart, heap_bytes() counts the memory that a value
/// owns elsewhere.
template <class T>
struct MemberType {
  static_assert(!sizeof(T), "batch_of does not know this member type; see the list in batch_of.h");
};

namespace detail {

template <class T>
constexpr ColumnKind scalar_kind() {
  if constexpr (std::is_same_v<T, bool>) {
    return ColumnKind::kBoolBytes;
  } else if constexpr (std::is_same_v<T, float>) {
    return ColumnKind::kFloat32;
  } else if constexpr (std::is_same_v<T, double>) {
    return ColumnKind::kFloat64;
  } else if constexpr (sizeof(T) == 1) {
    return std::is_signed_v<T> ? ColumnKind::kInt8 : ColumnKind::kUint8;
  } else if constexpr (sizeof(T) == 2) {
    return std::is_signed_v<T> ? ColumnKind::kInt16 : ColumnKind::kUint16;
  } else if constexpr (sizeof(T) == 4) {
    return std::is_signed_v<T> ? ColumnKind::kInt32 : ColumnKind::kUint32;
  } else {
    return std::is_signed_v<T> ? ColumnKind::kInt64 : ColumnKind::kUint64;
  }
}

template <class Period>
constexpr TimeUnit time_unit() {
  if constexpr (std::is_same_v<Period, std::ratio<1>>) {
    return TimeUnit::kSecond;
  } else if constexpr (std::is_same_v<Period, std::milli>) {
    return TimeUnit::kMilli;
  } else if constexpr (std::is_same_v<Period, std::micro>) {
    return TimeUnit::kMicro;
  } else {
    static_assert(std::is_same_v<Period, std::nano>,
                  "times are taken in days, seconds, milli-, micro- or nanoseconds: use "
                  "std::chrono::time_point_cast");
    return TimeUnit::kNano;
  }
}

/// Base of the member types whose values are plain memory of one kind.
template <class T, ColumnKind kind>
struct PlainMember {
  static void describe(Field& field) { field.kind = kind; }
  static void view(const T* first, ptrdiff_t stride, ColumnView& column) {
    column.kind = kind;
    column.values = first;
    column.stride_bytes = stride;
  }
  static size_t heap_bytes(const T&) { return 0; }
};

template <class T, class D, bool utc>
struct TimeMember {
  static constexpr bool kDays = std::is_same_v<D, std::chrono::days>;
  // The days of std::chrono have 32 or 64 bits, depending on the standard library.
  static constexpr bool kNarrow = sizeof(typename D::rep) == 4;
  static constexpr ColumnKind kDaysKind = kNarrow ? ColumnKind::kDate32 : ColumnKind::kDays64;
  static constexpr ColumnKind kKind = kDays ? kDaysKind : ColumnKind::kTimestamp;
  static_assert(std::is_integral_v<typename D::rep> &&
                    (sizeof(typename D::rep) == 8 || (kDays && kNarrow)),
                "times are taken as 64-bit integers, days as 32-bit or 64-bit integers");

  static void describe(Field& field) {
    field.kind = kKind;
    if constexpr (!kDays) field.unit = time_unit<typename D::period>();
    field.utc = utc && !kDays;
  }
  static void view(const T* first, ptrdiff_t stride, ColumnView& column) {
    column.kind = kKind;
    column.values = first;
    column.stride_bytes = stride;
  }
  static size_t heap_bytes(const T&) { return 0; }
};

}  // namespace detail

template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
           !std::is_same_v<T, long double>)
struct MemberType<T> : detail::PlainMember<T, detail::scalar_kind<T>()> {};

template <>
struct MemberType<std::array<std::byte, 16>>
    : detail::PlainMember<std::array<std::byte, 16>, ColumnKind::kUuid> {};
template <>
struct MemberType<std::array<uint8_t, 16>>
    : detail::PlainMember<std::array<uint8_t, 16>, ColumnKind::kUuid> {};

template <>
struct MemberType<std::string_view>
    : detail::PlainMember<std::string_view, ColumnKind::kStdStringView> {
  static size_t heap_bytes(std::string_view value) { return value.size(); }
};

template <>
struct MemberType<std::string> : detail::PlainMember<std::string, ColumnKind::kStdString> {
  static size_t heap_bytes(const std::string& value) {
    return value.capacity() < sizeof(std::string) ? 0 : value.capacity();
  }
};

template <class D>
struct MemberType<std::chrono::sys_time<D>>
    : detail::TimeMember<std::chrono::sys_time<D>, D, true> {};
template <class D>
struct MemberType<std::chrono::local_time<D>>
    : detail::TimeMember<std::chrono::local_time<D>, D, false> {};

template <class Period>
struct MemberType<std::chrono::duration<int64_t, Period>>
    : detail::PlainMember<std::chrono::duration<int64_t, Period>, ColumnKind::kDuration> {
  static void describe(Field& field) {
    field.kind = ColumnKind::kDuration;
    field.unit = detail::time_unit<Period>();
  }
};

template <class T>
struct MemberType<std::optional<T>> {
  // Every standard library stores the value first and the flag right after it; a test checks that.
  struct Layout {
    T value;
    bool engaged;
  };
  static_assert(sizeof(Layout) == sizeof(std::optional<T>), "unknown layout of std::optional");

  static void describe(Field& field) { MemberType<T>::describe(field); }
  static void view(const std::optional<T>* first, ptrdiff_t stride, ColumnView& column) {
    const auto address = reinterpret_cast<uintptr_t>(first);
    MemberType<T>::view(reinterpret_cast<const T*>(address), stride, column);
    column.validity_bytes = reinterpret_cast<const uint8_t*>(address + sizeof(T));
    column.validity_stride_bytes = stride;
  }
  static size_t heap_bytes(const std::optional<T>& value) {
    return value ? MemberType<T>::heap_bytes(*value) : 0;
  }
};

template <class T>
struct MemberType<std::vector<T>> {
  static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no elements to point at");

  static void describe(Field& field) {
    field.kind = ColumnKind::kStdVector;
    field.children.resize(1);
    MemberType<T>::describe(field.children[0]);
  }
  static ListSpan read(const void* object) {
    const auto& list = *static_cast<const std::vector<T>*>(object);
    return {list.data(), list.size()};
  }
  static void view(const std::vector<T>* first, ptrdiff_t stride, ColumnView& column) {
    column.kind = ColumnKind::kStdVector;
    column.values = first;
    column.stride_bytes = stride;
    column.read_list = read;
    column.children.resize(1);
    MemberType<T>::view(nullptr, sizeof(T), column.children[0]);
  }
  static size_t heap_bytes(const std::vector<T>& list) {
    size_t bytes = list.capacity() * sizeof(T);
    for (const T& element : list) bytes += MemberType<T>::heap_bytes(element);
    return bytes;
  }
};

template <>
struct MemberType<std::vector<std::byte>> {
  static void describe(Field& field) { field.kind = ColumnKind::kStdBytes; }
  static ListSpan read(const void* object) {
    const auto& bytes = *static_cast<const std::vector<std::byte>*>(object);
    return {bytes.data(), bytes.size()};
  }
  static void view(const std::vector<std::byte>* first, ptrdiff_t stride, ColumnView& column) {
    column.kind = ColumnKind::kStdBytes;
    column.values = first;
    column.stride_bytes = stride;
    column.read_list = read;
  }
  static size_t heap_bytes(const std::vector<std::byte>& bytes) { return bytes.capacity(); }
};

/// MemberColumn is a column made of one member of each row.
template <class Row, class T>
struct MemberColumn {
  std::string name;
  T Row::* member;
};

/// column names a member; the table's column of that name receives it.
template <class Row, class T>
MemberColumn<Row, T> column(std::string name, T Row::* member) {
  return {std::move(name), member};
}

/// ValuesColumn is a column of separate values: owned (a vector moved in) or borrowed (a span).
template <class T>
struct ValuesColumn {
  std::string name;
  std::shared_ptr<const std::vector<T>> owner;  ///< Null: borrowed.
  std::span<const T> values;
};

template <class T>
ValuesColumn<T> column(std::string name, std::vector<T>&& values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  const std::span<const T> view(*owner);
  return {std::move(name), std::move(owner), view};
}
/// column borrows the values: they must not change or move until the batch is destroyed.
template <class T>
ValuesColumn<T> column(std::string name, std::span<const T> values) {
  return {std::move(name), nullptr, values};
}

namespace detail {

template <class T>
size_t column_heap_bytes(const T* first, ptrdiff_t stride, size_t count) {
  using Member = MemberType<T>;
  size_t bytes = 0;
  if constexpr (!std::is_arithmetic_v<T>) {
    const auto* at = reinterpret_cast<const std::byte*>(first);
    for (size_t i = 0; i < count; ++i, at += stride) {
      bytes += Member::heap_bytes(*reinterpret_cast<const T*>(at));
    }
  }
  return bytes;
}

struct BatchBuilder {
  Schema schema;
  std::vector<ColumnView> columns;
  size_t memory_bytes = 0;

  template <class T>
  void add(std::string name, const T* first, ptrdiff_t stride, size_t count) {
    Field field;
    field.name = std::move(name);
    MemberType<T>::describe(field);
    ColumnView view;
    MemberType<T>::view(first, stride, view);
    schema.push_back(std::move(field));
    columns.push_back(std::move(view));
    memory_bytes += column_heap_bytes(first, stride, count);
  }

  template <class Row, class T>
  void add_member(std::span<const Row> rows, const MemberColumn<Row, T>& member) {
    const T* const first = rows.empty() ? nullptr : &(rows.front().*(member.member));
    add(member.name, first, sizeof(Row), rows.size());
  }

  RecordBatch finish(size_t row_count, RecordBatch::Release release) {
    return RecordBatch(std::make_shared<const Schema>(std::move(schema)), std::move(columns),
                       row_count, memory_bytes, std::move(release));
  }
};

}  // namespace detail

/// batch_of borrows the rows: they must not change or move until the batch is destroyed, which the
/// sink does when they are durable.
template <class Row, class... T>
RecordBatch batch_of(std::span<const Row> rows, const MemberColumn<Row, T>&... columns) {
  detail::BatchBuilder builder;
  (builder.add_member(rows, columns), ...);
  builder.memory_bytes += rows.size_bytes();
  return builder.finish(rows.size(), nullptr);
}

/// batch_of takes the rows over.
template <class Row, class... T>
RecordBatch batch_of(std::vector<Row>&& rows, const MemberColumn<Row, T>&... columns) {
  auto owner = std::make_shared<const std::vector<Row>>(std::move(rows));
  const std::span<const Row> view(*owner);
  detail::BatchBuilder builder;
  (builder.add_member(view, columns), ...);
  builder.memory_bytes += view.size_bytes();
  return builder.finish(view.size(), [owner]() mutable { owner.reset(); });
}

/// batch_of_columns joins columns of equal length. Fails with kMalformedBatch if their lengths
/// differ.
template <class First, class... T>
Result<RecordBatch> batch_of_columns(ValuesColumn<First> first, ValuesColumn<T>... columns) {
  const size_t count = first.values.size();
  if (((columns.values.size() != count) || ...)) {
    return pgproto::fail(Errc::kMalformedBatch, "the columns of a batch differ in length");
  }
  detail::BatchBuilder builder;
  const auto add = [&]<class V>(const ValuesColumn<V>& values) {
    builder.add(values.name, values.values.data(), sizeof(V), count);
    builder.memory_bytes += values.values.size_bytes();
  };
  add(first);
  (add(columns), ...);
  auto owners = std::make_tuple(std::move(first.owner), std::move(columns.owner)...);
  return builder.finish(count, [owners = std::move(owners)]() mutable { owners = {}; });
}

}  // namespace pgsink
