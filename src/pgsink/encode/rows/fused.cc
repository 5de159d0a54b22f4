#include "pgsink/encode/rows/fused.h"

#include <algorithm>
#include <bit>

namespace pgsink::encode {
namespace {

constexpr uint32_t kSegmentBytesMax = 64;
constexpr uint32_t kSegmentLanesMax = 8;
/// Rows of more segments are rare, and writing them column by column is fast enough.
constexpr size_t kSegmentsMax = 8;
constexpr uint32_t kLaneBytes = 8;
constexpr uint32_t kCountBytes = 2;
/// 64 forms of 256 bytes are half of the first-level cache, and few of them are used.
constexpr uint32_t kNullFormColumnsMax = 6;

}  // namespace

bool FusedRows::supported() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vbmi2") != 0 && __builtin_cpu_supports("avx512vbmi") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("bmi2") != 0;
#else
  return false;
#endif
}

std::unique_ptr<FusedRows> FusedRows::plan(std::span<FieldCodec* const> columns) {
  if (!supported()) return nullptr;
  std::unique_ptr<FusedRows> rows(new FusedRows);
  rows->begin_segment();
  FusedSegment& head = rows->segments_.front();
  head.bytes = kCountBytes;
  head.pattern[0] = static_cast<uint8_t>(columns.size() >> 8);
  head.pattern[1] = static_cast<uint8_t>(columns.size() & 0xff);
  for (FieldCodec* const column : columns) {
    if (column->as_fixed() == nullptr || !rows->add_column(column->as_fixed())) return nullptr;
  }
  for (FusedSegment& segment : rows->segments_) {
    segment.byte_mask = ~uint64_t{0} >> (kSegmentBytesMax - segment.bytes);
    rows->row_bytes_max_ += segment.bytes;
    if (segment.column_count <= kNullFormColumnsMax) add_null_forms(segment);
  }
  rows->scratch_.resize(rows->lanes_.size() * kBlockRowsMax);
  rows->null_bits_.resize(rows->segments_.size() * kBlockRowsMax);
  return rows;
}

void FusedRows::begin_segment() {
  FusedSegment& segment = segments_.emplace_back();
  segment.first_lane = static_cast<uint32_t>(lanes_.size());
  segment.first_column = static_cast<uint32_t>(columns_.size());
}

bool FusedRows::add_column(FixedField* column) {
  const uint32_t width = column->lanes().width;
  Place place;
  if (!find_place(width, place)) {
    if (segments_.size() == kSegmentsMax) return false;
    begin_segment();
    if (!find_place(width, place)) return false;
  }
  add_field(width, place);
  columns_.push_back(column);
  places_.push_back(place);
  return true;
}

/// Room for a value in the lanes of the last segment: a separate lane (two above eight bytes), or
/// shared with other short values.
bool FusedRows::find_place(uint32_t width, Place& place) {
  FusedSegment& segment = segments_.back();
  const uint32_t field_bytes = static_cast<uint32_t>(kLengthBytes) + width;
  if (segment.bytes + field_bytes > kSegmentBytesMax ||
      segment.column_count == FusedSegment::kColumnsMax) {
    return false;
  }
  if (width < kLaneBytes) {
    for (uint32_t lane = segment.first_lane; lane < lanes_.size(); ++lane) {
      const uint32_t aligned = (lane_used_[lane] + width - 1) / width * width;
      if (aligned + width > kLaneBytes) continue;
      lane_used_[lane] = static_cast<uint8_t>(aligned + width);
      place = {lane, aligned};
      return true;
    }
  }
  const uint32_t lanes_needed = width > kLaneBytes ? 2 : 1;
  if (segment.lane_count + lanes_needed > kSegmentLanesMax) return false;
  place = {static_cast<uint32_t>(lanes_.size()), 0};
  for (uint32_t i = 0; i < lanes_needed; ++i) {
    lanes_.emplace_back();
    lane_used_.push_back(static_cast<uint8_t>(std::min(width, kLaneBytes)));
  }
  segment.lane_count += lanes_needed;
  return true;
}

void FusedRows::add_field(uint32_t width, const Place& place) {
  PGPROTO_ASSERT(width > 0 && width <= kSegmentBytesMax);
  FusedSegment& segment = segments_.back();
  const uint32_t lane = place.lane - segment.first_lane;
  const uint32_t length_at = segment.bytes;
  const uint32_t value_at_byte = length_at + static_cast<uint32_t>(kLengthBytes);
  segment.pattern[value_at_byte - 1] = static_cast<uint8_t>(width);
  for (uint32_t i = 0; i < width; ++i) {
    // Values of up to eight bytes are swapped; longer ones are bytes in wire order.
    const uint32_t byte = width <= kLaneBytes ? place.shift_bytes + width - 1 - i : i;
    set_source(segment, value_at_byte + i, lane + byte / kLaneBytes, byte % kLaneBytes);
  }
  const uint64_t length_mask = uint64_t{0xf} << length_at;
  const uint64_t value_mask = (~uint64_t{0} >> (kSegmentBytesMax - width)) << value_at_byte;
  const uint32_t column = segment.column_count++;
  auto& table = column < 6 ? segment.low_nulls : segment.high_nulls;
  for (size_t bits = 0; bits < table.size(); ++bits) {
    if ((bits >> (column % 6) & 1) == 0) continue;
    table[bits].length |= length_mask;
    table[bits].drop |= value_mask;
  }
  segment.bytes += static_cast<uint32_t>(kLengthBytes) + width;
}

void FusedRows::add_null_forms(FusedSegment& segment) {
  segment.null_forms.resize(size_t{1} << segment.column_count);
  for (size_t bits = 0; bits < segment.null_forms.size(); ++bits) {
    const FusedSegment::NullMasks& masks = segment.low_nulls[bits];
    FusedSegment::NullForm& form = segment.null_forms[bits];
    for (uint32_t byte = 0; byte < segment.bytes; ++byte) {
      const auto is_in = [byte](uint64_t mask) { return (mask >> byte & 1) != 0; };
      if (is_in(masks.drop)) continue;
      if (is_in(segment.value_mask)) {
        form.first[form.bytes] = segment.first[byte] | FusedSegment::kFromLanes;
        form.second[form.bytes] = segment.second[byte] | FusedSegment::kFromLanes;
      } else {
        form.pattern[form.bytes] = is_in(masks.length) ? 0xff : segment.pattern[byte];
      }
      ++form.bytes;
    }
  }
}

/// In the registers that the kernels permute, lanes 0, 1 of a pair's first row are followed by
/// those of its second row, then come lanes 2, 3 of both; lanes 4 to 7 are in a second register of
/// the same order.
void FusedRows::set_source(FusedSegment& segment, uint32_t out_byte, uint32_t lane, uint32_t byte) {
  const uint32_t place = lane / 4 * 64 + lane % 4 / 2 * 32 + lane % 2 * 8 + byte;
  segment.first[out_byte] = static_cast<uint8_t>(place);
  segment.second[out_byte] = static_cast<uint8_t>(place + 16);
  segment.value_mask |= uint64_t{1} << out_byte;
}

void FusedRows::load_lanes(size_t count) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Lanes& from = columns_[i]->lanes();
    const Place& place = places_[i];
    const bool direct =
        from.width == kLaneBytes && from.stride_bytes == static_cast<ptrdiff_t>(sizeof(uint64_t));
    if (direct) {
      lanes_[place.lane] = {reinterpret_cast<const uint64_t*>(from.values),
                            static_cast<uint64_t>(from.addend)};
    } else {
      pack(from, place, count);
    }
  }
}

void FusedRows::pack(const Lanes& from, const Place& place, size_t count) {
  uint64_t* const to = scratch_.data() + place.lane * kBlockRowsMax;
  lanes_[place.lane] = {to, 0};
  if (from.width <= kLaneBytes) return fused_pack(from, place.shift_bytes * 8, to, count);
  uint64_t* const second = to + kBlockRowsMax;
  lanes_[place.lane + 1] = {second, 0};
  const std::byte* at = from.values;
  for (size_t i = 0; i < count; ++i, at += from.stride_bytes) {
    to[i] = load<uint64_t>(at);
    second[i] =
        from.width == 16 ? load<uint64_t>(at + kLaneBytes) : load<uint32_t>(at + kLaneBytes);
  }
}

bool FusedRows::note_nulls(size_t count) {
  const bool any = std::any_of(columns_.begin(), columns_.end(),
                               [](const FixedField* column) { return column->valid() != nullptr; });
  if (!any) return false;
  for (size_t s = 0; s < segments_.size(); ++s) {
    std::array<const uint8_t*, FusedSegment::kColumnsMax> valid{};
    const uint32_t count_here = segments_[s].column_count;
    for (uint32_t k = 0; k < count_here; ++k) {
      valid[k] = columns_[segments_[s].first_column + k]->valid();
    }
    fused_null_bits(std::span(valid).first(count_here), null_bits_.data() + s * kBlockRowsMax,
                    count);
  }
  return true;
}

size_t FusedRows::row_bytes(size_t i) const {
  size_t dropped = 0;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const uint16_t bits = null_bits_[s * kBlockRowsMax + i];
    const uint64_t drop =
        segments_[s].low_nulls[bits & 63U].drop | segments_[s].high_nulls[bits >> 6].drop;
    dropped += static_cast<size_t>(std::popcount(drop));
  }
  return row_bytes_max_ - dropped;
}

void FusedRows::write_equal(size_t count, std::byte* out, const std::byte* limit) {
  load_lanes(count);
  fused_write_equal(segments_, lanes_.data(), count, out, limit);
}

std::byte* FusedRows::write_nullable(size_t count, std::byte* out, const std::byte* limit) {
  load_lanes(count);
  return fused_write_nullable(segments_, lanes_.data(), null_bits_.data(), count, out, limit);
}

}  // namespace pgsink::encode
