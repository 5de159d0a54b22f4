#include "shell/sources/stdin_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <poll.h>
#include <set>
#include <unistd.h>

#include "pgsink/options/names.h"
#include "shell/sources/column_uses.h"
#include "shell/sources/text_batch.h"

namespace pgsink::shell {
namespace {

using pgproto::fail;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{64} << 10;
/// The number of rows in which columns and types are sought, and how long to wait for the second
/// and later ones.
constexpr size_t kSampleRowsMax = 1000;
constexpr milliseconds kSampleWait{200};
/// How often a wait checks whether to stop.
constexpr milliseconds kTick{50};
/// The maximum of unknown members that are reported by name.
constexpr size_t kUnknownNamedMax = 10;

class StdinSource final : public UnboundedSource {
 public:
  StdinSource(StdinOptions options, int file, Reporter& reporter)
      : limits_(options.limits),
        waits_(options.columns.empty()),
        file_(file),
        header_pending_(options.csv && options.header) {
    if (options.csv) {
      auto columns = std::make_unique<CsvColumns>(options.dialect, std::move(options.columns));
      auto reader = std::make_unique<CsvReader>(std::move(options.dialect));
      csv_ = columns.get();
      csv_reader_ = reader.get();
      columns_ = std::move(columns);
      reader_ = std::move(reader);
      if (!header_pending_) use_fields_in_order();
    } else {
      auto columns = std::make_unique<JsonColumns>(std::move(options.columns));
      if (waits_) warn_of_unknown_members(*columns, reporter);
      columns_ = std::move(columns);
      reader_ = std::make_unique<LineReader>();
    }
  }

  Limits limits() const override { return limits_; }
  bool is_endless() const override { return false; }
  bool open_waits() const override { return waits_; }

  Result<SourceShape> open(const std::function<bool()>& stop) override {
    if (waits_) {
      if (auto found = look_at_samples(stop); !found) return fail(found.error());
    }
    const ColumnUse anything{.passed = true, .text = true, .number = true, .other = true};
    return shape_for(std::vector<ColumnUse>(columns_->columns().size(), anything));
  }

  std::vector<std::string> open_columns() const override {
    std::vector<std::string> names;
    if (!columns_->open()) return names;
    for (const RecordColumn& column : columns_->columns()) names.push_back(column.name);
    return names;
  }

  SourceShape shape_for(std::span<const ColumnUse> uses) override {
    columns_->set_uses(uses, sampled_all_);
    SourceShape shape;
    const auto columns = columns_->columns();
    for (size_t i = 0; i < columns.size(); ++i) {
      const RecordColumn& column = columns[i];
      const std::string raw = "value " + std::to_string(i);
      const bool text = column.type.kind == ExactType::Kind::kText;
      shape.raw.push_back({raw, column.json_value});
      shape.columns.push_back(
          {column.name, text ? engine_identifier(raw)
                             : "CAST(" + engine_identifier(raw) + " AS " + column.sql_type + ")"});
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].hidden) continue;
      const std::string raw = hidden_column(i);
      shape.raw.push_back({raw, columns_->writes_json()});
      shape.columns.push_back({raw, engine_identifier(raw)});
    }
    return shape;
  }

  std::string type_note() const override { return columns_->texts_note(); }

  Result<Rows> next(size_t rows_max, TimePoint deadline) override {
    if (header_pending_) {
      if (auto read = read_header(deadline); !read) return fail(read.error());
    }
    if (auto filled = fill_or_drain(rows_max, deadline); !filled) return fail(filled.error());
    Rows rows;
    const size_t count = std::min(kept_.size(), rows_max);
    records_.clear();
    auto texts = std::make_shared<TextColumns>(columns_->values());
    for (size_t i = 0; i < count; ++i) {
      position_ = kept_[i].line;
      if (auto fault = append(kept_[i].text, *texts)) {
        rows.rejected.push_back(rejected_input(kept_[i], *fault));
      } else {
        records_.push_back(std::move(kept_[i]));
      }
    }
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(count));
    rows.end = kept_.empty() && reader_->finished();
    rows.batch = text_batch(texts, records_.size());
    rows.batch.position = position_;
    return rows;
  }

  void finish() override {
    finishing_ = true;
    reader_->end_with_whole_lines();
  }
  std::string place(size_t row) const override {
    return "line " + std::to_string(records_[row].line);
  }
  RejectedInput input(size_t row) const override { return rejected_input(records_[row], ""); }
  Status committed(uint64_t) override { return {}; }  // A pipe cannot return its lines.

 private:
  /// Without a header the given columns name the fields.
  void use_fields_in_order() {
    csv_->set_fields_in_order();
    csv_reader_->set_width(csv_->width());
  }

  static void warn_of_unknown_members(JsonColumns& columns, Reporter& reporter) {
    columns.on_unknown(
        [&reporter, named = std::set<std::string, std::less<>>()](std::string_view key) mutable {
          if (named.size() >= kUnknownNamedMax || !named.emplace(key).second) return;
          reporter.warning(
              "standard input: the member '" + std::string(key) +
              "' was in none of the first lines and is left out; give columns to include it");
        });
  }

  static RejectedInput rejected_input(const TextRecord& record, const std::string& why) {
    RejectedInput input;
    input.number = record.line;
    input.text = record.text;
    input.error.code = Errc::kRowRejected;
    input.error.sqlstate = pgproto::Sqlstate("22P02");
    input.error.message = "line " + std::to_string(record.line) + ": " + why;
    return input;
  }

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
      reader_->end();
    } else {
      reader_->push(std::string_view(bytes).substr(0, static_cast<size_t>(count)));
    }
    return true;
  }

  /// Takes the available bytes; waits for a first record until the deadline.
  Status fill(size_t rows_max, TimePoint deadline) {
    for (;;) {
      if (auto taken = reader_->take(rows_max, kept_); !taken) return taken;
      if (reader_->finished() || kept_.size() >= rows_max) return {};
      const auto read = read_some(kept_.empty() ? deadline : TimePoint());
      if (!read) return fail(read.error());
      if (!*read && (!kept_.empty() || steady_clock::now() >= deadline)) return {};
    }
  }

  /// Waits for at least one record, and then briefly for more.
  Status wait_for_records(size_t rows_max, const std::function<bool()>& stop) {
    while (kept_.empty() && !reader_->finished()) {
      if (stop()) return fail(Errc::kInterrupted, "interrupted before the first line came");
      if (auto filled = fill(1, steady_clock::now() + kTick); !filled) return filled;
    }
    const TimePoint deadline = steady_clock::now() + kSampleWait;
    while (kept_.size() < rows_max && !reader_->finished()) {
      if (auto taken = reader_->take(rows_max, kept_); !taken) return taken;
      if (kept_.size() >= rows_max || steady_clock::now() >= deadline) break;
      const auto read = read_some(deadline);
      if (!read) return fail(read.error());
    }
    return reader_->take(rows_max, kept_);
  }

  Status fill_or_drain(size_t rows_max, TimePoint deadline) {
    return kept_.empty() && !finishing_ ? fill(rows_max, deadline) : reader_->take(rows_max, kept_);
  }

  /// Reads the header, if it comes before the deadline.
  Status read_header(TimePoint deadline) {
    if (auto filled = fill_or_drain(1, deadline); !filled) return filled;
    if (kept_.empty()) return {};
    header_pending_ = false;
    const auto read = csv_->set_header(kept_.front().text);
    if (!read) {
      return fail(Errc::kNoSuchColumn,
                  "the header, line " + std::to_string(kept_.front().line) + ": " + read.error());
    }
    kept_.erase(kept_.begin());
    csv_reader_->set_width(csv_->width());
    return {};
  }

  /// Finds the columns of the records, and samples of their values.
  Status look_at_samples(const std::function<bool()>& stop) {
    if (header_pending_) {
      if (auto come = wait_for_records(1, stop); !come) return come;
      if (auto read = read_header(TimePoint()); !read || header_pending_) return read;
    }
    if (auto come = wait_for_records(kSampleRowsMax, stop); !come) return come;
    std::string fault;
    for (const TextRecord& record : kept_) {
      const auto looked = columns_->sample(record.text);
      if (looked || !fault.empty()) continue;
      fault = "line " + std::to_string(record.line) + ": " + looked.error();
    }
    sampled_all_ = reader_->finished();
    if (columns_->columns().empty() && !kept_.empty()) {
      return fail(Errc::kMalformedBatch, "none of the first " + std::to_string(kept_.size()) +
                                             " lines has a column; " + fault);
    }
    return check_names();
  }

  Status check_names() const {
    const auto columns = columns_->columns();
    for (size_t i = 0; i < columns.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (!equal_without_case(columns[i].name, columns[j].name)) continue;
        return fail(Errc::kColumnAmbiguous, "queries cannot tell the members '" + columns[j].name +
                                                "' and '" + columns[i].name +
                                                "' from each other: give columns with one of them");
      }
    }
    return {};
  }

  /// Appends one record to the columns of a micro-batch, or returns why it is malformed.
  std::optional<std::string> append(std::string_view record, TextColumns& texts) {
    auto values = columns_->read(record);
    if (!values) return std::move(values.error());
    for (size_t i = 0; i < texts.size(); ++i) texts[i].push_back(std::move((*values)[i]));
    return std::nullopt;
  }

  const Limits limits_;
  const bool waits_;
  const int file_;
  std::unique_ptr<RecordColumns> columns_;
  std::unique_ptr<RecordReader> reader_;
  CsvColumns* csv_ = nullptr;        ///< The same columns if it is CSV, else null.
  CsvReader* csv_reader_ = nullptr;  ///< The same reader if it is CSV, else null.
  std::vector<TextRecord> kept_;     ///< Read, and not returned yet.
  std::vector<TextRecord> records_;  ///< Records of the last batch.
  uint64_t position_ = 0;
  bool header_pending_;
  bool sampled_all_ = false;
  bool finishing_ = false;
};

}  // namespace

std::unique_ptr<UnboundedSource> make_stdin_source(StdinOptions options, int file,
                                                   Reporter& reporter) {
  return std::make_unique<StdinSource>(std::move(options), file, reporter);
}

}  // namespace pgsink::shell
