#pragma once
// RecordReader: divides the bytes of a pipe into records, lines or CSV records, as they come.
//
// CSV has the format of PostgreSQL's COPY. If a quote is never closed, COPY would read line after
// line into one field. Here only the line with that quote is malformed: a quote in the middle of a
// field closes in its line, and a quoted field of several lines counts only if a delimiter or the
// end of the line follows it and the record has the right number of fields.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

namespace pgsink::shell {

/// TextRecord is one record with the number of its first line.
struct TextRecord {
  uint64_t line = 0;  ///< Counted from 1.
  std::string text;   ///< Without its line break.
};

/// CsvDialect is how CSV is written; the names and defaults are those of COPY's options.
struct CsvDialect {
  char delimiter = ',';
  char quote = '"';
  char escape = '"';
  std::string null;  ///< The text that means NULL, without quotes.
};

class RecordReader {
 public:
  /// The longest record: a longer one has lost its line breaks, or a quote.
  static constexpr size_t kRecordBytesMax = size_t{64} << 20;

  virtual ~RecordReader() = default;

  /// Appends bytes. A byte order mark at the very beginning is skipped.
  void push(std::string_view bytes);
  /// No more bytes will come: the rest is the last record.
  void end() { ended_ = true; }
  /// No more bytes will come, and the text after the last line break is not a record. No effect
  /// after end().
  void end_with_whole_lines();
  /// Appends up to `rows_max` whole records; blank lines are skipped. Fails with kLimit for a
  /// record that is too long, and with kMalformedBatch if the input is compressed or not
  /// UTF-8 text.
  pgproto::Status take(size_t rows_max, std::vector<TextRecord>& records);
  /// Whether take() has nothing left to return, and never will.
  bool finished() const { return ended_ && at_ == buffer_.size(); }

 protected:
  /// The line break that ends the record at `at_`, searched from `seen_` on; the search continues
  /// there next time. npos if it has not arrived.
  virtual size_t find_end() = 0;
  /// Whether the text up to `end`, or to the end of the buffer for npos, is not the record that it
  /// seems to be: then only its first line is taken.
  virtual bool is_misled(size_t end) const = 0;
  virtual bool is_blank(std::string_view text) const = 0;
  /// A new record begins at `at_`.
  virtual void begin_record() = 0;

  std::string buffer_;
  size_t at_ = 0;             ///< Where the next record begins.
  size_t seen_ = 0;           ///< How far its end was searched.
  uint64_t inner_lines_ = 0;  ///< Line breaks inside the record so far.
  bool ended_ = false;

 private:
  pgproto::Status skip_mark();

  uint64_t line_ = 1;
  bool begun_ = false;
};

/// LineReader: every line is a record; lines of white space are blank.
class LineReader final : public RecordReader {
 private:
  size_t find_end() override;
  bool is_misled(size_t) const override { return false; }
  bool is_blank(std::string_view text) const override;
  void begin_record() override {}
};

/// CsvReader: empty lines are blank, unless records have one field.
class CsvReader final : public RecordReader {
 public:
  explicit CsvReader(CsvDialect dialect) : dialect_(std::move(dialect)) {}

  /// The number of fields of a record; unknown at first.
  void set_width(size_t fields) { width_ = fields; }

 private:
  size_t find_end() override;
  bool is_misled(size_t end) const override;
  bool is_blank(std::string_view text) const override { return text.empty() && width_ != 1; }
  void begin_record() override { quoted_ = false; }

  const CsvDialect dialect_;
  size_t width_ = 0;
  bool quoted_ = false;      ///< Whether seen_ is inside quotes …
  bool from_start_ = false;  ///< … that began at the start of the field.
};

/// CsvField is one field of a CSV record.
struct CsvField {
  std::string text;
  bool is_null = false;
  bool quoted = false;  ///< Whether any part of it was in quotes.
};

/// split_csv splits a record as COPY does. The error says what is wrong with it. With
/// `whole_fields`, quotes that contain a line break must enclose the whole field.
std::expected<std::vector<CsvField>, std::string> split_csv(std::string_view record,
                                                            const CsvDialect& dialect,
                                                            bool whole_fields = false);

}  // namespace pgsink::shell
