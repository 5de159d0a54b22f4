#include "pgsink/sink/job_ticket.h"

#include <charconv>
#include <concepts>
#include <limits>

namespace pgsink {
namespace {

constexpr std::string_view kTicketMark = "pgsink-ticket-1", kTokenMark = "pgsink-token-1";
constexpr size_t kDepthMax = 64;  // Of nested columns: more than any schema has.

/// Writer puts texts and numbers one after the other, separated by ':'.
class Writer {
 public:
  explicit Writer(std::string_view mark) : text_(mark) {}

  void put(std::string_view value) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    text_ += ':';
    for (const char c : value) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
      if (plain) {
        text_ += c;
      } else {
        const auto byte = static_cast<unsigned char>(c);
        text_.append({'%', kHex[byte >> 4], kHex[byte & 15]});
      }
    }
  }
  void put(std::integral auto value) { put(std::string_view(std::to_string(value))); }

  void put(const Field& field) {
    put(field.name);
    put(static_cast<int>(field.kind));
    put(static_cast<int>(field.unit));
    put(field.scale);
    put(field.precision);
    put(field.width);
    put(static_cast<int>(field.index_kind));
    put((field.utc ? 1 : 0) | (field.json ? 2 : 0) | (field.json_value ? 4 : 0) |
        (field.infinities ? 8 : 0));
    put(field.children.size());
    for (const Field& child : field.children) put(child);
  }

  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

/// Reader takes them apart again. After a fault every value is empty, and ok() is false.
class Reader {
 public:
  Reader(std::string_view text, std::string_view mark) : rest_(text) { ok_ = take() == mark; }

  std::string text() {
    std::string value;
    const std::string_view raw = take();
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '%') {
        value += raw[i];
        continue;
      }
      unsigned byte = 0;
      const char* const digits = raw.data() + i + 1;
      const bool two = raw.size() - i > 2;
      if (!two || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) ok_ = false;
      if (!ok_) return {};
      value += static_cast<char>(byte);
      i += 2;
    }
    return value;
  }

  template <std::integral T>
  T number(T greatest = std::numeric_limits<T>::max()) {
    const std::string_view raw = take();
    T value = 0;
    const auto read = std::from_chars(raw.data(), raw.data() + raw.size(), value);
    if (read.ec != std::errc() || read.ptr != raw.data() + raw.size() || value > greatest) {
      ok_ = false;
    }
    return ok_ ? value : T{};
  }
  bool flag() { return number<int>(1) == 1; }

  Field field(size_t depth = 0) {
    constexpr int kKinds = static_cast<int>(ColumnKind::kDictionary);
    Field field;
    field.name = text();
    field.kind = static_cast<ColumnKind>(number<uint8_t>(kKinds));
    field.unit = static_cast<TimeUnit>(number<uint8_t>(static_cast<int>(TimeUnit::kNano)));
    field.scale = number<int32_t>();
    field.precision = number<int32_t>();
    field.width = number<int32_t>();
    field.index_kind = static_cast<ColumnKind>(number<uint8_t>(kKinds));
    const auto flags = number<unsigned>(15);
    field.utc = (flags & 1) != 0;
    field.json = (flags & 2) != 0;
    field.json_value = (flags & 4) != 0;
    field.infinities = (flags & 8) != 0;
    const auto children = number<size_t>(rest_.size());
    if (depth > kDepthMax) ok_ = false;
    for (size_t i = 0; ok_ && i < children; ++i) field.children.push_back(this->field(depth + 1));
    return field;
  }

  bool ok() const { return ok_; }
  /// Whether everything was read.
  bool at_end() const { return ok_ && done_; }
  size_t bytes_left() const { return rest_.size(); }

 private:
  std::string_view take() {
    if (done_) ok_ = false;
    const size_t end = rest_.find(':');
    const std::string_view value = rest_.substr(0, end);
    done_ = end == std::string_view::npos;
    rest_.remove_prefix(done_ ? rest_.size() : end + 1);
    return value;
  }

  std::string_view rest_;
  bool ok_ = true, done_ = false;
};

}  // namespace

Schema schema_of(const JobTicket& ticket) {
  Schema schema;
  schema.reserve(ticket.columns.size());
  for (const JobColumn& column : ticket.columns) schema.push_back(column.field);
  return schema;
}

std::string write_ticket(const JobTicket& ticket) {
  Writer to(kTicketMark);
  for (const std::string* text : {&ticket.sink_id, &ticket.schema, &ticket.table, &ticket.writer,
                                  &ticket.host, &ticket.stage, &ticket.part, &ticket.ordinal}) {
    to.put(*text);
  }
  to.put(ticket.epoch);
  to.put(static_cast<int>(ticket.atomic));
  for (const bool flag : {ticket.numbered, ticket.replace, ticket.committed}) to.put(flag ? 1 : 0);
  to.put(ticket.columns.size());
  for (const JobColumn& column : ticket.columns) {
    to.put(column.staged_as);
    to.put(column.field);
  }
  return to.take();
}

Result<JobTicket> read_ticket(std::string_view text) {
  Reader from(text, kTicketMark);
  JobTicket ticket;
  for (std::string* to : {&ticket.sink_id, &ticket.schema, &ticket.table, &ticket.writer,
                          &ticket.host, &ticket.stage, &ticket.part, &ticket.ordinal}) {
    *to = from.text();
  }
  ticket.epoch = from.number<uint64_t>();
  ticket.atomic = static_cast<Atomic>(from.number<uint8_t>(static_cast<int>(Atomic::kNone)));
  for (bool* flag : {&ticket.numbered, &ticket.replace, &ticket.committed}) *flag = from.flag();
  const auto columns = from.number<size_t>(from.bytes_left());
  for (size_t i = 0; from.ok() && i < columns; ++i) {
    JobColumn column;
    column.staged_as = from.text();
    column.field = from.field();
    ticket.columns.push_back(std::move(column));
  }
  if (from.at_end()) return ticket;
  return fail(Errc::kUsage,
              "that is not a ticket of a job of this version of pgsink: pass the text of "
              "Job::ticket() unchanged, and use one version for driver and parts");
}

std::string write_token(const PartToken& token) {
  Writer to(kTokenMark);
  to.put(token.writer);
  to.put(token.partition);
  to.put(token.part);
  to.put(token.rows);
  to.put(token.rejected);
  to.put(token.gid);
  return to.take();
}

Result<PartToken> read_token(std::string_view text) {
  Reader from(text, kTokenMark);
  PartToken token;
  token.writer = from.text();
  token.partition = from.number<uint32_t>();
  token.part = from.number<int64_t>();
  token.rows = from.number<uint64_t>();
  token.rejected = from.number<uint64_t>();
  token.gid = from.text();
  if (from.at_end()) return token;
  return fail(Errc::kUsage,
              "that is not a token of a part of this version of pgsink: pass the texts of "
              "finish_part() unchanged");
}

}  // namespace pgsink
