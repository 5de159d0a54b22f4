#include "pgsink/lane/dead_letters.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/values/render.h"
#include "pgsink/options/rules.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// A text of a row may be nearly 1 GiB, which neither jsonb nor a statement's parameter would hold.
constexpr size_t kTextBytesMax = size_t{16} << 20;

constexpr std::array<std::string_view, 12> kColumns{
    "rejected_at", "connection", "target", "input_row",       "source_position", "attempts",
    "sqlstate",    "message",    "detail", "constraint_name", "column_name",     "row"};

bool holds_bytes(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kText32:
    case ColumnKind::kText64:
    case ColumnKind::kTextView:
    case ColumnKind::kStdString:
    case ColumnKind::kStdStringView:
      return true;
    default:
      return false;
  }
}

/// A text that claims to be JSON may be rejected because it is none.
Field without_json(Field field) {
  field.json = false;
  for (Field& child : field.children) child = without_json(std::move(child));
  return field;
}

void append_value(const Field& field, const ColumnView& column, size_t row, std::string& to) {
  if (encode::is_null_at(column, row)) {
    to += "null";
    return;
  }
  if (field.json_value) {
    const std::string_view value = encode::bytes_at(column, field, row);
    std::string content;
    const bool string = encode::append_json_content(value, content);
    return encode::append_text_as_json(cut_text(string ? content : value), to);
  }
  if (holds_bytes(field.kind)) {
    return encode::append_text_as_json(cut_text(encode::bytes_at(column, field, row)), to);
  }
  const size_t begin = to.size();
  encode::Fault fault;
  if (encode::render_json(without_json(field), column, row, to, fault) &&
      to.size() - begin <= kTextBytesMax) {
    return;
  }
  if (fault.message.empty()) fault.message = "a value of more than 16 MiB";
  to.resize(begin);
  encode::append_text_as_json("(cannot be shown: " + fault.message + ")", to);
}

std::string text_of(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

std::string missing_columns(const QueryResult& found) {
  std::string missing;
  for (const std::string_view column : kColumns) {
    const bool there =
        std::ranges::any_of(found.rows, [&](const auto& row) { return row[0] == column; });
    if (!there) missing += (missing.empty() ? "\"" : ", \"") + std::string(column) + "\"";
  }
  return missing;
}

/// The statement that creates the table. jsonb holds only characters that the database's encoding
/// has; json keeps escapes of the others as they are written.
Result<std::string> create_statement(const std::string& table, Connection& connection,
                                     Deadline deadline) {
  const auto shown = run_control(connection, sql_text(Sql::kServerEncoding), deadline);
  if (!shown) return fail(shown.error());
  const std::string encoding = cell(*shown, 0, 0);
  // SQL_ASCII holds any bytes.
  const bool holds_all = encoding == "UTF8" || encoding == "SQL_ASCII";
  return sql_text(Sql::kCreateDeadLetters, {table, holds_all ? "jsonb" : "json"});
}

/// The length of the UTF-8 character that `text` begins with, and its code point; 0 if it is none.
std::pair<size_t, uint32_t> first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t length = lead < 0x80    ? 1
                        : lead >= 0xF0 ? 4
                        : lead >= 0xE0 ? 3
                        : lead >= 0xC0 ? 2
                                       : 0;
  if (length == 0 || length > text.size()) return {0, 0};
  uint32_t point = length == 1 ? lead : lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0U) != 0x80U) return {0, 0};
    point = (point << 6U) | (next & 0x3FU);
  }
  return {length, point};
}

void append_hex_unit(uint32_t unit, std::string& to) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int shift = 12; shift >= 0; shift -= 4) {
    to += kDigits[(unit >> static_cast<unsigned>(shift)) & 15U];
  }
}

/// The text in ASCII: every other character becomes `mark` and the digits of its UTF-16 units. A
/// text that is not UTF-8 stays as it is.
std::string in_ascii(std::string_view text, std::string_view mark) {
  std::string ascii;
  ascii.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const auto [length, point] = first_character(rest);
    if (length == 0) return std::string(text);
    if (length == 1) {
      ascii += rest.front();
    } else if (point < 0x10000) {
      append_hex_unit(point, ascii.append(mark));
    } else {
      const uint32_t above = point - 0x10000;
      append_hex_unit(0xD800U + (above >> 10U), ascii.append(mark));
      append_hex_unit(0xDC00U + (above & 0x3FFU), ascii.append(mark));
    }
    rest.remove_prefix(length);
  }
  return ascii;
}

DeadLetter in_ascii(DeadLetter letter, LetterForm form) {
  for (std::string* text : {&letter.connection, &letter.table, &letter.message, &letter.detail,
                            &letter.constraint, &letter.column}) {
    *text = in_ascii(*text, "\\u");
  }
  const std::string row = in_ascii(letter.row, form == LetterForm::kEscaped ? "\\u" : "\\\\u");
  // As a text in the parameter: json_to_recordset() would resolve the escapes of an object.
  letter.row.clear();
  encode::append_text_as_json(row, letter.row);
  return letter;
}

std::string table_name(const SinkOptions& options) {
  return options.schema + "." + options.dead_letter_table;
}

}  // namespace

std::string_view cut_text(std::string_view text) {
  if (text.size() <= kTextBytesMax) return text;
  size_t end = kTextBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

DeadLetter letter_of(const RejectedInput& input, const std::string& connection,
                     const std::string& table, int64_t wall_us) {
  DeadLetter letter;
  letter.connection = connection;
  letter.table = table;
  letter.input_row = letter.source_position = input.number;
  letter.attempts = 1;
  letter.sqlstate = std::string(input.error.sqlstate.view());
  letter.message = input.error.message;
  letter.detail = input.error.detail;
  letter.column = input.error.column;
  letter.row = "{\"input\":";
  encode::append_text_as_json(cut_text(input.text), letter.row);
  letter.row += '}';
  letter.rejected_wall_us = wall_us;
  return letter;
}

std::string row_as_json(const RecordBatch& batch, size_t row) {
  std::string json = "{";
  const Schema& schema = *batch.schema();
  for (size_t i = 0; i < schema.size(); ++i) {
    if (i > 0) json += ',';
    encode::append_text_as_json(schema[i].name, json);
    json += ':';
    append_value(schema[i], batch.columns()[i], row, json);
  }
  return json + "}";
}

Status ensure_dead_letter_table(const SinkOptions& options, bool may_create, Connection& connection,
                                Deadline deadline) {
  constexpr int kAttemptsMax = 5;
  Quoted quoted;
  const std::string table =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.dead_letter_table);
  std::string role;
  if (!options.set_role.empty()) {
    role = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; ";
  }
  const std::string look =
      sql_text(Sql::kDeadLetterColumns,
               {quoted.literal(options.schema), quoted.literal(options.dead_letter_table)});
  if (!quoted.status()) return quoted.status();
  const std::string name = "dead_letter_table " + table_name(options);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const auto found = run_control(connection, role + look, deadline);
    if (!found) return fail(found.error());
    if (!found->rows.empty()) {
      if (const std::string missing = missing_columns(*found); !missing.empty()) {
        const auto create = create_statement(table, connection, deadline);
        if (!create) return fail(create.error());
        return fail(Errc::kControlTable,
                    text_of({name, " lacks columns that pgsink fills: ", missing,
                             "; give another name and it is created, or run: ", *create}));
      }
      const bool closed = std::ranges::any_of(found->rows, [](const auto& row) {
        return row[1] != "t" && std::ranges::find(kColumns, *row[0]) != kColumns.end();
      });
      if (!closed) return {};
      return fail(Errc::kPrivilege,
                  text_of({name, ": the role may not fill all of its columns: GRANT INSERT ON ",
                           table, " TO ", role_to_grant(connection, role, deadline)}));
    }
    if (!may_create) return {};
    const auto create = create_statement(table, connection, deadline);
    if (!create) return fail(create.error());
    const auto created = run_control(connection, role + *create, deadline);
    if (created || (!connection.broken() && lost_creation_race(created.error()))) continue;
    Error error = created.error();
    std::string grant;
    if (error.sqlstate == "42501") {
      error.code = Errc::kPrivilege;
      grant = text_of({"GRANT CREATE ON SCHEMA ", quoted.identifier(options.schema), " TO ",
                       role_to_grant(connection, role, deadline), ", or "});
    }
    error.message = text_of({name, " is missing and cannot be created (", error.message,
                             "): ", grant, "let the owner of the schema run: ", *create});
    return fail(std::move(error));
  }
  return fail(Errc::kControlTable,
              text_of({name, " is created and dropped again and again by other sessions"}));
}

DeadLetters::DeadLetters(const SinkOptions& options, Env& env)
    : rejects_max_(options.max_rejects),
      ratio_max_(options.max_reject_ratio),
      callback_(options.on_dead_letters),
      monitor_(env.tasks.monitor()),
      file_monitor_(env.tasks.monitor()) {}

Result<std::unique_ptr<DeadLetters>> DeadLetters::open(const SinkOptions& options, Env& env) {
  if (!takes_dead_letters(options)) return nullptr;
  std::unique_ptr<DeadLetters> letters(new DeadLetters(options, env));
  if (!options.dead_letter_table.empty()) {
    Quoted quoted;
    const std::string table =
        quoted.identifier(options.schema) + "." + quoted.identifier(options.dead_letter_table);
    if (!quoted.status()) return fail(quoted.status().error());
    letters->insert_sql_ = sql_text(Sql::kDeadLetterInsert, {table});
  }
  if (!options.dead_letter_file.empty()) {
    auto file = DeadLetterFile::open(options.dead_letter_file, env);
    if (!file) return fail(file.error());
    letters->file_ = std::move(*file);
  }
  return letters;
}

Status DeadLetters::count(const DeadLetter& letter, uint64_t rows_seen) {
  uint64_t rejected = 0;
  {
    const Monitor::Lock lock(*monitor_);
    rejected = ++rejected_;
    // Several flights are in progress: rejections of a later one count already.
    rows_seen = seen_ = std::max(seen_, rows_seen);
  }
  std::string limit;
  if (rejects_max_ > 0 && rejected > static_cast<uint64_t>(rejects_max_)) {
    limit = "max_rejects = " + std::to_string(rejects_max_);
  }
  // With one rejected row among a few there is no meaningful ratio yet.
  const double allowed = ratio_max_ ? *ratio_max_ * static_cast<double>(rows_seen) : 0;
  const uint64_t grace = ratio_max_ && *ratio_max_ > 0 ? 1 : 0;
  if (ratio_max_ && rejected > grace && static_cast<double>(rejected) > allowed) {
    limit = "max_reject_ratio = " + std::to_string(*ratio_max_) + " of " +
            std::to_string(rows_seen) + " rows";
  }
  if (limit.empty()) return {};
  Error error;
  error.code = Errc::kRowRejected;
  error.sqlstate = pgproto::Sqlstate(letter.sqlstate);
  error.message = std::to_string(rejected) + " rows are rejected, more than " + limit +
                  "; the last: " + letter.message + " (input row " +
                  std::to_string(letter.input_row) + ")";
  return fail(std::move(error));
}

void DeadLetters::forget(size_t letters) {
  const Monitor::Lock lock(*monitor_);
  rejected_ -= letters;
}

Status DeadLetters::tell(std::span<const DeadLetter> letters) {
  if (file_ != nullptr) {
    // Held while the disk writes, unlike every other lock: rejected rows are rare, and a lane that
    // has some must wait for that in any case.
    const Monitor::Lock lock(*file_monitor_);
    if (auto written = file_->append(letters); !written) return written;
  }
  return callback_ ? callback_(letters) : Status();
}

size_t DeadLetters::inserted_together(std::span<const DeadLetter> letters) {
  // The server reads a parameter as a whole.
  constexpr size_t kInsertBytesMax = size_t{64} << 20;
  size_t count = 1;
  for (size_t bytes = letters[0].row.size(); count < letters.size(); ++count) {
    bytes += letters[count].row.size();
    if (bytes > kInsertBytesMax) break;
  }
  return count;
}

std::string DeadLetters::table_parameter(std::span<const DeadLetter> letters, LetterForm form) {
  std::string json = "[";
  for (const DeadLetter& letter : letters) {
    if (json.size() > 1) json += ',';
    json += letter_as_json(form == LetterForm::kUtf8 ? letter : in_ascii(letter, form));
  }
  return json + "]";
}

}  // namespace pgsink
