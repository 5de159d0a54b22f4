#pragma once
// OptionBinder: reads the options of a CREATE CONNECTION … TO a source of the command, and collects
// all faults, each with its position.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>

#include "shell/engine/engine.h"
#include "shell/records/record_columns.h"

namespace pgsink::shell {

class OptionBinder {
 public:
  /// Why a value is refused; "" if it is accepted.
  using Refusal = std::string;
  using Store = std::function<Refusal(std::string_view key, const OptionValue& value)>;

  /// `system` is the word after TO, `keys` are its options. All outlive this.
  OptionBinder(const CreateConnection& statement, const Substitution& substitution, Engine& engine,
               std::string_view system, std::vector<std::string_view> keys)
      : statement_(statement),
        substitution_(substitution),
        engine_(engine),
        system_(system),
        keys_(std::move(keys)) {}

  /// Fills variables in, and gives each option to `store`.
  void bind(const Store& store);
  /// The columns that the option `columns` declares, which bind() has met.
  std::vector<RecordColumn> take_columns() { return std::move(columns_); }

  /// Null if the statement does not have it.
  const RawOption* given(std::string_view key) const;
  void refuse(const RawOption& raw, Errc code, std::string message);
  /// A fault of the statement as a whole.
  void refuse(Errc code, std::string message);
  bool clean() const { return faults_.empty(); }
  std::vector<Diagnostic> take_faults() { return std::move(faults_); }

  /// Reads a whole number within limits.
  static Refusal read_number(const OptionValue& value, int64_t min, int64_t max, int64_t& number);
  /// Reads true or false.
  static Refusal read_flag(const OptionValue& value, bool& flag);

 private:
  void add(Errc code, std::string message, SourcePosition begin, size_t length);
  bool fill(const RawOption& raw, std::string& text);
  void bind_option(const RawOption& raw, const Store& store);
  void bind_columns(const RawOption& raw);

  const CreateConnection& statement_;
  const Substitution& substitution_;
  Engine& engine_;
  const std::string_view system_;
  const std::vector<std::string_view> keys_;
  std::vector<RecordColumn> columns_;
  std::vector<Diagnostic> faults_;
};

}  // namespace pgsink::shell
