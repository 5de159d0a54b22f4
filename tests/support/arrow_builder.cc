#include "support/arrow_builder.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace pgsink::test {
namespace {

using detail::append_raw;

template <class Offset>
void append_offset(ArrowBuffer& buffer, size_t offset) {
  append_raw(buffer, static_cast<Offset>(offset));
}

void append_offset(ArrowBuffer& buffer, bool large, size_t offset) {
  if (large) {
    append_offset<int64_t>(buffer, offset);
  } else {
    append_offset<int32_t>(buffer, offset);
  }
}

ArrowNode text_views(const std::string& format, const Nullable<std::string>& values) {
  ArrowNode node;
  node.format = format;
  node.length = static_cast<int64_t>(values.size());
  ArrowBuffer views;
  std::array<ArrowBuffer, 2> heaps;  // two, so that the buffer index matters
  size_t turn = 0;
  for (const auto& value : values) {
    const std::string text = value.value_or("NULL slots hold whatever they like");
    std::array<std::byte, 16> view{};
    auto size = static_cast<int32_t>(text.size());
    if (!value) size = -7;
    std::memcpy(view.data(), &size, 4);
    if (text.size() <= 12) {
      std::memcpy(view.data() + 4, text.data(), text.size());
    } else {
      const auto heap = static_cast<int32_t>(turn++ % heaps.size());
      ArrowBuffer& bytes = heaps[static_cast<size_t>(heap)];
      const auto offset = static_cast<int32_t>(bytes.size());
      for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
      std::memcpy(view.data() + 4, text.data(), 4);
      std::memcpy(view.data() + 8, &heap, 4);
      std::memcpy(view.data() + 12, &offset, 4);
    }
    views.insert(views.end(), view.begin(), view.end());
  }
  ArrowBuffer sizes;
  for (const ArrowBuffer& heap : heaps) append_raw(sizes, static_cast<int64_t>(heap.size()));
  node.buffers = {detail::validity_of(values), std::move(views), heaps[0], heaps[1],
                  std::move(sizes)};
  return node;
}

ArrowNode fixed_text(const std::string& format, const Nullable<std::string>& values) {
  ArrowNode node;
  node.format = format;
  node.length = static_cast<int64_t>(values.size());
  const auto width = static_cast<size_t>(std::stoi(format.substr(2)));
  ArrowBuffer data;
  for (const auto& value : values) {
    for (size_t i = 0; i < width; ++i) {
      data.push_back(value ? static_cast<std::byte>(value->at(i)) : std::byte{0xA5});
    }
  }
  node.buffers = {detail::validity_of(values), std::move(data)};
  return node;
}

/// Bytes that a value takes in buffer 1; 0 for bits, views count 16.
size_t value_bytes(const std::string& format) {
  static const std::vector<std::pair<std::string_view, size_t>> kSizes = {
      {"c", 1},   {"C", 1},   {"s", 2},   {"S", 2},    {"e", 2},   {"i", 4},   {"I", 4}, {"f", 4},
      {"tdD", 4}, {"tts", 4}, {"ttm", 4}, {"tiM", 4},  {"l", 8},   {"L", 8},   {"g", 8}, {"tdm", 8},
      {"ttu", 8}, {"ttn", 8}, {"tiD", 8}, {"tin", 16}, {"vu", 16}, {"vz", 16}, {"u", 4}, {"z", 4},
      {"+l", 4},  {"+m", 4},  {"U", 8},   {"Z", 8},    {"+L", 8}};
  for (const auto& [known, size] : kSizes) {
    if (known == format) return size;
  }
  if (format.starts_with("w:")) return static_cast<size_t>(std::stoi(format.substr(2)));
  if (format.starts_with("d:")) {
    const bool three = std::count(format.begin(), format.end(), ',') == 2;
    return three ? static_cast<size_t>(std::stoi(format.substr(format.rfind(',') + 1))) / 8 : 16;
  }
  if (format.starts_with("ts") || format.starts_with("tD")) return 8;
  return 0;
}

void shift_bits(ArrowBuffer& buffer, int64_t front, int64_t length) {
  if (buffer.empty()) return;
  std::vector<bool> bits(static_cast<size_t>(front), false);
  for (int64_t i = 0; i < length; ++i) {
    const auto at = static_cast<size_t>(i);
    bits.push_back(((std::to_integer<unsigned>(buffer[at / 8]) >> (at % 8)) & 1U) != 0);
  }
  buffer = pack_bits(bits);
}

// ---- export: private data owns a copy of the node -----------------------------------------------

struct SchemaData {
  ArrowNode node;
  std::string metadata;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> child_pointers;
  ArrowSchema dictionary{};
  ReleaseCount* count = nullptr;
};

struct ArrayData {
  ArrowNode node;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> child_pointers;
  ArrowArray dictionary{};
  ReleaseCount* count = nullptr;
};

void release_schema(ArrowSchema* schema) {
  auto* data = static_cast<SchemaData*>(schema->private_data);
  for (ArrowSchema& child : data->children) {
    if (child.release != nullptr) child.release(&child);
  }
  if (data->dictionary.release != nullptr) data->dictionary.release(&data->dictionary);
  if (data->count != nullptr) ++data->count->schemas;
  delete data;
  schema->release = nullptr;
}

void release_array(ArrowArray* array) {
  auto* data = static_cast<ArrayData*>(array->private_data);
  for (ArrowArray& child : data->children) {
    if (child.release != nullptr) child.release(&child);
  }
  if (data->dictionary.release != nullptr) data->dictionary.release(&data->dictionary);
  if (data->count != nullptr) ++data->count->arrays;
  delete data;
  array->release = nullptr;
}

std::string encode_metadata(const ArrowNode& node) {
  if (node.metadata.empty()) return {};
  ArrowBuffer bytes;
  append_raw(bytes, static_cast<int32_t>(node.metadata.size()));
  const auto put = [&](const std::string& text) {
    append_raw(bytes, static_cast<int32_t>(text.size()));
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  };
  for (const auto& [key, value] : node.metadata) {
    put(key);
    put(value);
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

ArrowBuffer pack_bits(const std::vector<bool>& bits) {
  ArrowBuffer buffer((bits.size() + 7) / 8);
  for (size_t i = 0; i < bits.size(); ++i) {
    if (bits[i]) buffer[i / 8] |= static_cast<std::byte>(1U << (i % 8));
  }
  return buffer;
}

ArrowNode arrow_null(int64_t length) {
  ArrowNode node;
  node.format = "n";
  node.length = length;
  return node;
}

ArrowNode arrow_bool(const Nullable<bool>& values) {
  ArrowNode node;
  node.format = "b";
  node.length = static_cast<int64_t>(values.size());
  std::vector<bool> bits;
  for (const auto& value : values) bits.push_back(value.value_or(true));
  node.buffers = {detail::validity_of(values), pack_bits(bits)};
  return node;
}

ArrowNode arrow_text(const std::string& format, const Nullable<std::string>& values) {
  if (format == "vu" || format == "vz") return text_views(format, values);
  if (format.starts_with("w:")) return fixed_text(format, values);
  ArrowNode node;
  node.format = format;
  node.length = static_cast<int64_t>(values.size());
  const bool large = format == "U" || format == "Z";
  ArrowBuffer offsets;
  ArrowBuffer heap;
  append_offset(offsets, large, 0);
  for (const auto& value : values) {
    const std::string text = value.value_or("\xff of a NULL row");
    for (const char c : text) heap.push_back(static_cast<std::byte>(c));
    append_offset(offsets, large, heap.size());
  }
  node.buffers = {detail::validity_of(values), std::move(offsets), std::move(heap)};
  return node;
}

ArrowNode arrow_list(const std::string& format, const Nullable<size_t>& sizes, ArrowNode child) {
  ArrowNode node;
  node.format = format;
  node.length = static_cast<int64_t>(sizes.size());
  const bool large = format == "+L";
  ArrowBuffer offsets;
  size_t end = 0;
  append_offset(offsets, large, end);
  for (const auto& size : sizes) {
    end += size.value_or(0);
    append_offset(offsets, large, end);
  }
  node.buffers = {detail::validity_of(sizes), std::move(offsets)};
  node.children.push_back(std::move(child));
  return node;
}

ArrowNode arrow_fixed_list(size_t width, const std::vector<bool>& valid, ArrowNode child) {
  ArrowNode node;
  node.format = "+w:" + std::to_string(width);
  node.length = static_cast<int64_t>(valid.size());
  node.buffers = {pack_bits(valid)};
  node.children.push_back(std::move(child));
  return node;
}

ArrowNode arrow_struct(const std::vector<bool>& valid, std::vector<ArrowNode> children) {
  ArrowNode node;
  node.format = "+s";
  node.length = static_cast<int64_t>(valid.size());
  node.buffers = {pack_bits(valid)};
  node.children = std::move(children);
  return node;
}

ArrowNode arrow_dictionary(const Nullable<int64_t>& indexes, ArrowNode values,
                           const std::string& format) {
  const size_t bytes = value_bytes(format);
  ArrowNode node;
  node.format = format;
  node.length = static_cast<int64_t>(indexes.size());
  ArrowBuffer data;
  for (const auto& index : indexes) {
    const int64_t value = index.value_or(0x5a5a5a5a5a5a5a5a);
    const auto* from = reinterpret_cast<const std::byte*>(&value);  // little-endian machines only
    data.insert(data.end(), from, from + bytes);
  }
  node.buffers = {detail::validity_of(indexes), std::move(data)};
  node.dictionary = std::make_shared<ArrowNode>(std::move(values));
  return node;
}

ArrowNode with_offset(ArrowNode node, int64_t front) {
  if (front == 0) return node;
  if (node.format == "n") {
    node.offset += front;
    return node;
  }
  const auto garbage = static_cast<size_t>(front);
  shift_bits(node.buffers[0], front, node.length);
  if (node.format == "b") {
    shift_bits(node.buffers[1], front, node.length);
  } else if (node.format == "+s" || node.format.starts_with("+w:")) {
    const int64_t each = node.format == "+s" ? 1 : std::stoi(node.format.substr(3));
    for (ArrowNode& child : node.children) {
      ArrowNode moved = with_offset(std::move(child), front * each);
      moved.length += moved.offset;  // the parent's offset leads over the garbage
      moved.offset = 0;
      child = std::move(moved);
    }
  } else {
    const size_t bytes = value_bytes(node.format);
    const bool offsets =
        node.format.size() <= 2 && node.buffers.size() >= 2 &&
        std::string_view("u z U Z +l +L +m").find(node.format) != std::string_view::npos;
    // Offsets in front are zeros, so that the text or the elements need not move.
    node.buffers[1].insert(node.buffers[1].begin(), garbage * bytes,
                           offsets ? std::byte{0} : std::byte{0xA5});
  }
  node.offset += front;
  return node;
}

void export_schema(const ArrowNode& node, ArrowSchema& schema, ReleaseCount* count) {
  auto* data = new SchemaData{node, encode_metadata(node), {}, {}, {}, count};
  schema = {};
  schema.format = data->node.format.c_str();
  schema.name = data->node.name.c_str();
  schema.metadata = data->metadata.empty() ? nullptr : data->metadata.data();
  schema.flags = ARROW_FLAG_NULLABLE;
  data->children.resize(node.children.size());
  for (size_t i = 0; i < node.children.size(); ++i) {
    export_schema(node.children[i], data->children[i]);
    data->child_pointers.push_back(&data->children[i]);
  }
  schema.n_children = static_cast<int64_t>(data->children.size());
  schema.children = data->child_pointers.data();
  if (node.dictionary != nullptr) {
    export_schema(*node.dictionary, data->dictionary);
    schema.dictionary = &data->dictionary;
  }
  schema.release = release_schema;
  schema.private_data = data;
}

void export_array(const ArrowNode& node, ArrowArray& array, ReleaseCount* count) {
  auto* data = new ArrayData{node, {}, {}, {}, {}, count};
  array = {};
  array.length = node.length;
  array.null_count = node.null_count;
  array.offset = node.offset;
  for (size_t i = 0; i < data->node.buffers.size(); ++i) {
    const ArrowBuffer& buffer = data->node.buffers[i];
    data->buffers.push_back(i == 0 && buffer.empty() ? nullptr : buffer.data());
  }
  array.n_buffers = static_cast<int64_t>(data->buffers.size());
  array.buffers = data->buffers.data();
  data->children.resize(node.children.size());
  for (size_t i = 0; i < node.children.size(); ++i) {
    export_array(node.children[i], data->children[i]);
    data->child_pointers.push_back(&data->children[i]);
  }
  array.n_children = static_cast<int64_t>(data->children.size());
  array.children = data->child_pointers.data();
  if (node.dictionary != nullptr) {
    export_array(*node.dictionary, data->dictionary);
    array.dictionary = &data->dictionary;
  }
  array.release = release_array;
  array.private_data = data;
}

ArrowNode arrow_batch(std::vector<ArrowNode> columns) {
  ArrowNode batch;
  batch.format = "+s";
  batch.length = columns.empty() ? 0 : columns[0].length;
  batch.null_count = 0;
  batch.buffers = {{}};
  batch.children = std::move(columns);
  return batch;
}

RecordBatch import_columns(std::vector<ArrowNode> columns, const ArrowImport& options) {
  const ArrowNode node = arrow_batch(std::move(columns));
  ArrowSchema arrow_schema;
  ArrowArray array;
  export_schema(node, arrow_schema);
  export_array(node, array);
  auto schema = import_arrow_schema(&arrow_schema, options);
  if (!schema) {
    array.release(&array);
    throw std::runtime_error(schema.error().to_string());
  }
  auto batch = import_arrow_batch(*schema, &array);
  if (!batch) throw std::runtime_error(batch.error().to_string());
  return std::move(*batch);
}

}  // namespace pgsink::test
