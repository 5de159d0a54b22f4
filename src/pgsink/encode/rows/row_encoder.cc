#include "pgsink/encode/rows/row_encoder.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/rows/column_codec.h"
#include "pgsink/encode/rows/fused.h"
#include "pgsink/encode/rows/row_writer.h"

namespace pgsink {

using encode::Block;
using encode::FaultList;
using encode::kBlockRowsMax;
using pgproto::MutableBytes;

namespace {

/// Every tuple begins with its field count.
constexpr size_t kCountBytes = 2;
/// The most columns that a table can have. Server: MaxTupleAttributeNumber.
constexpr size_t kColumnsMax = 1664;
/// The server builds a row in one piece of memory. Server: MaxAllocSize.
constexpr size_t kRowBytesMax = 0x3fffffff;
/// Output of one block: small enough that the passes over its columns find it in the first-level
/// cache.
constexpr size_t kBlockBytes = 16 * 1024;

constexpr std::array<std::byte, 19> kCopyHeader = [] {
  constexpr std::string_view kSignature{"PGCOPY\n\xff\r\n\0", 11};
  std::array<std::byte, 19> header{};  // flags and extension length are zero
  for (size_t i = 0; i < kSignature.size(); ++i) header[i] = static_cast<std::byte>(kSignature[i]);
  return header;
}();
constexpr std::array<std::byte, 2> kCopyTrailer{std::byte{0xff}, std::byte{0xff}};

}  // namespace

struct RowEncoder::State {
  struct Column : encode::ColumnCodec {
    size_t constant_bytes = 0;  ///< The result of measure() for the current block.
  };

  /// The result of one block.
  struct Outcome {
    size_t rows = 0;  ///< Consumed from its front, rejected ones included.
    size_t bytes = 0;
    size_t next_row_bytes = 0;  ///< Size of the first row that did not fit.
  };

  std::vector<Column> columns;
  std::unique_ptr<encode::FusedRows> fused;    ///< If all columns have a fixed width and the
                                               ///< processor supports it.
  std::unique_ptr<encode::RowWriter> by_rows;  ///< Otherwise, if the processor supports it.
  size_t row_bytes_guess = 0;                  ///< Average of the last rows; sizes the next block.

  std::array<size_t, kBlockRowsMax> row_bytes{};
  std::array<std::byte*, kBlockRowsMax> cursors{};
  std::array<uint32_t, kBlockRowsMax> survivors{};
  FaultList faults;
  std::vector<Rejection> block_rejections;  ///< `row` is the position in the block at first.

  // Each fails by recording rejections; the positions count within the block that was tried.
  bool attempt(const RecordBatch& batch, const Block& block, MutableBytes out, Outcome& outcome);
  bool attempt_fused(const RecordBatch& batch, const Block& block, MutableBytes out,
                     Outcome& outcome);
  Outcome encode_block(const RecordBatch& batch, const Block& block, MutableBytes out);
  Outcome encode_survivors(const RecordBatch& batch, const Block& block, MutableBytes out);
  void finish_rejections(const Block& block, size_t rows_consumed);

  size_t measure(const RecordBatch& batch, const Block& block);
  bool verify(size_t count);
  void note_faults(size_t column);
  void reject_large_rows(const RecordBatch& batch, const Block& block, size_t constant);
  void fit(size_t constant, size_t count, size_t space, Outcome& outcome) const;
  bool write(size_t constant, const Outcome& rows, MutableBytes out);
  void write_columns(size_t constant, size_t count, std::byte* out);
  void write_equal_rows(size_t row_size, size_t count, std::byte* out);
  size_t block_rows(size_t rows, size_t space) const;
};

/// Adds up the sizes of a block. Returns the part that is the same for every row; row_bytes holds
/// the rest, if any column's sizes differ.
size_t RowEncoder::State::measure(const RecordBatch& batch, const Block& block) {
  std::fill_n(row_bytes.data(), block.count, 0);
  block_rejections.clear();
  size_t constant = kCountBytes;
  for (size_t i = 0; i < columns.size(); ++i) {
    Column& column = columns[i];
    const ColumnView& view = batch.columns()[column.source_index];
    column.constant_bytes = by_rows != nullptr
                                ? by_rows->measure(i, view, block, row_bytes.data(), faults)
                                : column.codec->measure(view, block, row_bytes.data(), faults);
    constant += column.constant_bytes;
    if (!faults.empty()) note_faults(i);
  }
  const bool large = std::any_of(row_bytes.begin(), row_bytes.begin() + block.count,
                                 [&](size_t bytes) { return bytes > kRowBytesMax - constant; });
  if (large) reject_large_rows(batch, block, constant);
  return constant;
}

/// Finds the column that makes a row too large for the server, which holds a row in one piece.
void RowEncoder::State::reject_large_rows(const RecordBatch& batch, const Block& block,
                                          size_t constant) {
  const std::array<size_t, kBlockRowsMax> bytes = row_bytes;
  for (size_t position = 0; position < block.count; ++position) {
    if (bytes[position] <= kRowBytesMax - constant) continue;
    const auto row = static_cast<uint32_t>(block.row(position));
    size_t largest = 0;
    size_t largest_bytes = 0;
    for (size_t i = 0; i < columns.size(); ++i) {
      size_t own = 0;
      FaultList ignored;
      const ColumnView& view = batch.columns()[columns[i].source_index];
      const size_t same = columns[i].codec->measure(view, {0, 1, &row}, &own, ignored);
      if (same + own <= largest_bytes) continue;
      largest = i;
      largest_bytes = same + own;
    }
    faults.push_back({position,
                      {encode::sqlstate::kProgramLimit,
                       "the row takes " + std::to_string(bytes[position] + constant) +
                           " bytes, of which this column " + std::to_string(largest_bytes) +
                           "; the server's limit is 1 GiB a row"}});
    note_faults(largest);
  }
}

/// Asks the codecs for what they found while writing; false if a row must not be sent.
bool RowEncoder::State::verify(size_t count) {
  for (size_t i = 0; i < columns.size(); ++i) {
    columns[i].codec->verify(count, faults);
    if (!faults.empty()) note_faults(i);
  }
  return block_rejections.empty();
}

void RowEncoder::State::note_faults(size_t column) {
  encode::note_faults(faults, column, block_rejections);
}

/// How many of the measured rows fit into `space` bytes, and how many bytes they take.
void RowEncoder::State::fit(size_t constant, size_t count, size_t space, Outcome& outcome) const {
  outcome.rows = count;
  outcome.bytes = std::accumulate(row_bytes.begin(), row_bytes.begin() + count, constant * count);
  while (outcome.bytes > space) outcome.bytes -= constant + row_bytes[--outcome.rows];
}

void RowEncoder::State::write_columns(size_t constant, size_t count, std::byte* out) {
  std::byte* at = out;
  const auto field_count = static_cast<int16_t>(columns.size());
  for (size_t i = 0; i < count; ++i) {
    cursors[i] = at;
    pgproto::store_be(at, field_count);
    at += constant + row_bytes[i];
  }
  // Fields of the same size in every row need no cursor: their place is counted from the last field
  // of varying size.
  size_t offset = kCountBytes;
  for (size_t i = 0; i < columns.size(); ++i) {
    Column& column = columns[i];
    if (column.constant_bytes != 0) {
      const bool last = i + 1 == columns.size();
      column.codec->write_at(cursors.data(), offset, count, last);
      offset += column.constant_bytes;
    } else {
      column.codec->write_moving(cursors.data(), offset, count);
      offset = 0;
    }
  }
  PGPROTO_ASSERT(count == 0 || cursors[count - 1] + offset == at);
}

void RowEncoder::State::write_equal_rows(size_t row_size, size_t count, std::byte* out) {
  const auto field_count = static_cast<int16_t>(columns.size());
  for (size_t i = 0; i < count; ++i) pgproto::store_be(out + i * row_size, field_count);
  size_t offset = kCountBytes;
  for (size_t i = 0; i < columns.size(); ++i) {
    const bool last = i + 1 == columns.size();
    columns[i].codec->write_strided(out + offset, row_size, count, last);
    offset += columns[i].constant_bytes;
  }
  PGPROTO_ASSERT(offset == row_size);
}

/// Writes a block by FusedRows. Near the end of `out`, sizes are checked row by row.
bool RowEncoder::State::attempt_fused(const RecordBatch& batch, const Block& block,
                                      MutableBytes out, Outcome& outcome) {
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns[i];
    column.codec->as_fixed()->load(batch.columns()[column.source_index], block, faults);
    if (!faults.empty()) note_faults(i);
  }
  if (!block_rejections.empty()) return false;
  const size_t most = fused->row_bytes_max();
  const std::byte* const limit = out.data() + out.size();
  outcome.rows = std::min(block.count, out.size() / most);
  if (!fused->note_nulls(block.count)) {
    fused->write_equal(outcome.rows, out.data(), limit);
    outcome.bytes = outcome.rows * most;
    outcome.next_row_bytes = most;
    return true;
  }
  if (outcome.rows < block.count) {
    outcome.rows = 0;
    for (size_t used = fused->row_bytes(0); used <= out.size();) {
      if (++outcome.rows == block.count) break;
      used += fused->row_bytes(outcome.rows);
    }
  }
  const std::byte* const end = fused->write_nullable(outcome.rows, out.data(), limit);
  outcome.bytes = static_cast<size_t>(end - out.data());
  if (outcome.rows < block.count) outcome.next_row_bytes = fused->row_bytes(outcome.rows);
  return true;
}

/// Writes as many rows of a block as fit, or records rejections.
bool RowEncoder::State::attempt(const RecordBatch& batch, const Block& block, MutableBytes out,
                                Outcome& outcome) {
  block_rejections.clear();
  if (fused != nullptr) return attempt_fused(batch, block, out, outcome);
  const size_t constant = measure(batch, block);
  if (!block_rejections.empty()) return false;
  fit(constant, block.count, out.size(), outcome);
  if (!write(constant, outcome, out) && !verify(outcome.rows)) return false;
  if (outcome.rows < block.count) outcome.next_row_bytes = constant + row_bytes[outcome.rows];
  if (outcome.rows != 0) row_bytes_guess = outcome.bytes / outcome.rows;
  return true;
}

/// Writes measured rows; false if what was written must be verified.
bool RowEncoder::State::write(size_t constant, const Outcome& rows, MutableBytes out) {
  if (by_rows != nullptr) {
    return by_rows->write(rows.rows, constant, row_bytes.data(), out);
  }
  const bool equal = std::all_of(columns.begin(), columns.end(),
                                 [](const Column& c) { return c.constant_bytes != 0; });
  if (equal) {
    write_equal_rows(constant, rows.rows, out.data());
  } else {
    write_columns(constant, rows.rows, out.data());
  }
  return equal;
}

RowEncoder::State::Outcome RowEncoder::State::encode_block(const RecordBatch& batch,
                                                           const Block& block, MutableBytes out) {
  Outcome outcome;
  if (attempt(batch, block, out, outcome)) return outcome;
  return encode_survivors(batch, block, out);
}

/// A block with rejected rows is tried again without them, until none is left: faults that are
/// checked while writing are found only then.
RowEncoder::State::Outcome RowEncoder::State::encode_survivors(const RecordBatch& batch,
                                                               const Block& block,
                                                               MutableBytes out) {
  std::vector<Rejection> rejections;
  std::array<bool, kBlockRowsMax> rejected{};
  std::array<uint16_t, kBlockRowsMax> positions;  // of the rows tried last, in the block
  std::iota(positions.begin(), positions.end(), uint16_t{0});
  size_t count = 0;
  Outcome outcome;
  do {
    for (Rejection& rejection : block_rejections) {
      rejection.row = positions[rejection.row];
      rejected[rejection.row] = true;
      rejections.push_back(std::move(rejection));
    }
    count = 0;
    for (size_t i = 0; i < block.count; ++i) {
      if (rejected[i]) continue;
      positions[count] = static_cast<uint16_t>(i);
      survivors[count++] = static_cast<uint32_t>(block.row(i));
    }
    outcome = {};
    block_rejections.clear();
  } while (count != 0 && !attempt(batch, {0, count, survivors.data()}, out, outcome));
  outcome.rows = outcome.rows == count ? block.count : positions[outcome.rows];
  block_rejections = std::move(rejections);
  finish_rejections(block, outcome.rows);
  return outcome;
}

/// Keeps the rejections of the consumed rows, in order, and adds their positions.
void RowEncoder::State::finish_rejections(const Block& block, size_t rows_consumed) {
  std::erase_if(block_rejections, [&](const Rejection& r) { return r.row >= rows_consumed; });
  std::sort(block_rejections.begin(), block_rejections.end(),
            [](const Rejection& a, const Rejection& b) { return a.row < b.row; });
  for (Rejection& rejection : block_rejections) {
    rejection.row = block.row(rejection.row);
    encode::explain_rejection(rejection, columns[rejection.column]);
  }
}

size_t RowEncoder::State::block_rows(size_t rows, size_t space) const {
  size_t count = std::min(rows, kBlockRowsMax);
  if (row_bytes_guess != 0) {
    const size_t bytes = by_rows != nullptr ? space : std::min(space, kBlockBytes);
    count = std::min(count, bytes / row_bytes_guess + 1);
  }
  return count;
}

RowEncoder::RowEncoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
RowEncoder::RowEncoder(RowEncoder&&) noexcept = default;
RowEncoder& RowEncoder::operator=(RowEncoder&&) noexcept = default;
RowEncoder::~RowEncoder() = default;

Result<RowEncoder> RowEncoder::create(const std::vector<EncodeColumn>& columns,
                                      const pgproto::TypeMap& types, Kernels kernels) {
  if (columns.empty()) return pgproto::fail(Errc::kUsage, "a row needs at least one column");
  if (columns.size() > kColumnsMax) {
    return pgproto::fail(Errc::kUsage, std::to_string(columns.size()) +
                                           " columns exceed the server's limit of " +
                                           std::to_string(kColumnsMax));
  }
  auto state = std::make_unique<State>();
  auto made = encode::make_column_codecs(columns, types);
  if (!made) return pgproto::fail(std::move(made.error()));
  for (encode::ColumnCodec& column : *made) {
    column.codec->defer_checks();
    if (kernels == Kernels::kPortable) column.codec->use_portable_code();
    state->columns.push_back({std::move(column), 0});
  }
  if (kernels == Kernels::kBest) {
    std::vector<encode::FieldCodec*> codecs;
    for (const State::Column& column : state->columns) codecs.push_back(column.codec.get());
    state->fused = encode::FusedRows::plan(codecs);
    if (state->fused == nullptr) state->by_rows = encode::RowWriter::plan(codecs);
  }
  return RowEncoder(std::move(state));
}

bool RowEncoder::leave_documents_to_server(bool leave) {
  bool any = false;
  for (const State::Column& column : state_->columns) {
    any |= column.codec->leave_documents_to_server(leave);
  }
  return any;
}

RowEncoder::Step RowEncoder::encode(const RecordBatch& batch, RowRange rows, MutableBytes out,
                                    std::vector<Rejection>& rejected) {
  Step step;
  while (step.rows < rows.count) {
    const size_t left = rows.count - step.rows;
    const MutableBytes space = out.subspan(step.bytes);
    Block block;
    block.count = state_->block_rows(left, space.size());
    if (rows.indexes != nullptr) {
      block.indexes = rows.indexes + rows.begin + step.rows;
    } else {
      block.first = rows.begin + step.rows;
    }
    const State::Outcome outcome = state_->encode_block(batch, block, space);
    std::move(state_->block_rejections.begin(), state_->block_rejections.end(),
              std::back_inserter(rejected));
    state_->block_rejections.clear();
    step.rows += outcome.rows;
    step.bytes += outcome.bytes;
    if (outcome.rows < block.count) {
      if (step.rows == 0) step.bytes_needed = outcome.next_row_bytes;
      break;
    }
  }
  return step;
}

pgproto::Bytes copy_header() { return kCopyHeader; }
pgproto::Bytes copy_trailer() { return kCopyTrailer; }

}  // namespace pgsink
