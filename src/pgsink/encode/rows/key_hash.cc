#include "pgsink/encode/rows/key_hash.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {
namespace {

using encode::Block;
using encode::kBlockRowsMax;
using encode::TargetKind;

/// Types whose values are equal exactly when their binary forms are.
constexpr std::array<TargetKind, 18> kBytewise{
    TargetKind::kBool,      TargetKind::kInt2,        TargetKind::kInt4,    TargetKind::kInt8,
    TargetKind::kOid,       TargetKind::kText,        TargetKind::kVarchar, TargetKind::kName,
    TargetKind::kChar,      TargetKind::kBytea,       TargetKind::kDate,    TargetKind::kTime,
    TargetKind::kTimestamp, TargetKind::kTimestamptz, TargetKind::kUuid,    TargetKind::kMacaddr,
    TargetKind::kMacaddr8,  TargetKind::kEnum};

constexpr pgproto::Oid kTextOid = 25;  // Source: pg_type.dat of the server

/// Eight bytes at a time; every bit of the input reaches every bit of the result.
uint64_t mix(uint64_t hash, uint64_t word) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  hash = (hash ^ word) * kOdd;
  return hash ^ (hash >> 29);
}

uint64_t hash_bytes(uint64_t hash, pgproto::Bytes bytes) {
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    hash = mix(hash, word);
  }
  uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  return mix(hash, rest ^ bytes.size());
}

}  // namespace

struct KeyHash::State {
  std::vector<encode::ColumnCodec> columns;
  encode::FaultList faults;
  encode::Scratch fields;
  std::array<size_t, kBlockRowsMax> row_bytes{};
  std::array<std::byte*, kBlockRowsMax> cursors{};

  bool add(const encode::ColumnCodec& column, const RecordBatch& batch, const Block& block,
           uint64_t* hashes);
};

/// Mixes a column's fields of a block into the hashes; false if a row of it has a fault.
bool KeyHash::State::add(const encode::ColumnCodec& column, const RecordBatch& batch,
                         const Block& block, uint64_t* hashes) {
  std::fill_n(row_bytes.begin(), block.count, 0);
  const size_t constant =
      column.codec->measure(batch.columns()[column.source_index], block, row_bytes.data(), faults);
  if (!faults.empty()) {
    faults.clear();
    return false;
  }
  if (constant != 0) std::fill_n(row_bytes.begin(), block.count, constant);
  size_t total = 0;
  for (size_t i = 0; i < block.count; ++i) total += row_bytes[i];
  fields.clear();
  std::byte* at = fields.grow(total);
  for (size_t i = 0; i < block.count; ++i) {
    cursors[i] = at;
    at += row_bytes[i];
  }
  column.codec->write_moving(cursors.data(), 0, block.count);
  const std::byte* field = fields.data();
  for (size_t i = 0; i < block.count; ++i) {
    hashes[i] = hash_bytes(hashes[i], {field, row_bytes[i]});
    field += row_bytes[i];
  }
  return true;
}

KeyHash::KeyHash(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyHash::KeyHash(KeyHash&&) noexcept = default;
KeyHash& KeyHash::operator=(KeyHash&&) noexcept = default;
KeyHash::~KeyHash() = default;

bool KeyHash::fits(pgproto::Oid type, int32_t modifier, const pgproto::TypeMap& types) {
  const auto target = encode::resolve_target(type, modifier, types);
  return target && std::ranges::find(kBytewise, target->kind) != kBytewise.end();
}

Result<KeyHash> KeyHash::create(const std::vector<EncodeColumn>& columns,
                                const pgproto::TypeMap& types) {
  auto state = std::make_unique<State>();
  for (EncodeColumn column : columns) {
    const auto target = encode::resolve_target(column.target_oid, column.type_modifier, types);
    if (target && std::ranges::find(kBytewise, target->kind) == kBytewise.end()) {
      return pgproto::fail(Errc::kColumnType,
                           "column \"" + column.target_name + "\" (" + target->name +
                               "): equal values of this type can have different bytes, so it "
                               "cannot show which rows belong together");
    }
    if (target && target->kind == TargetKind::kEnum) {
      // The same bytes, also for labels that the type gets later.
      column.target_oid = kTextOid;
      column.type_modifier = -1;
    }
    auto made = encode::make_column_codec(column, types);
    if (!made) return pgproto::fail(std::move(made.error()));
    state->columns.push_back(std::move(*made));
  }
  return KeyHash(std::move(state));
}

void KeyHash::hash(const RecordBatch& batch, RowRange rows, uint64_t* hashes) {
  std::fill_n(hashes, rows.count, 0);
  for (size_t done = 0; done < rows.count; done += kBlockRowsMax) {
    Block block;
    block.count = std::min(rows.count - done, kBlockRowsMax);
    if (rows.indexes != nullptr) {
      block.indexes = rows.indexes + rows.begin + done;
    } else {
      block.first = rows.begin + done;
    }
    for (const encode::ColumnCodec& column : state_->columns) {
      if (state_->add(column, batch, block, hashes + done)) continue;
      for (size_t i = 0; i < block.count; ++i) {
        state_->add(column, batch, {block.row(i), 1, nullptr}, hashes + done + i);
      }
    }
  }
}

}  // namespace pgsink
