// ArrowSchema → Schema.
// Source: the Arrow C Data Interface, "Data type description – format strings".

#include <array>
#include <charconv>
#include <cstring>
#include <string>

#include <pgsink/arrow.h>

namespace pgsink {
namespace {

/// Deeper nesting than this is refused; recursion follows the producer's structs.
constexpr int kDepthMax = 32;
/// The most children that a struct may have: what PostgreSQL's rows can hold.
constexpr int64_t kChildrenMax = 1664;

struct Format {
  std::string_view text;
  ColumnKind kind;
  TimeUnit unit = TimeUnit::kMicro;
  int32_t width = 0;
};

/// Field::width of a list view.
constexpr int32_t kListView = 1;

constexpr Format kFormats[] = {
    {"n", ColumnKind::kNull},
    {"b", ColumnKind::kBoolBits},
    {"c", ColumnKind::kInt8},
    {"C", ColumnKind::kUint8},
    {"s", ColumnKind::kInt16},
    {"S", ColumnKind::kUint16},
    {"i", ColumnKind::kInt32},
    {"I", ColumnKind::kUint32},
    {"l", ColumnKind::kInt64},
    {"L", ColumnKind::kUint64},
    {"e", ColumnKind::kFloat16},
    {"f", ColumnKind::kFloat32},
    {"g", ColumnKind::kFloat64},
    {"z", ColumnKind::kBinary32},
    {"Z", ColumnKind::kBinary64},
    {"vz", ColumnKind::kBinaryView},
    {"u", ColumnKind::kText32},
    {"U", ColumnKind::kText64},
    {"vu", ColumnKind::kTextView},
    {"tdD", ColumnKind::kDate32},
    {"tdm", ColumnKind::kDate64},
    {"tts", ColumnKind::kTime32, TimeUnit::kSecond},
    {"ttm", ColumnKind::kTime32, TimeUnit::kMilli},
    {"ttu", ColumnKind::kTime64, TimeUnit::kMicro},
    {"ttn", ColumnKind::kTime64, TimeUnit::kNano},
    {"tDs", ColumnKind::kDuration, TimeUnit::kSecond},
    {"tDm", ColumnKind::kDuration, TimeUnit::kMilli},
    {"tDu", ColumnKind::kDuration, TimeUnit::kMicro},
    {"tDn", ColumnKind::kDuration, TimeUnit::kNano},
    {"tiM", ColumnKind::kIntervalMonths},
    {"tiD", ColumnKind::kIntervalDayTime},
    {"tin", ColumnKind::kIntervalMonthDayNano},
    {"+l", ColumnKind::kList32},
    {"+L", ColumnKind::kList64},
    {"+vl", ColumnKind::kList32, TimeUnit::kMicro, kListView},
    {"+vL", ColumnKind::kList64, TimeUnit::kMicro, kListView},
    {"+s", ColumnKind::kStruct},
    {"+m", ColumnKind::kMap},
};

constexpr Format kTimestamps[] = {
    {"tss:", ColumnKind::kTimestamp, TimeUnit::kSecond},
    {"tsm:", ColumnKind::kTimestamp, TimeUnit::kMilli},
    {"tsu:", ColumnKind::kTimestamp, TimeUnit::kMicro},
    {"tsn:", ColumnKind::kTimestamp, TimeUnit::kNano},
};

std::unexpected<Error> malformed_schema(const std::string& path, const std::string& what) {
  return pgproto::fail(Errc::kMalformedBatch, "Arrow schema, " + path + ": " + what);
}

/// The value of a metadata key; empty if there is none. Keys and values are length-prefixed.
std::string_view metadata_value(const char* metadata, std::string_view key) {
  if (metadata == nullptr) return {};
  const auto read = [&metadata] {
    int32_t value = 0;
    std::memcpy(&value, metadata, sizeof(value));
    metadata += sizeof(value);
    return value;
  };
  const auto read_text = [&] {
    const int32_t size = read();
    const std::string_view text(metadata, size > 0 ? static_cast<size_t>(size) : 0);
    metadata += text.size();
    return text;
  };
  for (int32_t pairs = read(); pairs > 0; --pairs) {
    const std::string_view found = read_text();
    const std::string_view value = read_text();
    if (found == key) return value;
  }
  return {};
}

/// Reads "12,3" into at most three numbers; the count, or 0 if the text is anything else.
size_t read_numbers(std::string_view text, std::array<int32_t, 3>& numbers) {
  size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (count < numbers.size()) {
    const auto [next, error] = std::from_chars(at, end, numbers[count]);
    if (error != std::errc{}) return 0;
    ++count;
    if (next == end) return count;
    if (*next != ',') return 0;
    at = next + 1;
  }
  return 0;
}

class SchemaReader {
 public:
  explicit SchemaReader(const ArrowImport& options) : options_(options) {}

  Result<Field> read(const ArrowSchema* schema, const std::string& parent, int depth) const {
    if (schema == nullptr || schema->format == nullptr) {
      return malformed_schema(parent, "a child has no format");
    }
    Field field;
    field.name = schema->name != nullptr ? schema->name : "";
    const std::string path = parent + (parent.empty() ? "column " : ".") + "\"" + field.name + "\"";
    if (depth > kDepthMax) return malformed_schema(path, "nests deeper than 32 levels");
    if (std::string_view(schema->format) == "+r") {
      return read_runs(schema, path, std::move(field), depth);
    }
    if (auto status = read_format(schema->format, path, field); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    if (schema->dictionary != nullptr)
      return read_dictionary(schema, path, std::move(field), depth);
    if (auto status = read_children(schema, path, field, depth); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    apply_extension(schema->metadata, field);
    return field;
  }

  Status read_children(const ArrowSchema* schema, const std::string& path, Field& field,
                       int depth) const {
    const int64_t count = schema->n_children;
    if (count < 0 || count > kChildrenMax || (count > 0 && schema->children == nullptr)) {
      return malformed_schema(path, "has " + std::to_string(count) + " children (at most " +
                                        std::to_string(kChildrenMax) + ")");
    }
    for (int64_t i = 0; i < count; ++i) {
      auto child = read(schema->children[i], path, depth + 1);
      if (!child) return pgproto::fail(std::move(child.error()));
      field.children.push_back(std::move(*child));
    }
    return check_children(path, field);
  }

 private:
  Result<Field> read_dictionary(const ArrowSchema* schema, const std::string& path, Field index,
                                int depth) const {
    if (index.kind < ColumnKind::kInt8 || index.kind > ColumnKind::kUint64) {
      return malformed_schema(path, "a dictionary's index must be an integer");
    }
    auto values = read(schema->dictionary, path, depth + 1);
    if (!values) return values;
    if (values->kind == ColumnKind::kDictionary) {
      return malformed_schema(path, "a dictionary of dictionaries");
    }
    Field field;
    field.name = std::move(index.name);
    field.kind = ColumnKind::kDictionary;
    field.index_kind = index.kind;
    apply_extension(schema->metadata, *values);
    field.children.push_back(std::move(*values));
    return field;
  }

  /// Runs of equal values become a dictionary, whose indexes are made of the runs' ends.
  Result<Field> read_runs(const ArrowSchema* schema, const std::string& path, Field field,
                          int depth) const {
    field.kind = ColumnKind::kStruct;  // As far as its children go.
    if (auto status = read_children(schema, path, field, depth); !status) {
      return pgproto::fail(std::move(status.error()));
    }
    if (field.children.size() != 2) {
      return malformed_schema(
          path, "run-end encoding has two children, not " + std::to_string(field.children.size()));
    }
    const ColumnKind ends = field.children[0].kind;
    if (ends != ColumnKind::kInt16 && ends != ColumnKind::kInt32 && ends != ColumnKind::kInt64) {
      return malformed_schema(path, "the ends of runs must be int16, int32 or int64");
    }
    field.kind = ColumnKind::kDictionary;
    field.index_kind = ColumnKind::kInt32;
    field.width = ends == ColumnKind::kInt16 ? 2 : ends == ColumnKind::kInt32 ? 4 : 8;
    field.children.erase(field.children.begin());
    if (field.children[0].kind == ColumnKind::kDictionary) {
      return malformed_schema(path, "runs of a dictionary or of runs are not taken");
    }
    return field;
  }

  Status read_format(std::string_view format, const std::string& path, Field& field) const {
    for (const Format& known : kFormats) {
      if (format != known.text) continue;
      field.kind = known.kind;
      field.unit = known.unit;
      field.width = known.width;
      const bool date = known.kind == ColumnKind::kDate32 || known.kind == ColumnKind::kDate64;
      field.infinities = date && options_.infinities;
      return {};
    }
    for (const Format& known : kTimestamps) {
      if (!format.starts_with(known.text)) continue;
      field.kind = known.kind;
      field.unit = known.unit;
      field.utc = format.size() > known.text.size();  // a zone: the numbers are instants
      field.infinities = options_.infinities;
      return {};
    }
    return read_sized_format(format, path, field);
  }

  static Status read_sized_format(std::string_view format, const std::string& path, Field& field) {
    std::array<int32_t, 3> numbers{};
    if (format.starts_with("d:")) {
      const size_t count = read_numbers(format.substr(2), numbers);
      const int32_t bits = count == 3 ? numbers[2] : 128;
      field.precision = numbers[0];
      field.scale = numbers[1];
      field.kind = bits == 32    ? ColumnKind::kDecimal32
                   : bits == 64  ? ColumnKind::kDecimal64
                   : bits == 128 ? ColumnKind::kDecimal128
                                 : ColumnKind::kDecimal256;
      constexpr int32_t kScaleMax = 1000;
      const bool known_bits = bits == 32 || bits == 64 || bits == 128 || bits == 256;
      if (count >= 2 && known_bits && field.scale <= kScaleMax && field.scale >= -kScaleMax) {
        return {};
      }
      return malformed_schema(path, "decimal format \"" + std::string(format) + "\"");
    }
    const bool bytes = format.starts_with("w:");
    if (bytes || format.starts_with("+w:")) {
      field.kind = bytes ? ColumnKind::kFixedBinary : ColumnKind::kFixedList;
      if (read_numbers(format.substr(bytes ? 2 : 3), numbers) != 1 || numbers[0] < 0) {
        return malformed_schema(path, "format \"" + std::string(format) + "\"");
      }
      field.width = numbers[0];
      return {};
    }
    return unsupported(format, path);
  }

  static std::unexpected<Error> unsupported(std::string_view format, const std::string& path) {
    std::string what = "format \"" + std::string(format) + "\"";
    if (format.starts_with("+us:")) what = "a sparse union";
    if (format.starts_with("+ud:")) what = "a dense union";
    return pgproto::fail(Errc::kColumnType,
                         "Arrow schema, " + path + ": " + what +
                             " is not taken; let the producer decode or cast it");
  }

  static Status check_children(const std::string& path, const Field& field) {
    size_t wanted = 0;
    switch (field.kind) {
      case ColumnKind::kStruct:
        return {};
      case ColumnKind::kList32:
      case ColumnKind::kList64:
      case ColumnKind::kFixedList:
      case ColumnKind::kMap:
        wanted = 1;
        break;
      default:
        break;
    }
    if (field.children.size() != wanted) {
      return malformed_schema(path, "has " + std::to_string(field.children.size()) +
                                        " children where its format has " + std::to_string(wanted));
    }
    if (field.kind == ColumnKind::kMap &&
        (field.children[0].kind != ColumnKind::kStruct || field.children[0].children.size() != 2)) {
      return malformed_schema(path, "a map's entries must be a struct of key and value");
    }
    return {};
  }

  static void apply_extension(const char* metadata, Field& field) {
    const std::string_view name = metadata_value(metadata, "ARROW:extension:name");
    if (name.empty()) return;
    const bool sixteen = field.kind == ColumnKind::kFixedBinary && field.width == 16;
    const bool text = field.kind == ColumnKind::kText32 || field.kind == ColumnKind::kText64 ||
                      field.kind == ColumnKind::kTextView;
    if (name == "arrow.uuid" && sixteen) field.kind = ColumnKind::kUuid;
    if ((name == "arrow.json" || name == "duckdb.json") && text) field.json = true;
    if (name == "arrow.bool8" && field.kind == ColumnKind::kInt8) {
      field.kind = ColumnKind::kBoolBytes;
    }
    if (name == "arrow.opaque" && sixteen) {
      const std::string_view about = metadata_value(metadata, "ARROW:extension:metadata");
      if (about.find("\"hugeint\"") != std::string_view::npos) {
        field.kind = ColumnKind::kDecimal128;  // the same bytes
        field.precision = 39;
      }
    }
  }

  ArrowImport options_;
};

}  // namespace

Result<std::shared_ptr<const Schema>> import_arrow_schema(ArrowSchema* schema,
                                                          const ArrowImport& options) {
  if (schema == nullptr || schema->release == nullptr) {
    return pgproto::fail(Errc::kUsage, "the Arrow schema has been released already");
  }
  const auto release = [](ArrowSchema* s) { s->release(s); };
  const std::unique_ptr<ArrowSchema, decltype(release)> owner(schema, release);
  if (schema->format == nullptr || std::string_view(schema->format) != "+s") {
    return pgproto::fail(Errc::kMalformedBatch,
                         "Arrow schema: a record batch is a struct, format \"+s\", not \"" +
                             std::string(schema->format != nullptr ? schema->format : "") + "\"");
  }
  Field root;
  root.kind = ColumnKind::kStruct;
  const SchemaReader reader(options);
  if (auto status = reader.read_children(schema, "", root, 0); !status) {
    return pgproto::fail(std::move(status.error()));
  }
  return std::make_shared<const Schema>(std::move(root.children));
}

}  // namespace pgsink
