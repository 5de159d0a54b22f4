#pragma once
// Arrow arrays for tests, built value by value and exported through the C Data Interface as a real
// producer would: own buffers, offsets in front, a release that must run exactly once.

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/arrow.h>

namespace pgsink::test {

using ArrowBuffer = std::vector<std::byte>;

/// ArrowNode is one array with its type; buffers as the format demands.
struct ArrowNode {
  std::string format;
  std::string name;
  std::vector<std::pair<std::string, std::string>> metadata;
  int64_t length = 0;
  int64_t null_count = -1;
  int64_t offset = 0;
  std::vector<ArrowBuffer> buffers;  ///< An empty first one is exported as a null pointer.
  std::vector<ArrowNode> children;
  std::shared_ptr<ArrowNode> dictionary;

  ArrowNode named(std::string column) && {
    name = std::move(column);
    return std::move(*this);
  }
  ArrowNode extended(std::string extension, std::string about = "") && {
    metadata.emplace_back("ARROW:extension:name", std::move(extension));
    if (!about.empty()) metadata.emplace_back("ARROW:extension:metadata", std::move(about));
    return std::move(*this);
  }
};

template <class T>
using Nullable = std::vector<std::optional<T>>;

/// The bits of a validity or boolean buffer; empty if all are set and `always` is not.
ArrowBuffer pack_bits(const std::vector<bool>& bits);

namespace detail {
template <class T>
ArrowBuffer validity_of(const Nullable<T>& values) {
  std::vector<bool> bits;
  bool all = true;
  for (const auto& value : values) {
    bits.push_back(value.has_value());
    all &= value.has_value();
  }
  return all ? ArrowBuffer{} : pack_bits(bits);
}
template <class T>
void append_raw(ArrowBuffer& buffer, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  buffer.insert(buffer.end(), from, from + sizeof(T));
}
}  // namespace detail

/// Any format whose values are plain memory. NULL slots are filled with 0xA5, for nobody may look.
template <class T>
ArrowNode arrow_fixed(std::string format, const Nullable<T>& values) {
  ArrowNode node;
  node.format = std::move(format);
  node.length = static_cast<int64_t>(values.size());
  ArrowBuffer data;
  for (const auto& value : values) {
    if (value) {
      detail::append_raw(data, *value);
    } else {
      data.insert(data.end(), sizeof(T), std::byte{0xA5});
    }
  }
  node.buffers = {detail::validity_of(values), std::move(data)};
  return node;
}

ArrowNode arrow_null(int64_t length);
ArrowNode arrow_bool(const Nullable<bool>& values);
/// Formats u, z (int32 offsets), U, Z (int64), vu, vz (views), w:N.
ArrowNode arrow_text(const std::string& format, const Nullable<std::string>& values);
/// Formats +l, +L, +m: lists of `sizes` elements of `child`, in order; nullopt: NULL.
ArrowNode arrow_list(const std::string& format, const Nullable<size_t>& sizes, ArrowNode child);
/// +w:N; NULL rows have elements all the same.
ArrowNode arrow_fixed_list(size_t width, const std::vector<bool>& valid, ArrowNode child);
ArrowNode arrow_struct(const std::vector<bool>& valid, std::vector<ArrowNode> children);
/// Indexes of the given format into `values`.
ArrowNode arrow_dictionary(const Nullable<int64_t>& indexes, ArrowNode values,
                           const std::string& format = "i");

/// The same values after `front` rows of garbage, with the array's offset set accordingly;
/// children of structs and fixed lists move along, those of lists get garbage of their own.
ArrowNode with_offset(ArrowNode node, int64_t front);

/// How often releases ran; each must be once for each export.
struct ReleaseCount {
  int schemas = 0;
  int arrays = 0;
};

void export_schema(const ArrowNode& node, ArrowSchema& schema, ReleaseCount* count = nullptr);
void export_array(const ArrowNode& node, ArrowArray& array, ReleaseCount* count = nullptr);

/// A record batch (struct) of columns, not imported yet.
ArrowNode arrow_batch(std::vector<ArrowNode> columns);
/// Exports and imports; throws std::runtime_error with the error's text.
RecordBatch import_columns(std::vector<ArrowNode> columns, const ArrowImport& options = {});

}  // namespace pgsink::test
