#include "pgsink/lane/dead_letter_file.h"

#include <chrono>
#include <climits>
#include <cstdio>
#include <utility>

#include <zlib.h>

#include "pgsink/encode/values/render.h"

namespace pgsink {
namespace {

constexpr int kGzip = 15 + 16;  ///< The largest window, with gzip's header and checksum.

Error unusable(const std::string& path, std::string_view why) {
  Error error;
  error.code = Errc::kFile;
  error.message = "dead_letter_file " + path + ": " + std::string(why);
  return error;
}

/// Bytes of the whole gzip members that `text` begins with.
size_t whole_members(const std::string& text) {
  size_t whole = 0;
  std::string ignored(size_t{64} << 10, '\0');
  while (whole < text.size()) {
    z_stream stream{};
    if (inflateInit2(&stream, kGzip) != Z_OK) return whole;
    // zlib's interface predates const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data() + whole));
    stream.avail_in = static_cast<uInt>(text.size() - whole);
    int state = Z_OK;
    while (state == Z_OK) {
      stream.next_out = reinterpret_cast<Bytef*>(ignored.data());
      stream.avail_out = static_cast<uInt>(ignored.size());
      state = inflate(&stream, Z_NO_FLUSH);
    }
    const size_t used = text.size() - whole - stream.avail_in;
    inflateEnd(&stream);
    if (state != Z_STREAM_END) return whole;
    whole += used;
  }
  return whole;
}

Result<std::string> compress(const std::string& text) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
  std::string bytes(deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int state = deflate(&stream, Z_FINISH);
  bytes.resize(bytes.size() - stream.avail_out);
  deflateEnd(&stream);
  if (state != Z_STREAM_END) return fail(Errc::kInternal, "zlib did not finish");
  return bytes;
}

/// As ISO 8601 has it, in UTC.
std::string utc_text(int64_t wall_us) {
  using std::chrono::microseconds;
  const microseconds since_epoch(wall_us);
  const auto day = std::chrono::floor<std::chrono::days>(since_epoch);
  const std::chrono::year_month_day date{std::chrono::sys_days(day)};
  const std::chrono::hh_mm_ss time(since_epoch - day);
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()),
                static_cast<int>(time.subseconds().count()));
  return text;
}

}  // namespace

std::string letter_as_json(const DeadLetter& letter) {
  std::string line = "{";
  const auto name = [&](std::string_view key) {
    if (line.size() > 1) line += ',';
    line.append("\"").append(key).append("\":");
  };
  const auto text = [&](std::string_view key, std::string_view value) {
    name(key);
    if (value.empty()) {
      line += "null";
    } else {
      encode::append_text_as_json(value, line);
    }
  };
  const auto number = [&](std::string_view key, auto value) {
    name(key);
    line += std::to_string(value);
  };
  text("rejected_at", utc_text(letter.rejected_wall_us));
  text("connection", letter.connection);
  text("target", letter.table);
  number("input_row", letter.input_row);
  number("source_position", letter.source_position);
  number("attempts", letter.attempts);
  text("sqlstate", letter.sqlstate);
  text("message", letter.message);
  text("detail", letter.detail);
  text("constraint_name", letter.constraint);
  text("column_name", letter.column);
  name("row");
  line += letter.row;
  return line + "}";
}

Result<std::unique_ptr<DeadLetterFile>> DeadLetterFile::open(std::string path, Env& env,
                                                             uint64_t file_bytes_max) {
  std::unique_ptr<DeadLetterFile> file(new DeadLetterFile(std::move(path), env, file_bytes_max));
  if (auto opened = file->open_file(); !opened) return fail(opened.error());
  return file;
}

Status DeadLetterFile::open_file() {
  auto opened = env_.files.open_to_append(path_);
  if (!opened) return fail(unusable(path_, opened.error().message));
  const auto text = env_.files.read(path_, UINT_MAX);
  if (!text) return fail(unusable(path_, text.error().message));
  const size_t whole = whole_members(*text);
  // A file that another program wrote is not ours to cut.
  constexpr std::string_view kGzipMagic = "\x1f\x8b";
  if (whole == 0 && !text->empty() && !text->starts_with(kGzipMagic)) {
    return fail(unusable(path_, "it exists and is not a gzip file: use another name"));
  }
  if (whole < text->size()) {
    if (auto cut = (*opened)->truncate(whole); !cut) return cut;
  }
  bytes_ = whole;
  file_ = std::move(*opened);
  return {};
}

/// The file gets the next free number after its name.
Status DeadLetterFile::rotate() {
  file_.reset();
  for (uint64_t number = 1;; ++number) {
    const auto renamed = env_.files.rename(path_, path_ + "." + std::to_string(number));
    if (!renamed) return fail(unusable(path_, renamed.error().message));
    if (*renamed) break;
  }
  return open_file();
}

Status DeadLetterFile::append(std::span<const DeadLetter> letters) {
  if (file_ == nullptr) return fail(unusable(path_, "an earlier write to it failed"));
  // In pieces, so that no more than this is held twice.
  constexpr size_t kPieceBytes = size_t{16} << 20;
  std::string lines;
  Status outcome;
  const auto write = [&]() -> Status {
    const auto bytes = compress(lines);
    if (!bytes) return fail(bytes.error());
    lines.clear();
    bytes_ += bytes->size();
    return file_->append(*bytes);
  };
  for (const DeadLetter& letter : letters) {
    lines += letter_as_json(letter) + "\n";
    if (outcome && lines.size() >= kPieceBytes) outcome = write();
  }
  if (outcome && !lines.empty()) outcome = write();
  if (outcome) outcome = file_->sync();
  if (!outcome) {
    file_.reset();
    return fail(unusable(path_, outcome.error().message));
  }
  return bytes_ < file_bytes_max_ ? Status() : rotate();
}

}  // namespace pgsink
