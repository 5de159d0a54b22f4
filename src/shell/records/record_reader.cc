#include "shell/records/record_reader.h"

#include <algorithm>

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;

/// When this many bytes were returned already, the rest is moved to the front.
constexpr size_t kCompactBytes = size_t{1} << 20;

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Formats of standard input by their first bytes, and what to do.
struct Foreign {
  std::string_view bytes;
  std::string_view what;
};
constexpr Foreign kForeign[] = {
    {"\x1f\x8b", "is compressed by gzip: decompress it, for example with zcat"},
    {"\x28\xb5\x2f\xfd", "is compressed by zstd: decompress it, for example with zstdcat"},
    {"\xff\xfe", "is UTF-16: convert it, for example with iconv -f UTF-16 -t UTF-8"},
    {"\xfe\xff", "is UTF-16: convert it, for example with iconv -f UTF-16 -t UTF-8"},
};

}  // namespace

void RecordReader::push(std::string_view bytes) {
  if (at_ >= kCompactBytes) {
    buffer_.erase(0, at_);
    seen_ -= at_;
    at_ = 0;
  }
  buffer_.append(bytes);
}

void RecordReader::end_with_whole_lines() {
  if (ended_) return;
  const size_t last = buffer_.rfind('\n');
  buffer_.resize(last == std::string::npos || last < at_ ? at_ : last + 1);
  seen_ = std::min(seen_, buffer_.size());
  ended_ = true;
}

/// Checks the first bytes of the input, once enough of them have arrived.
pgproto::Status RecordReader::skip_mark() {
  constexpr size_t kMarkBytes = 4;
  if (buffer_.size() < kMarkBytes && buffer_.find('\n') == std::string::npos && !ended_) return {};
  begun_ = true;
  for (const Foreign& foreign : kForeign) {
    if (!buffer_.starts_with(foreign.bytes)) continue;
    return fail(Errc::kMalformedBatch, "standard input " + std::string(foreign.what));
  }
  if (buffer_.starts_with(kByteOrderMark)) at_ = seen_ = kByteOrderMark.size();
  return {};
}

pgproto::Status RecordReader::take(size_t rows_max, std::vector<TextRecord>& records) {
  if (!begun_) {
    if (auto skipped = skip_mark(); !skipped || !begun_) return skipped;
  }
  while (records.size() < rows_max && at_ < buffer_.size()) {
    size_t end = find_end();
    const bool too_long = end == std::string::npos && buffer_.size() - at_ > kRecordBytesMax;
    if (end == std::string::npos && !ended_ && !too_long) return {};
    if (is_misled(end)) {
      end = buffer_.find('\n', at_);
      inner_lines_ = 0;
    } else if (too_long) {
      return fail(Errc::kLimit, "line " + std::to_string(line_) + ": a record of more than " +
                                    std::to_string(kRecordBytesMax >> 20) + " MiB");
    }
    const bool last = end == std::string::npos;
    if (last) end = buffer_.size();
    std::string_view text = std::string_view(buffer_).substr(at_, end - at_);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (!is_blank(text)) records.push_back({line_, std::string(text)});
    line_ += 1 + inner_lines_;
    inner_lines_ = 0;
    at_ = last ? end : end + 1;
    seen_ = at_;
    begin_record();
  }
  return {};
}

size_t LineReader::find_end() {
  const size_t end = buffer_.find('\n', seen_);
  seen_ = end == std::string::npos ? buffer_.size() : end;
  return end;
}

bool LineReader::is_blank(std::string_view text) const {
  return text.find_first_not_of(" \t") == std::string_view::npos;
}

size_t CsvReader::find_end() {
  for (; seen_ < buffer_.size(); ++seen_) {
    const char c = buffer_[seen_];
    if (c == '\n') {
      if (!quoted_ || !from_start_) return seen_;
      ++inner_lines_;
    } else if (!quoted_) {
      if (c != dialect_.quote) continue;
      quoted_ = true;
      from_start_ = seen_ == at_ || buffer_[seen_ - 1] == dialect_.delimiter;
    } else if (c == dialect_.escape || c == dialect_.quote) {
      // Whether a quote ends here depends on the next byte.
      const bool more = seen_ + 1 < buffer_.size();
      if (!more && !ended_) return std::string::npos;
      const char next = more ? buffer_[seen_ + 1] : '\0';
      const bool escaped =
          c == dialect_.escape && (next == dialect_.escape || next == dialect_.quote);
      if (escaped) {
        ++seen_;
      } else if (c == dialect_.quote) {
        quoted_ = false;
      }
    }
  }
  return std::string::npos;
}

bool CsvReader::is_misled(size_t end) const {
  if (inner_lines_ == 0) return false;
  if (end == std::string::npos && (quoted_ || !ended_)) return true;
  std::string_view text =
      std::string_view(buffer_).substr(at_, std::min(end, buffer_.size()) - at_);
  if (text.ends_with('\r')) text.remove_suffix(1);
  const auto fields = split_csv(text, dialect_, true);
  return !fields || (width_ != 0 && fields->size() != width_);
}

namespace {

/// CsvSplitter reads the fields of one record. Server: CopyReadAttributesCSV().
class CsvSplitter {
 public:
  CsvSplitter(std::string_view record, const CsvDialect& dialect, bool whole_fields)
      : record_(record), dialect_(dialect), whole_fields_(whole_fields) {}

  std::expected<std::vector<CsvField>, std::string> split() {
    std::vector<CsvField> fields;
    do {
      CsvField& field = fields.emplace_back();
      if (!read(field)) {
        return std::unexpected("field " + std::to_string(fields.size()) + ": " + fault_);
      }
      field.is_null = !field.quoted && field.text == dialect_.null;
    } while (take_delimiter());
    return fields;
  }

 private:
  bool done() const { return at_ == record_.size(); }
  bool at_delimiter() const { return !done() && record_[at_] == dialect_.delimiter; }
  bool take_delimiter() {
    if (!at_delimiter()) return false;
    ++at_;
    return true;
  }
  bool fail(std::string_view fault) {
    fault_ = fault;
    return false;
  }

  bool read(CsvField& field) {
    const size_t begin = at_;
    while (!done() && !at_delimiter()) {
      const char c = record_[at_];
      if (c != dialect_.quote) {
        if (c == '\r') return fail("a carriage return outside of quotes");
        field.text += c;
        ++at_;
        continue;
      }
      const bool from_start = at_ == begin;
      const size_t quoted_from = field.text.size();
      if (!read_quoted(field)) return false;
      if (!whole_fields_ || field.text.find('\n', quoted_from) == std::string::npos) continue;
      if (!from_start || (!done() && !at_delimiter())) {
        return fail("quotes around several lines are not around the whole field");
      }
    }
    return true;
  }

  /// Reads from a quote to its closing quote.
  bool read_quoted(CsvField& field) {
    field.quoted = true;
    for (++at_; !done(); ++at_) {
      const char c = record_[at_];
      const char next = at_ + 1 < record_.size() ? record_[at_ + 1] : '\0';
      const bool more = at_ + 1 < record_.size();
      if (c == dialect_.escape && more && (next == dialect_.escape || next == dialect_.quote)) {
        field.text += next;
        ++at_;
      } else if (c == dialect_.quote) {
        ++at_;
        return true;
      } else {
        field.text += c;
      }
    }
    return fail("its opening quote has no closing quote");
  }

  const std::string_view record_;
  const CsvDialect& dialect_;
  const bool whole_fields_;
  size_t at_ = 0;
  std::string fault_;
};

}  // namespace

std::expected<std::vector<CsvField>, std::string> split_csv(std::string_view record,
                                                            const CsvDialect& dialect,
                                                            bool whole_fields) {
  return CsvSplitter(record, dialect, whole_fields).split();
}

}  // namespace pgsink::shell
