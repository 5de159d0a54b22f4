#include "shell/sources/stdin_source.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <unistd.h>

#include <pgproto/utf8.h>

#include "pgsink/options/names.h"
#include "shell/sources/record_reader.h"
#include "shell/text/text_file.h"

namespace pgsink::shell {
namespace {

using pgproto::fail;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{64} << 10;
/// The rows in which columns and types are sought, and how long the second and later ones may take.
constexpr size_t kSampleRowsMax = 1000;
constexpr milliseconds kSampleWait{200};
/// How often a wait asks whether to stop.
constexpr milliseconds kTick{50};

/// A raw column beside the data: why the record is malformed; NULL if it is not.
constexpr const char* kFault = "pgsink fault";

/// Texts of one micro-batch, column by column; NULL where there is none.
struct Texts {
  std::vector<std::vector<std::optional<std::string>>> columns;
};

using ColumnTypes = std::vector<std::pair<std::string, std::string>>;

std::string pointer_to(std::string_view key) {
  std::string pointer = "/";
  for (const char c : key) {
    if (c == '~') pointer += "~0";
    if (c == '/') pointer += "~1";
    if (c != '~' && c != '/') pointer += c;
  }
  return engine_literal(pointer);
}

/// Whether a value of the type is made of its JSON text rather than of what stands in quotes there.
bool is_nested(std::string_view type) {
  return type.find('(') != std::string_view::npos
             ? !type.starts_with("DECIMAL") && !type.starts_with("NUMERIC") &&
                   !type.starts_with("VARCHAR")
             : type.ends_with(']') || equal_without_case(type, "JSON");
}

class StdinSource final : public UnboundedSource {
 public:
  StdinSource(StdinOptions options, int file, Engine& engine)
      : options_(std::move(options)),
        file_(file),
        engine_(engine),
        reader_(options_.csv ? RecordReader::Kind::kCsv : RecordReader::Kind::kLines) {}

  Limits limits() const override { return options_.limits; }
  bool open_waits() const override { return options_.columns.empty(); }

  Result<SourceShape> open(const std::function<bool()>& stop) override {
    if (options_.csv && options_.header) {
      if (auto read = read_header(stop); !read) return fail(read.error());
    }
    if (options_.columns.empty()) {
      if (auto found = infer(stop); !found) return fail(found.error());
    }
    if (!options_.csv) return json_shape();
    if (auto named = name_fields(); !named) return fail(named.error());
    return csv_shape();
  }

  Result<Rows> next(size_t rows_max, TimePoint deadline) override {
    if (kept_.empty() && !finishing_) {
      auto read = fill(rows_max, deadline);
      if (!read) return fail(read.error());
    } else if (auto taken = reader_.take(rows_max, kept_); !taken) {
      return fail(taken.error());
    }
    Rows rows;
    const size_t count = std::min(kept_.size(), rows_max);
    places_.clear();
    auto texts = std::make_shared<Texts>();
    texts->columns.resize(1 + (options_.csv ? fields_.size() : 1));
    for (size_t i = 0; i < count; ++i) {
      places_.push_back(kept_[i].line);
      append(kept_[i].text, *texts);
    }
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(count));
    rows.end = kept_.empty() && (reader_.finished() || (finishing_ && count == 0));
    rows.batch = to_batch(texts, count);
    if (!places_.empty()) position_ = places_.back();
    rows.batch.position = position_;
    return rows;
  }

  void finish() override { finishing_ = true; }
  std::string place(size_t row) const override { return "line " + std::to_string(places_[row]); }
  Status committed(uint64_t) override { return {}; }  // A pipe does not give its lines back.

 private:
  /// Waits for bytes until the deadline; false if none came.
  Result<bool> read_some(TimePoint deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd wait{.fd = file_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready == 0 || (ready < 0 && errno == EINTR)) return false;
    std::string bytes(kReadBytes, '\0');
    const ssize_t count = ready < 0 ? -1 : ::read(file_, bytes.data(), bytes.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return false;
    if (count < 0) {
      return fail(Errc::kFile, std::string("cannot read standard input: ") + std::strerror(errno));
    }
    if (count == 0) {
      reader_.end();
    } else {
      reader_.push(std::string_view(bytes).substr(0, static_cast<size_t>(count)));
    }
    return true;
  }

  /// Takes what is there; waits for a first record until the deadline.
  Status fill(size_t rows_max, TimePoint deadline) {
    for (;;) {
      if (auto taken = reader_.take(rows_max, kept_); !taken) return taken;
      if (reader_.finished() || kept_.size() >= rows_max) return {};
      const auto read = read_some(kept_.empty() ? deadline : TimePoint());
      if (!read) return fail(read.error());
      if (!*read && (!kept_.empty() || steady_clock::now() >= deadline)) return {};
    }
  }

  /// Waits for at least one record, and then a little for more.
  Status wait_for_records(size_t rows_max, const std::function<bool()>& stop) {
    while (kept_.empty() && !reader_.finished()) {
      if (stop()) return fail(Errc::kInterrupted, "interrupted before the first line came");
      if (auto filled = fill(1, steady_clock::now() + kTick); !filled) return filled;
    }
    const TimePoint deadline = steady_clock::now() + kSampleWait;
    while (kept_.size() < rows_max && !reader_.finished() && steady_clock::now() < deadline) {
      const auto read = read_some(deadline);
      if (!read) return fail(read.error());
      if (auto taken = reader_.take(rows_max, kept_); !taken) return taken;
    }
    return {};
  }

  Status read_header(const std::function<bool()>& stop) {
    if (auto come = wait_for_records(1, stop); !come) return come;
    if (kept_.empty()) return fail(Errc::kUsage, "standard input ended before a header line came");
    std::string text = std::move(kept_.front().text);
    kept_.erase(kept_.begin());
    if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    const auto fields = split_csv(text, options_.delimiter);
    if (!fields) return fail(Errc::kUsage, "the header line: " + fields.error().message);
    for (const CsvField& field : *fields) fields_.push_back(field.text);
    return {};
  }

  /// Finds the columns as the engine finds them in a file with the same first lines.
  Status infer(const std::function<bool()>& stop) {
    if (auto come = wait_for_records(kSampleRowsMax, stop); !come) return come;
    if (kept_.empty()) {
      return fail(Errc::kUsage, "standard input is empty: give columns, and it may be");
    }
    std::string sample;
    for (const std::string& field : fields_) {
      sample += (sample.empty() ? "" : std::string(1, options_.delimiter)) + quoted(field);
    }
    if (!sample.empty()) sample += '\n';
    for (const TextRecord& record : kept_) sample.append(record.text).append(1, '\n');
    std::string name = (std::filesystem::temp_directory_path() / "pgsink-sample.XXXXXX").string();
    const int file = mkstemp(name.data());
    if (file < 0) return fail(Errc::kFile, "cannot make " + name + ": " + std::strerror(errno));
    ::close(file);
    Status done = write_text_file(name, sample);
    if (done) done = describe(name);
    std::error_code ignored;
    std::filesystem::remove(name, ignored);
    return done;
  }

  Status describe(const std::string& file) {
    const std::string read =
        options_.csv
            ? "read_csv(" + engine_literal(file) +
                  ", header = true, delim = " + engine_literal(std::string(1, options_.delimiter)) +
                  ", quote = '\"', escape = '\"', sample_size = -1, ignore_errors = true)"
            : "read_json(" + engine_literal(file) +
                  ", format = 'newline_delimited', maximum_depth = 2, sample_size = -1, "
                  "ignore_errors = true)";
    auto query = engine_.prepare("SELECT * FROM " + read);
    if (!query) {
      return fail(Errc::kUsage, "no columns are found in the first " +
                                    std::to_string(kept_.size()) +
                                    " lines; give columns: " + query.error().error.message);
    }
    auto described = engine_.prepare("DESCRIBE SELECT * FROM " + read);
    if (!described || !described->start()) {
      return fail(Errc::kInternal, "the SQL engine does not describe the first lines");
    }
    while (true) {
      const auto chunk = described->next();
      if (!chunk) return fail(chunk.error().error);
      if (!chunk->filled()) return {};
      const auto text = [&](idx_t column, idx_t row) {
        auto* texts = static_cast<duckdb_string_t*>(
            duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk->get(), column)));
        return std::string(duckdb_string_t_data(&texts[row]), duckdb_string_t_length(texts[row]));
      };
      for (idx_t row = 0; row < duckdb_data_chunk_get_size(chunk->get()); ++row) {
        const std::string type = text(1, row);
        // Later objects may have other members than the first: JSON takes them all.
        options_.columns.emplace_back(text(0, row), is_nested(type) ? "JSON" : type);
      }
    }
  }

  SourceShape json_shape() const {
    SourceShape shape;
    shape.raw = {kFault, "line"};
    shape.condition = std::string("CASE WHEN \"") + kFault + "\" IS NOT NULL THEN error(\"" +
                      kFault +
                      "\") WHEN json_type(line) <> 'OBJECT' THEN error('it is no JSON object') "
                      "ELSE true END";
    for (const auto& [name, type] : options_.columns) {
      const std::string pointer = pointer_to(name);
      std::string expression = is_nested(type) ? "json_extract" : "json_extract_string";
      expression.append("(line, ").append(pointer).append(")");
      if (is_nested(type)) {
        expression.insert(0, "CAST(").append(" AS ").append(type).append(")");
      } else {
        expression = typed_text(expression, type);
      }
      shape.columns.push_back({name, std::move(expression)});
    }
    return shape;
  }

  /// Without a header the columns that were given name the fields.
  Status name_fields() {
    if (!options_.header) {
      for (const auto& [name, type] : options_.columns) fields_.push_back(name);
    }
    std::string missing;
    for (const auto& [name, type] : options_.columns) {
      if (std::ranges::find(fields_, name) == fields_.end()) missing += " '" + name + "'";
    }
    if (missing.empty()) return {};
    return fail(Errc::kNoSuchColumn, "the header line has no field" + missing);
  }

  SourceShape csv_shape() const {
    SourceShape shape;
    shape.raw = {kFault};
    shape.condition = std::string("CASE WHEN \"") + kFault + "\" IS NOT NULL THEN error(\"" +
                      kFault + "\") ELSE true END";
    for (size_t i = 0; i < fields_.size(); ++i) shape.raw.push_back("field " + std::to_string(i));
    for (const auto& [name, type] : options_.columns) {
      const auto field = std::ranges::find(fields_, name) - fields_.begin();
      shape.columns.push_back({name, typed_text("\"field " + std::to_string(field) + "\"", type)});
    }
    return shape;
  }

  static std::string quoted(const std::string& field) {
    std::string text = "\"";
    for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
    return text + "\"";
  }

  /// Appends one record to the columns of a micro-batch.
  void append(std::string& text, Texts& texts) const {
    std::optional<std::string> fault;
    std::vector<CsvField> fields;
    if (!pgproto::utf8_is_text(text)) {
      fault = "it is not valid UTF-8, or holds a NUL";
    } else if (options_.csv) {
      auto split = split_csv(text, options_.delimiter);
      if (split) {
        fields = std::move(*split);
        if (fields.size() != fields_.size()) {
          fault = "it has " + std::to_string(fields.size()) + " fields, not " +
                  std::to_string(fields_.size());
        }
      } else {
        fault = split.error().message;
      }
    }
    if (fault) {
      for (size_t i = 1; i < texts.columns.size(); ++i) texts.columns[i].emplace_back();
    } else if (options_.csv) {
      for (size_t i = 0; i < fields.size(); ++i) {
        std::optional<std::string> value;
        if (!fields[i].is_null) value = std::move(fields[i].text);
        texts.columns[i + 1].push_back(std::move(value));
      }
    } else {
      texts.columns[1].emplace_back(std::move(text));
    }
    texts.columns[0].push_back(std::move(fault));
  }

  static RecordBatch to_batch(const std::shared_ptr<Texts>& texts, size_t count) {
    auto schema = std::make_shared<Schema>();
    std::vector<ColumnView> columns;
    for (const auto& values : texts->columns) {
      using Value = std::optional<std::string>;
      Field field;
      field.kind = ColumnKind::kStdString;
      schema->push_back(field);
      ColumnView view;
      view.kind = ColumnKind::kStdString;
      view.values = values.data();
      view.stride_bytes = sizeof(Value);
      view.validity_bytes = reinterpret_cast<const uint8_t*>(values.data()) + sizeof(std::string);
      view.validity_stride_bytes = sizeof(Value);
      columns.push_back(view);
    }
    return {std::move(schema), std::move(columns), count, 0, [texts] {}};
  }

  StdinOptions options_;
  const int file_;
  Engine& engine_;
  RecordReader reader_;
  std::vector<std::string> fields_;  ///< CSV: the names of a record's fields.
  std::vector<TextRecord> kept_;     ///< Read, and not yet given away.
  std::vector<uint64_t> places_;     ///< Lines of the last batch.
  uint64_t position_ = 0;
  bool finishing_ = false;
};

}  // namespace

std::unique_ptr<UnboundedSource> make_stdin_source(StdinOptions options, int file, Engine& engine) {
  return std::make_unique<StdinSource>(std::move(options), file, engine);
}

}  // namespace pgsink::shell
