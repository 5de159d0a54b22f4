#include "pgsink/encode/rows/changes.h"

#include <algorithm>
#include <utility>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/rows/type_table.h"

namespace pgsink::encode {
namespace {

/// What a change does, by the words that the field uses for it; 0 if it is none.
char change_letter(std::string_view word) {
  struct Word {
    std::string_view word;
    char letter;
  };
  static constexpr std::array<Word, 12> kWords{{{"i", 'I'},
                                                {"insert", 'I'},
                                                {"u", 'U'},
                                                {"update", 'U'},
                                                {"d", kDeleteLetter},
                                                {"delete", kDeleteLetter},
                                                // Debezium: create, and read by a snapshot.
                                                {"c", 'I'},
                                                {"r", 'I'},
                                                // Flink: -U removes the row as it was before.
                                                {"+i", 'I'},
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
  ChangeField(Field source, std::shared_ptr<Deletes> deletes)
      : source_(std::move(source)), deletes_(std::move(deletes)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    load_bytes(column, block, valid(), source_, words_.data());
    deletes_->any = false;
    for (size_t i = 0; i < block.count; ++i) {
      const char letter = is_null(i) ? '\0' : change_letter(words_[i]);
      if (letter == '\0') faults.push_back({i, no_change(i)});
      const size_t begin = staging_.begin_field();
      staging_.put_bytes(&letter, 1);
      staging_.end_field(begin);
      end_row(i, row_bytes);
      deletes_->rows[i] = letter == kDeleteLetter;
      deletes_->any = deletes_->any || deletes_->rows[i];
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
  std::shared_ptr<Deletes> deletes_;
  std::array<std::string_view, kBlockRowsMax> words_{};
};

/// UnlessDeleted has its codec work on the rows that do not delete. Which these are is known from
/// measure() to the last write. Its codec checks all that it measures: RowWriter, which finds no
/// RowPart here, does not ask again.
class UnlessDeleted final : public FieldCodec {
 public:
  UnlessDeleted(CodecPointer codec, std::shared_ptr<const Deletes> deletes)
      : codec_(std::move(codec)), deletes_(std::move(deletes)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    mixed_ = deletes_->any;
    if (!mixed_) return codec_->measure(column, block, row_bytes, faults);
    kept_count_ = 0;
    for (size_t i = 0; i < block.count; ++i) {
      deleted_[i] = deletes_->rows[i];
      if (deleted_[i]) continue;
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
    for (size_t i = 0; i < block.count; ++i) row_bytes[i] += deleted_[i] ? kLengthBytes : 0;
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
      if (!deleted_[i]) continue;
      pgproto::store_be(rows[i] + offset, int32_t{-1});
      rows[i] += offset + kLengthBytes;
    }
  }
  bool leave_documents_to_server(bool leave) override {
    return codec_->leave_documents_to_server(leave);
  }
  void use_portable_code() override { codec_->use_portable_code(); }

 private:
  /// How many of the first `count` rows do not delete.
  size_t kept_before(size_t count) const {
    const auto end = kept_.begin() + static_cast<ptrdiff_t>(kept_count_);
    return static_cast<size_t>(std::lower_bound(kept_.begin(), end, count) - kept_.begin());
  }

  CodecPointer codec_;
  std::shared_ptr<const Deletes> deletes_;
  bool mixed_ = false;  ///< The block has deletes.
  std::array<bool, kBlockRowsMax> deleted_{};
  size_t kept_count_ = 0;
  std::array<uint32_t, kBlockRowsMax> kept_{};       ///< Positions in the block …
  std::array<uint32_t, kBlockRowsMax> kept_rows_{};  ///< … and rows of the column.
  std::array<size_t, kBlockRowsMax> kept_bytes_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

}  // namespace

Result<CodecPointer> make_change_codec(const Field& source, std::shared_ptr<Deletes> deletes) {
  if (source_class(source) != SourceClass::kText || source.kind == ColumnKind::kDictionary) {
    return pgproto::fail(Errc::kColumnType,
                         source_name(source) + " cannot say what a change is: it takes text");
  }
  return CodecPointer(std::make_unique<ChangeField>(source, std::move(deletes)));
}

CodecPointer unless_deleted(CodecPointer codec, std::shared_ptr<const Deletes> deletes) {
  return std::make_unique<UnlessDeleted>(std::move(codec), std::move(deletes));
}

}  // namespace pgsink::encode
