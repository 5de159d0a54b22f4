#include "pgsink/encode/rows/changes.h"

#include <algorithm>
#include <utility>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/rows/type_table.h"

namespace pgsink::encode {
namespace {

/// What a change does, by the words that the field uses for it; 0 if it is none.
char change_letter(std::string_view word) {
  struct Word {
    std::string_view word;
    char letter;
  };
  static constexpr std::array<Word, 12> kWords{{{"i", kInsertLetter},
                                                {"insert", kInsertLetter},
                                                {"u", 'U'},
                                                {"update", 'U'},
                                                {"d", kDeleteLetter},
                                                {"delete", kDeleteLetter},
                                                // Debezium: create, and read by a snapshot.
                                                {"c", kInsertLetter},
                                                {"r", kInsertLetter},
                                                // Flink: -U removes the row as it was before.
                                                {"+i", kInsertLetter},
                                                {"+u", 'U'},
                                                {"-u", kDeleteLetter},
                                                {"-d", kDeleteLetter}}};
  const auto equal_without_case = [&](const Word& known) {
    return std::ranges::equal(known.word, word, [](char a, char b) {
      return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
    });
  };
  const auto* const found = std::ranges::find_if(kWords, equal_without_case);
  return found == kWords.end() ? '\0' : found->letter;
}

class ChangeField final : public StagedBase {
 public:
  ChangeField(Field source, std::shared_ptr<Changes> changes)
      : source_(std::move(source)), changes_(std::move(changes)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    load_bytes(column, block, valid(), source_, words_.data());
    changes_->any_deletes = false;
    for (size_t i = 0; i < block.count; ++i) {
      const char letter = is_null(i) ? '\0' : change_letter(words_[i]);
      if (letter == '\0') faults.push_back({i, no_change(i)});
      const size_t begin = staging_.begin_field();
      staging_.put_bytes(&letter, 1);
      staging_.end_field(begin);
      end_row(i, row_bytes);
      changes_->deletes[i] = letter == kDeleteLetter;
      changes_->any_deletes = changes_->any_deletes || changes_->deletes[i];
    }
    return 0;
  }

 private:
  Fault no_change(size_t i) const {
    constexpr size_t kShown = 20;
    const std::string word =
        is_null(i) ? "NULL" : "\"" + std::string(words_[i].substr(0, kShown)) + "\"";
    return {sqlstate::kInvalidText, word +
                                        " is not a kind of change: use I, U, D, or insert, update, "
                                        "delete, or c, r, u, d, or +I, +U, -U, -D"};
  }

  Field source_;
  std::shared_ptr<Changes> changes_;
  std::array<std::string_view, kBlockRowsMax> words_{};
};

/// read_names reads a JSON array of strings; false if the text is none.
bool read_names(std::string_view json, std::vector<std::string>& names) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto skip_space = [&] {
    json.remove_prefix(std::min(json.find_first_not_of(kSpace), json.size()));
  };
  const auto take = [&](char wanted) {
    skip_space();
    if (!json.starts_with(wanted)) return false;
    json.remove_prefix(1);
    return true;
  };
  names.clear();
  if (!take('[')) return false;
  bool ended = take(']');
  while (!ended) {
    skip_space();
    if (!json.starts_with('"')) return false;
    size_t end = 1;
    while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
    if (end >= json.size()) return false;
    if (!append_json_content(json.substr(0, end + 1), names.emplace_back())) return false;
    json.remove_prefix(end + 1);
    ended = take(']');
    if (!ended && !take(',')) return false;
  }
  skip_space();
  return json.empty();
}

class UnchangedField final : public StagedBase {
 public:
  UnchangedField(Field source, std::vector<std::string> names, std::shared_ptr<Changes> changes)
      : source_(std::move(source)), names_(std::move(names)), changes_(std::move(changes)) {
    changes_->unchanged_bytes = (names_.size() + 7) / 8;
    changes_->unchanged.resize(kBlockRowsMax * changes_->unchanged_bytes);
  }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    load_bytes(column, block, valid(), source_, texts_.data());
    changes_->any_unchanged = false;
    const size_t bytes = changes_->unchanged_bytes;
    std::fill_n(changes_->unchanged.begin(), block.count * bytes, uint8_t{0});
    for (size_t i = 0; i < block.count; ++i) {
      uint8_t* const bits = changes_->unchanged.data() + i * bytes;
      Fault fault;
      const bool given = !is_null(i) && !changes_->deletes[i];
      if (given && !note(texts_[i], bits, fault)) faults.push_back({i, std::move(fault)});
      if (std::any_of(bits, bits + bytes, [](uint8_t byte) { return byte != 0; })) {
        changes_->any_unchanged = true;
        const size_t begin = staging_.begin_field();
        staging_.put_bytes(bits, bytes);
        staging_.end_field(begin);
      } else {
        staging_.put_null_field();
      }
      end_row(i, row_bytes);
    }
    return 0;
  }

 private:
  bool note(std::string_view text, uint8_t* bits, Fault& fault) {
    constexpr size_t kShown = 60;
    if (!read_names(text, found_)) {
      fault = {sqlstate::kInvalidText,
               "\"" + std::string(text.substr(0, kShown)) +
                   "\" does not name unchanged columns: use a JSON array of the names of input "
                   "columns, or NULL"};
      return false;
    }
    for (const std::string& name : found_) {
      const auto known = std::ranges::find(names_, name);
      if (known == names_.end() || name.empty()) {
        fault = {
            sqlstate::kInvalidText,
            "\"" + name + "\" cannot be unchanged: the input has no such column beside the key"};
        return false;
      }
      const auto at = static_cast<size_t>(known - names_.begin());
      bits[at / 8] = static_cast<uint8_t>(bits[at / 8] | 1U << (at % 8));
    }
    return true;
  }

  Field source_;
  const std::vector<std::string> names_;
  std::shared_ptr<Changes> changes_;
  std::vector<std::string> found_;
  std::array<std::string_view, kBlockRowsMax> texts_{};
};

/// UnlessLacking has its codec work on the rows that have a value. Which these are is known from
/// measure() to the last write. Its codec checks all that it measures: RowWriter, which finds no
/// RowPart here, does not ask again.
class UnlessLacking final : public FieldCodec {
 public:
  UnlessLacking(CodecPointer codec, size_t column, std::shared_ptr<const Changes> changes)
      : codec_(std::move(codec)), own_column_(column), changes_(std::move(changes)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    mixed_ = changes_->any_deletes || changes_->any_unchanged;
    if (!mixed_) return codec_->measure(column, block, row_bytes, faults);
    kept_count_ = 0;
    for (size_t i = 0; i < block.count; ++i) {
      lacking_[i] = changes_->lacks(i, own_column_);
      if (lacking_[i]) continue;
      kept_[kept_count_] = static_cast<uint32_t>(i);
      kept_rows_[kept_count_++] = static_cast<uint32_t>(block.row(i));
    }
    std::fill_n(kept_bytes_.begin(), kept_count_, 0);
    const size_t known_faults = faults.size();
    const Block kept{0, kept_count_, kept_rows_.data()};
    const size_t constant =
        kept_count_ == 0 ? 0 : codec_->measure(column, kept, kept_bytes_.data(), faults);
    for (size_t i = known_faults; i < faults.size(); ++i) {
      faults[i].position = kept_[faults[i].position];
    }
    for (size_t i = 0; i < kept_count_; ++i) row_bytes[kept_[i]] += constant + kept_bytes_[i];
    for (size_t i = 0; i < block.count; ++i) row_bytes[i] += lacking_[i] ? kLengthBytes : 0;
    return 0;
  }
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    codec_->write_strided(to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    codec_->write_at(rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    if (!mixed_) return codec_->write_moving(rows, offset, count);
    const size_t kept = kept_before(count);
    for (size_t i = 0; i < kept; ++i) cursors_[i] = rows[kept_[i]];
    if (kept > 0) codec_->write_moving(cursors_.data(), offset, kept);
    for (size_t i = 0; i < kept; ++i) rows[kept_[i]] = cursors_[i];
    for (size_t i = 0; i < count; ++i) {
      if (!lacking_[i]) continue;
      pgproto::store_be(rows[i] + offset, int32_t{-1});
      rows[i] += offset + kLengthBytes;
    }
  }
  bool leave_documents_to_server(bool leave) override {
    return codec_->leave_documents_to_server(leave);
  }
  void use_portable_code() override { codec_->use_portable_code(); }

 private:
  /// How many of the first `count` rows have a value.
  size_t kept_before(size_t count) const {
    const auto end = kept_.begin() + static_cast<ptrdiff_t>(kept_count_);
    return static_cast<size_t>(std::lower_bound(kept_.begin(), end, count) - kept_.begin());
  }

  CodecPointer codec_;
  const size_t own_column_;
  std::shared_ptr<const Changes> changes_;
  bool mixed_ = false;  ///< The block may have rows without a value.
  std::array<bool, kBlockRowsMax> lacking_{};
  size_t kept_count_ = 0;
  std::array<uint32_t, kBlockRowsMax> kept_{};       ///< Positions in the block …
  std::array<uint32_t, kBlockRowsMax> kept_rows_{};  ///< … and rows of the column.
  std::array<size_t, kBlockRowsMax> kept_bytes_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

}  // namespace

Result<CodecPointer> make_change_codec(const Field& source, std::shared_ptr<Changes> changes) {
  if (source_class(source) != SourceClass::kText || source.kind == ColumnKind::kDictionary) {
    return pgproto::fail(Errc::kColumnType,
                         source_name(source) + " cannot say what a change is: it takes text");
  }
  return CodecPointer(std::make_unique<ChangeField>(source, std::move(changes)));
}

Result<CodecPointer> make_unchanged_codec(const Field& source, std::vector<std::string> names,
                                          std::shared_ptr<Changes> changes) {
  if (source_class(source) != SourceClass::kText || source.kind == ColumnKind::kDictionary) {
    return pgproto::fail(Errc::kColumnType, source_name(source) +
                                                " cannot say which columns are unchanged: it takes "
                                                "text, a JSON array of their names");
  }
  return CodecPointer(
      std::make_unique<UnchangedField>(source, std::move(names), std::move(changes)));
}

CodecPointer unless_lacking(CodecPointer codec, size_t column,
                            std::shared_ptr<const Changes> changes) {
  return std::make_unique<UnlessLacking>(std::move(codec), column, std::move(changes));
}

}  // namespace pgsink::encode
