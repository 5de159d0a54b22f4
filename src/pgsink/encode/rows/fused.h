#pragma once
// FusedRows: whole rows of fixed-width columns at once, one 64-byte permute and store for up to 64
// bytes of row, on processors that have AVX-512 VBMI. Chosen at run time; elsewhere the columns are
// written one after the other (fixed.cc).
//
// The row is cut into segments of at most 64 bytes. The columns of a segment are packed into at
// most eight lanes of eight bytes; eight rows of lanes are transposed in registers, and one permute
// puts every byte of a row in its place, swapped, over a pattern of length words. NULLs turn length
// words into -1 and leave out the bytes of their values: each combination of NULLs in a segment of
// few columns has a permutation of its own; in longer segments the bytes are squeezed out.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "pgsink/encode/base/fixed.h"

namespace pgsink::encode {

/// FusedSegment is a part of at most 64 bytes of every row.
struct FusedSegment {
  static constexpr size_t kColumnsMax = 12;  ///< At five bytes each, the shortest field.

  // Source byte of each output byte, for the first and the second row of a pair of rows in a
  // register.
  alignas(64) std::array<uint8_t, 64> first{};
  alignas(64) std::array<uint8_t, 64> second{};
  alignas(64) std::array<uint8_t, 64> pattern{};  ///< Length words and the field count.
  uint64_t value_mask = 0;                        ///< Output bytes that come from lanes.
  uint64_t byte_mask = 0;                         ///< Output bytes that the segment has.
  uint32_t bytes = 0;
  uint32_t first_lane = 0;
  uint32_t lane_count = 0;
  uint32_t first_column = 0;
  uint32_t column_count = 0;

  /// The changes that NULLs make, by the NULL bits of six columns each.
  struct NullMasks {
    uint64_t length = 0;  ///< Bytes of length words, which become ff.
    uint64_t drop = 0;    ///< Bytes of values, which are removed.
  };
  std::array<NullMasks, 64> low_nulls{};
  std::array<NullMasks, 64> high_nulls{};

  static constexpr uint8_t kFromLanes = 0x80;  ///< Of a source byte: not from the pattern.
  /// A row with NULLs, its bytes after one another.
  struct NullForm {
    alignas(64) std::array<uint8_t, 64> first{};  ///< As above, and kFromLanes.
    alignas(64) std::array<uint8_t, 64> second{};
    alignas(64) std::array<uint8_t, 64> pattern{};
    size_t bytes = 0;
  };
  /// By NULL bits; empty if the segment has more than six columns.
  std::vector<NullForm> null_forms{};
};

/// FusedLane is eight bytes of each row.
struct FusedLane {
  const uint64_t* values = nullptr;
  uint64_t addend = 0;
};

class FusedRows {
 public:
  /// plan takes the columns of a row. Null if the processor or the row does not fit.
  static std::unique_ptr<FusedRows> plan(std::span<FieldCodec* const> columns);
  /// supported says whether this processor has the instructions.
  static bool supported();

  /// note_nulls reads the NULLs of a loaded block; false if there are none.
  bool note_nulls(size_t count);
  /// The size of a row without NULL, which is the maximum.
  size_t row_bytes_max() const { return row_bytes_max_; }
  /// row_bytes is the size of a row, after note_nulls().
  size_t row_bytes(size_t i) const;

  /// write_equal stores loaded rows without NULL, which have the same size. Bytes after the last
  /// row and before `limit` may be overwritten.
  void write_equal(size_t count, std::byte* out, const std::byte* limit);
  /// write_nullable stores loaded rows, after note_nulls(); returns the place after the last one.
  std::byte* write_nullable(size_t count, std::byte* out, const std::byte* limit);

 private:
  /// Where a column's value is in the lanes.
  struct Place {
    uint32_t lane = 0;
    uint32_t shift_bytes = 0;
  };

  FusedRows() = default;
  bool add_column(FixedField* column);
  bool find_place(uint32_t width, Place& place);
  void begin_segment();
  void add_field(uint32_t width, const Place& place);
  static void add_null_forms(FusedSegment& segment);
  static void set_source(FusedSegment& segment, uint32_t out_byte, uint32_t lane, uint32_t byte);
  void load_lanes(size_t count);
  void pack(const Lanes& from, const Place& place, size_t count);

  std::vector<FixedField*> columns_;
  std::vector<Place> places_;  ///< Of each column.
  std::vector<FusedSegment> segments_;
  std::vector<FusedLane> lanes_;
  std::vector<uint8_t> lane_used_;   ///< Bytes taken in each lane.
  std::vector<uint64_t> scratch_;    ///< kBlockRowsMax a lane.
  std::vector<uint16_t> null_bits_;  ///< kBlockRowsMax a segment.
  size_t row_bytes_max_ = 0;
};

// The kernels, for processors that FusedRows::supported() accepts.
/// Puts the values of a column of at most eight bytes into a lane, `shift` bits up.
void fused_pack(const Lanes& from, unsigned shift, uint64_t* to, size_t count);
/// Sets `bits` of each row: bit k is 1 where valid[k] (null: no NULL) has 0. Rows after `count` in
/// the block may be read and written.
void fused_null_bits(std::span<const uint8_t* const> valid, uint16_t* bits, size_t count);
void fused_write_equal(std::span<const FusedSegment> segments, const FusedLane* lanes, size_t count,
                       std::byte* out, const std::byte* limit);
std::byte* fused_write_nullable(std::span<const FusedSegment> segments, const FusedLane* lanes,
                                const uint16_t* null_bits, size_t count, std::byte* out,
                                const std::byte* limit);

}  // namespace pgsink::encode
