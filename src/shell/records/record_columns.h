#pragma once
// RecordColumns: the columns of a source of text records, and how a record becomes their values.

#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shell/records/column_samples.h"
#include "shell/records/exact_type.h"
#include "shell/records/json_reader.h"
#include "shell/records/record_reader.h"

namespace pgsink::shell {

/// RecordColumn is one column.
struct RecordColumn {
  std::string name;
  bool declared = false;  ///< Its type was given. Otherwise uses and samples decide.
  ExactType type;         ///< The type in queries. VARCHAR is the text itself.
  std::string sql_type;   ///< The same as SQL.
  /// Its values are JSON values as they are written, which the target reads.
  bool json_value = false;
  /// It also goes to a target, so that a value must be printed as it was written.
  bool keeps_text = false;
  /// No type fits its samples, though queries need one.
  bool stays_text = false;
  /// Its original text goes to a target through a hidden column.
  bool hidden = false;
  size_t hidden_at = 0;  ///< The index in the values of a record.
  size_t field = 0;      ///< CSV: the index of its field in a record.
  ColumnSamples samples;
};

/// The values of a record: one for each column, then one for each hidden column, in the order of
/// columns. nullopt is NULL.
using RecordValues = std::vector<std::optional<std::string>>;

class RecordColumns {
 public:
  RecordColumns() = default;
  virtual ~RecordColumns() = default;
  RecordColumns(const RecordColumns&) = delete;
  RecordColumns& operator=(const RecordColumns&) = delete;

  std::span<const RecordColumn> columns() const { return columns_; }
  /// Whether the columns are not declared, so that samples and uses decide.
  bool open() const { return !columns_.empty() && !columns_.front().declared; }
  /// The number of values of a record.
  size_t values() const { return columns_.size() + hidden_; }
  /// Whether the original text of a value that no query computes with is a JSON value.
  virtual bool writes_json() const = 0;

  /// Samples one of the first records. The error says why it is malformed.
  virtual std::expected<void, std::string> sample(std::string_view record) = 0;
  /// Ends the sampling; no more records will come if `complete`. What queries do with the open
  /// columns decides their types; before that they are assumed to be used in every way.
  void set_uses(std::span<const ColumnUse> uses, bool complete);
  /// The values of a record. The error says why it is malformed.
  virtual std::expected<RecordValues, std::string> read(std::string_view record) = 0;

  /// A sentence for an error that queries may have because an open column is text; "" if none is.
  std::string texts_note() const;

 protected:
  std::vector<RecordColumn> columns_;

 private:
  size_t hidden_ = 0;
};

/// JSON objects, one per record.
class JsonColumns final : public RecordColumns {
 public:
  /// Is called for a member that is not among the open columns: it is left out.
  using OnUnknown = std::function<void(std::string_view key)>;

  explicit JsonColumns(std::vector<RecordColumn> declared);
  void on_unknown(OnUnknown on_unknown) { on_unknown_ = std::move(on_unknown); }

  std::expected<void, std::string> sample(std::string_view record) override;
  std::expected<RecordValues, std::string> read(std::string_view record) override;
  bool writes_json() const override { return true; }

 private:
  std::expected<std::optional<std::string>, std::string> convert(const RecordColumn& column,
                                                                 const JsonValue& value);

  std::map<std::string, size_t, std::less<>> by_key_;
  JsonReader reader_, nested_;
  OnUnknown on_unknown_;
};

/// Records of CSV.
class CsvColumns final : public RecordColumns {
 public:
  CsvColumns(CsvDialect dialect, std::vector<RecordColumn> declared)
      : dialect_(std::move(dialect)) {
    columns_ = std::move(declared);
  }

  /// The fields of a record by name: those of the header, or without one the declared columns. The
  /// error says what is wrong with them.
  std::expected<void, std::string> set_header(std::string_view record);
  void set_fields_in_order();
  size_t width() const { return width_; }

  std::expected<void, std::string> sample(std::string_view record) override;
  std::expected<RecordValues, std::string> read(std::string_view record) override;
  bool writes_json() const override { return false; }

 private:
  std::expected<std::vector<CsvField>, std::string> split(std::string_view record) const;
  std::expected<void, std::string> match_declared(const std::vector<std::string>& names);

  const CsvDialect dialect_;
  size_t width_ = 0;
  JsonReader nested_;
};

}  // namespace pgsink::shell
