#include "pgsink/encode/rows/column_codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/rows/changes.h"
#include "pgsink/encode/rows/type_table.h"

namespace pgsink::encode {
namespace {

/// NotNull makes a codec reject NULL, as `fault` says.
class NotNull final : public FieldCodec {
 public:
  NotNull(CodecPointer codec, Fault fault) : codec_(std::move(codec)), fault_(std::move(fault)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    const uint8_t* valid = load_validity(column, block, scratch_.data());
    for (size_t i = 0; valid != nullptr && i < block.count; ++i) {
      if (valid[i] == 0) faults.push_back({i, fault_});
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
  bool leave_documents_to_server(bool leave) override {
    return codec_->leave_documents_to_server(leave);
  }
  void use_portable_code() override { codec_->use_portable_code(); }
  const RowPart* row_part() const override { return codec_->row_part(); }

 private:
  CodecPointer codec_;
  Fault fault_;
  std::array<uint8_t, kFlagBytes> scratch_;
};

}  // namespace

pgproto::Oid wire_oid(Wire wire) {
  PGPROTO_ASSERT(wire != Wire::kOwn);
  return wire == Wire::kText ? pgproto::oid::kText : pgproto::oid::kNumeric;
}

Wire column_wire(const EncodeColumn& column, const pgproto::TypeMap& types) {
  if (column.is_note()) return Wire::kOwn;
  const auto target = resolve_target(column.target_oid, column.type_modifier, types, column.rules);
  return target ? wire_of(column.source, *target) : Wire::kOwn;
}

namespace {

/// The names of the input columns that may be unchanged; "" for the others.
std::vector<std::string> may_be_unchanged(const std::vector<EncodeColumn>& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const EncodeColumn& column : columns) {
    names.push_back(column.role == EncodeColumn::Role::kUnlessLacking ? column.source.name : "");
  }
  return names;
}

/// The codec of columns[at].
Result<ColumnCodec> make_codec_of(const std::vector<EncodeColumn>& columns, size_t at,
                                  const pgproto::TypeMap& types,
                                  const std::shared_ptr<Changes>& changes) {
  using Role = EncodeColumn::Role;
  const EncodeColumn& column = columns[at];
  // The target of a note has a name of our own.
  const std::string& name = column.is_note() ? column.source.name : column.target_name;
  const auto explain = [&](Error error) {
    error.message = "column \"" + name + "\": " + error.message;
    error.column = name;
    return pgproto::fail(std::move(error));
  };
  ColumnCodec made{.source_index = column.source_index,
                   .target_name = name,
                   .type_name = column.role == Role::kChange ? "change" : "unchanged columns",
                   .wire_oid = column.target_oid,
                   .codec = nullptr};
  if (column.is_note()) {
    auto codec = column.role == Role::kChange
                     ? make_change_codec(column.source, changes)
                     : make_unchanged_codec(column.source, may_be_unchanged(columns), changes);
    if (!codec) return explain(std::move(codec.error()));
    made.codec = std::move(*codec);
    return made;
  }
  auto target = resolve_target(column.target_oid, column.type_modifier, types, column.rules);
  if (!target) return explain(std::move(target.error()));
  const Wire wire = wire_of(column.source, *target);
  if (wire != Wire::kOwn) made.wire_oid = wire_oid(wire);
  if (wire == Wire::kNumeric) {
    target->kind = TargetKind::kNumeric;
    target->type_modifier = -1;
  }
  auto codec = make_codec(column.source, *target);
  if (!codec) return explain(std::move(codec.error()));
  made.type_name = std::move(target->name);
  made.codec = std::move(*codec);
  if (column.role == Role::kKey) {
    // A key without a value finds no row.
    made.codec = std::make_unique<NotNull>(std::move(made.codec),
                                           Fault{sqlstate::kNullNotAllowed, "the key is NULL"});
  } else if (column.not_null) {
    made.codec = std::make_unique<NotNull>(
        std::move(made.codec), Fault{sqlstate::kNotNullViolation, "NULL in a NOT NULL column"});
  }
  if (column.role == Role::kUnlessLacking) {
    made.codec = unless_lacking(std::move(made.codec), at, changes);
  }
  if (column.as_base_type && wire == Wire::kOwn) {
    const auto domain = types.find(column.target_oid);
    PGPROTO_ASSERT(domain != types.end());
    made.wire_oid = domain->second.base_oid;
  }
  return made;
}

}  // namespace

Result<ColumnCodec> make_column_codec(const EncodeColumn& column, const pgproto::TypeMap& types) {
  return make_codec_of({column}, 0, types, std::make_shared<Changes>());
}

Result<std::vector<ColumnCodec>> make_column_codecs(const std::vector<EncodeColumn>& columns,
                                                    const pgproto::TypeMap& types) {
  const auto changes = std::make_shared<Changes>();
  std::vector<ColumnCodec> codecs;
  for (size_t i = 0; i < columns.size(); ++i) {
    auto made = make_codec_of(columns, i, types, changes);
    if (!made) return pgproto::fail(std::move(made.error()));
    codecs.push_back(std::move(*made));
  }
  return codecs;
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
  rejection.error.message = "column \"" + column.target_name + "\" (" + column.type_name +
                            "): " + rejection.error.message;
}

}  // namespace pgsink::encode
