#pragma once
// RecordReader: cuts the bytes of a pipe into records, lines or CSV records, as they come.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

namespace pgsink::shell {

/// TextRecord is one record with the line that it begins in.
struct TextRecord {
  uint64_t line = 0;  ///< Counted from 1.
  std::string text;   ///< Without its line break.
};

class RecordReader {
 public:
  enum class Kind : uint8_t { kLines, kCsv };
  /// The longest record: what is longer has lost its line breaks, or a quote.
  static constexpr size_t kRecordBytesMax = size_t{64} << 20;

  explicit RecordReader(Kind kind) : kind_(kind) {}

  /// Takes bytes in.
  void push(std::string_view bytes);
  /// No more bytes will come: what is left is the last record.
  void end() { ended_ = true; }
  /// Appends up to `rows_max` whole records; blank lines are none. Fails with kLimit for a record
  /// that is too long.
  pgproto::Status take(size_t rows_max, std::vector<TextRecord>& records);
  /// Whether take() has nothing left to give, and never will.
  bool finished() const { return ended_ && at_ == buffer_.size(); }
  /// The number of the line that is read next.
  uint64_t line() const { return line_; }

 private:
  size_t find_end();

  const Kind kind_;
  std::string buffer_;
  size_t at_ = 0;        ///< Where the next record begins.
  size_t seen_ = 0;      ///< Up to where its end was sought.
  bool quoted_ = false;  ///< Whether that is inside quotes.
  uint64_t line_ = 1;
  uint64_t inner_lines_ = 0;  ///< Line breaks inside the quotes of the record so far.
  bool ended_ = false;
};

/// CsvField is one field of a CSV record; an empty one without quotes is NULL.
struct CsvField {
  std::string text;
  bool is_null = false;
};

/// split_csv splits a record at `delimiter` (RFC 4180: "" inside quotes is a quote). An error says
/// what is wrong with it.
pgproto::Result<std::vector<CsvField>> split_csv(std::string_view record, char delimiter);

}  // namespace pgsink::shell
