#include "shell/sources/record_reader.h"

#include <algorithm>

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;

/// Bytes already given away that are worth the move of those behind them.
constexpr size_t kCompactBytes = size_t{1} << 20;

}  // namespace

void RecordReader::push(std::string_view bytes) {
  if (at_ >= kCompactBytes) {
    buffer_.erase(0, at_);
    seen_ -= at_;
    at_ = 0;
  }
  buffer_.append(bytes);
}

/// The line break that ends the record at `at_`; npos if it has not come yet.
size_t RecordReader::find_end() {
  if (kind_ == Kind::kLines) {
    const size_t end = buffer_.find('\n', seen_);
    seen_ = end == std::string::npos ? buffer_.size() : end;
    return end;
  }
  for (; seen_ < buffer_.size(); ++seen_) {
    const char c = buffer_[seen_];
    if (c == '"') quoted_ = !quoted_;
    if (c != '\n') continue;
    if (!quoted_) return seen_;
    ++inner_lines_;
  }
  return std::string::npos;
}

pgproto::Status RecordReader::take(size_t rows_max, std::vector<TextRecord>& records) {
  while (records.size() < rows_max && at_ < buffer_.size()) {
    size_t end = find_end();
    if (end == std::string::npos && !ended_) {
      if (buffer_.size() - at_ <= kRecordBytesMax) return {};
      return fail(Errc::kLimit, "line " + std::to_string(line_) + ": a record of more than " +
                                    std::to_string(kRecordBytesMax >> 20) + " MiB");
    }
    const bool last = end == std::string::npos;
    if (last) end = buffer_.size();
    std::string_view text = std::string_view(buffer_).substr(at_, end - at_);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.find_first_not_of(" \t") != std::string_view::npos) {
      records.push_back({line_, std::string(text)});
    }
    line_ += 1 + inner_lines_;
    inner_lines_ = 0;
    quoted_ = false;
    at_ = last ? end : end + 1;
    seen_ = at_;
  }
  return {};
}

pgproto::Result<std::vector<CsvField>> split_csv(std::string_view record, char delimiter) {
  std::vector<CsvField> fields;
  size_t at = 0;
  for (;;) {
    CsvField field;
    if (at < record.size() && record[at] == '"') {
      for (++at;; ++at) {
        const size_t quote = record.find('"', at);
        if (quote == std::string_view::npos) return fail(Errc::kUsage, "a quote is not closed");
        field.text += record.substr(at, quote - at);
        at = quote + 1;
        if (at >= record.size() || record[at] != '"') break;
        field.text += '"';
      }
      if (at < record.size() && record[at] != delimiter) {
        return fail(Errc::kUsage, "field " + std::to_string(fields.size() + 1) +
                                      " goes on behind its closing quote");
      }
    } else {
      const size_t end = std::min(record.find(delimiter, at), record.size());
      field.text = record.substr(at, end - at);
      field.is_null = field.text.empty();
      at = end;
    }
    fields.push_back(std::move(field));
    if (at >= record.size()) return fields;
    ++at;  // The delimiter: another field follows, even an empty one.
  }
}

}  // namespace pgsink::shell
