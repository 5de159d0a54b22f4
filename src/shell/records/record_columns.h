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
  bool declared = false;  ///< Its type was given. Otherwise its use and samples decide.
  ExactType type;         ///< What queries see. VARCHAR is the text itself.
  std::string sql_type;   ///< The same as SQL.
  /// Its values are JSON values as they are written, for the target to read.
  bool json_value = false;
  /// It also goes to a target, so that a value must be printed as it was written.
  bool keeps_text = false;
  /// No type fits its samples, though queries need one.
  bool stays_text = false;
  /// What is written goes to a target beside the column.
  bool hidden = false;
  size_t hidden_at = 0;  ///< Where in the values of a record.
  size_t field = 0;      ///< CSV: which field of a record it is.
  ColumnSamples samples;
};

/// What a record holds: a value for each column, then one for each that is hidden beside a column,
/// in the order of columns. Nullopt is NULL.
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
  /// How many values a record holds.
  size_t values() const { return columns_.size() + hidden_; }
  /// Whether what is written of a value that no query computes with is a JSON value.
  virtual bool writes_json() const = 0;

  /// Looks at one of the first records. The error says why it is malformed.
  virtual std::expected<void, std::string> sample(std::string_view record) = 0;
  /// The samples are all that will come, if `complete`. What queries do with the open columns, in
  /// their order, decides their types; all of it, at first.
  void set_uses(std::span<const ColumnUse> uses, bool complete);
  /// What a record holds. The error says why it is malformed.
  virtual std::expected<RecordValues, std::string> read(std::string_view record) = 0;

  /// A sentence for an error that queries may have because an open column is text; "" if none is.
  std::string texts_note() const;

 protected:
  std::vector<RecordColumn> columns_;

 private:
  size_t hidden_ = 0;
};

/// JSON objects, one a record.
class JsonColumns final : public RecordColumns {
 public:
  /// What to do with a member that none of the open columns has: it is left out.
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

  /// The fields of a record by name: the header's, or without one the declared columns'. The error
  /// says what is wrong with them.
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
