#include "pgsink/encode/rows/column_codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include <pgproto/oid.h>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/rows/type_table.h"

namespace pgsink::encode {
namespace {

/// NotNull adds to a codec that NULL is rejected: a key without a value finds no row.
class NotNull final : public FieldCodec {
 public:
  explicit NotNull(CodecPointer codec) : codec_(std::move(codec)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    const uint8_t* valid = load_validity(column, block, scratch_.data());
    for (size_t i = 0; valid != nullptr && i < block.count; ++i) {
      if (valid[i] == 0) faults.push_back({i, {sqlstate::kNullNotAllowed, "the key is NULL"}});
    }
    return codec_->measure(column, block, row_bytes, faults);
  }
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    codec_->write_strided(to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    codec_->write_at(rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    codec_->write_moving(rows, offset, count);
  }
  void defer_checks() override { codec_->defer_checks(); }
  void verify(size_t count, FaultList& faults) override { codec_->verify(count, faults); }
  void use_portable_code() override { codec_->use_portable_code(); }
  const RowPart* row_part() const override { return codec_->row_part(); }

 private:
  CodecPointer codec_;
  std::array<uint8_t, kFlagBytes> scratch_;
};

/// What a change does, by the words that the field uses for it; 0 if it is none.
char change_letter(std::string_view word) {
  struct Word {
    std::string_view word;
    char letter;
  };
  static constexpr std::array<Word, 6> kWords{
      {{"i", 'I'}, {"insert", 'I'}, {"u", 'U'}, {"update", 'U'}, {"d", 'D'}, {"delete", 'D'}}};
  const auto equal_without_case = [&](const Word& known) {
    return std::ranges::equal(known.word, word, [](char a, char b) {
      return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
    });
  };
  const auto* const found = std::ranges::find_if(kWords, equal_without_case);
  return found == kWords.end() ? '\0' : found->letter;
}

/// PutChange turns the word of a change into its letter.
struct PutChange {
  using Value = std::string_view;
  bool operator()(std::string_view word, Scratch& out, Fault& fault) const {
    const char letter = change_letter(word);
    if (letter == '\0') {
      constexpr size_t kShown = 20;
      fault = {sqlstate::kInvalidText, "\"" + std::string(word.substr(0, kShown)) +
                                           "\" is no change: use I, U, D or insert, update, "
                                           "delete"};
      return false;
    }
    out.put_bytes(&letter, 1);
    return true;
  }
};

Result<CodecPointer> make_change_codec(const Field& source) {
  if (source_class(source) != SourceClass::kText || source.kind == ColumnKind::kDictionary) {
    return pgproto::fail(Errc::kColumnType,
                         source_name(source) + " cannot say what a change is: it takes text");
  }
  return CodecPointer(std::make_unique<NotNull>(staged_field(source, load_bytes, PutChange{})));
}

}  // namespace

pgproto::Oid wire_oid(Wire wire) {
  PGPROTO_ASSERT(wire != Wire::kOwn);
  return wire == Wire::kText ? pgproto::oid::kText : pgproto::oid::kNumeric;
}

Wire column_wire(const EncodeColumn& column, const pgproto::TypeMap& types) {
  if (column.role == EncodeColumn::Role::kChange) return Wire::kOwn;
  const auto target = resolve_target(column.target_oid, column.type_modifier, types, column.rules);
  return target ? wire_of(column.source, *target) : Wire::kOwn;
}

Result<ColumnCodec> make_column_codec(const EncodeColumn& column, const pgproto::TypeMap& types) {
  const auto explain = [&](Error error) {
    error.message = "column \"" + column.target_name + "\": " + error.message;
    error.column = column.target_name;
    return pgproto::fail(std::move(error));
  };
  ColumnCodec made{column.source_index, column.target_name, "change", column.target_oid, nullptr};
  if (column.role == EncodeColumn::Role::kChange) {
    auto codec = make_change_codec(column.source);
    if (!codec) return explain(std::move(codec.error()));
    made.codec = std::move(*codec);
    return made;
  }
  auto target = resolve_target(column.target_oid, column.type_modifier, types, column.rules);
  if (!target) return explain(std::move(target.error()));
  const Wire wire = wire_of(column.source, *target);
  if (wire != Wire::kOwn) made.target_oid = wire_oid(wire);
  if (wire == Wire::kNumeric) {
    target->kind = TargetKind::kNumeric;
    target->type_modifier = -1;
  }
  auto codec = make_codec(column.source, *target);
  if (!codec) return explain(std::move(codec.error()));
  made.type_name = std::move(target->name);
  made.codec = std::move(*codec);
  if (column.role == EncodeColumn::Role::kKey) {
    made.codec = std::make_unique<NotNull>(std::move(made.codec));
  }
  return made;
}

void note_faults(FaultList& faults, size_t column, std::vector<Rejection>& rejections) {
  for (RowFault& found : faults) {
    const bool known = std::ranges::any_of(
        rejections, [&](const Rejection& r) { return r.row == found.position; });
    if (known) continue;
    Rejection rejection;
    rejection.row = found.position;
    rejection.column = column;
    rejection.error.code = Errc::kRowRejected;
    rejection.error.sqlstate = pgproto::Sqlstate(found.fault.sqlstate);
    rejection.error.message = std::move(found.fault.message);
    rejections.push_back(std::move(rejection));
  }
  faults.clear();
}

void explain_rejection(Rejection& rejection, const ColumnCodec& column) {
  rejection.error.column = column.target_name;
  rejection.error.message = "row " + std::to_string(rejection.row) + ", column \"" +
                            column.target_name + "\" (" + column.type_name +
                            "): " + rejection.error.message;
}

}  // namespace pgsink::encode
