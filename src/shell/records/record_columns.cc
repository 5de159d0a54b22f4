#include "shell/records/record_columns.h"

#include <algorithm>

#include <pgproto/utf8.h>

#include "pgsink/encode/parse/json_value.h"
#include "pgsink/options/names.h"

namespace pgsink::shell {
namespace {

using Fault = std::unexpected<std::string>;

/// The message for a value that does not fit the type of an open column.
Fault not_as_sampled(const RecordColumn& column, const std::string& why) {
  return Fault("column '" + column.name + "': " + why +
               ", the type inferred from the first lines; give columns to set another");
}

Fault in_column(const RecordColumn& column, const std::string& why) {
  return Fault("column '" + column.name + "': " + why);
}

std::expected<void, std::string> check_text(std::string_view record) {
  const size_t at = pgproto::utf8_fault_at(record);
  if (at == std::string_view::npos) return {};
  return Fault(record[at] == '\0' ? "it holds a NUL byte" : "it is not valid UTF-8");
}

std::string_view without_blanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

/// A name that a query cannot distinguish from an earlier one; "" if there is none.
std::string repeated_name(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!equal_without_case(names[i], names[j])) continue;
      return "'" + names[j] + "'" + (names[i] == names[j] ? "" : " and '" + names[i] + "'");
    }
  }
  return "";
}

}  // namespace

void RecordColumns::set_uses(std::span<const ColumnUse> uses, bool complete) {
  if (!open()) return;
  hidden_ = 0;
  for (size_t i = 0; i < columns_.size(); ++i) {
    RecordColumn& column = columns_[i];
    const ColumnUse& use = uses[i];
    column.json_value = column.keeps_text = false;
    column.hidden = use.hidden;
    column.hidden_at = columns_.size() + hidden_;
    hidden_ += use.hidden ? 1 : 0;
    column.type = ExactType{.kind = ExactType::Kind::kText, .name = "VARCHAR"};
    if (!use.computed()) {
      column.json_value = writes_json();
    } else if (use.number || use.other) {
      column.type = column.samples.type(use, complete);
      column.keeps_text = use.passed;
    }
    column.sql_type = column.type.name;
    column.stays_text = (use.number || use.other) && column.type.kind == ExactType::Kind::kText;
  }
}

std::string RecordColumns::texts_note() const {
  std::string names;
  size_t count = 0;
  for (const RecordColumn& column : columns_) {
    if (column.declared || !column.stays_text) continue;
    names += (count++ == 0 ? "'" : ", '") + column.name + "'";
  }
  if (count == 0) return "";
  return "; " + names + (count == 1 ? " is" : " are") +
         " text, because no type of the engine keeps the first values as they are written: cast " +
         (count == 1 ? "it" : "them") + " in the query, or give columns";
}

// ---- JSON ---------------------------------------------------------------------------------------

JsonColumns::JsonColumns(std::vector<RecordColumn> declared) {
  columns_ = std::move(declared);
  for (size_t i = 0; i < columns_.size(); ++i) by_key_[columns_[i].name] = i;
}

std::expected<void, std::string> JsonColumns::sample(std::string_view record) {
  if (auto text = check_text(record); !text) return text;
  const auto members = reader_.read_object(record);
  if (!members) return Fault(members.error());
  for (const JsonMember& member : *members) {
    const auto [found, added] = by_key_.try_emplace(std::string(member.key), columns_.size());
    if (added) {
      columns_.emplace_back().name = member.key;
    }
    columns_[found->second].samples.add_json(member.value);
  }
  return {};
}

std::expected<RecordValues, std::string> JsonColumns::read(std::string_view record) {
  if (auto text = check_text(record); !text) return Fault(text.error());
  const auto members = reader_.read_object(record);
  if (!members) return Fault(members.error());
  RecordValues values(this->values());
  for (const JsonMember& member : *members) {
    const auto found = by_key_.find(member.key);
    if (found == by_key_.end()) {
      if (on_unknown_) on_unknown_(member.key);
      continue;
    }
    // The last member of the same name counts, as in jsonb.
    const RecordColumn& column = columns_[found->second];
    auto value = convert(column, member.value);
    if (!value) return Fault(value.error());
    values[found->second] = std::move(*value);
    if (!column.hidden) continue;
    const bool null = member.value.kind == JsonKind::kNull;
    values[column.hidden_at] = null ? std::nullopt : std::optional<std::string>(member.value.text);
  }
  return values;
}

std::expected<std::optional<std::string>, std::string> JsonColumns::convert(
    const RecordColumn& column, const JsonValue& value) {
  if (value.kind == JsonKind::kNull) return std::nullopt;
  if (column.json_value) return std::string(value.text);
  auto exact = exact_json(column.type, value, nested_);
  if (column.declared) return exact ? exact : in_column(column, exact.error());
  if (!exact) return not_as_sampled(column, exact.error());
  std::string content;
  const bool string = value.kind == JsonKind::kString;
  if (string) (void)encode::append_json_content(value.text, content);
  const std::string_view written = string ? std::string_view(content) : value.text;
  const bool kept = !column.keeps_text || prints_as(column.type, written);
  return kept ? exact
              : not_as_sampled(
                    column, "'" + std::string(written) + "' would change as " + column.type.name);
}

// ---- CSV ----------------------------------------------------------------------------------------

std::expected<void, std::string> CsvColumns::set_header(std::string_view record) {
  if (auto text = check_text(record); !text) return text;
  const auto fields = split_csv(record, dialect_);
  if (!fields) return Fault(fields.error());
  std::vector<std::string> names;
  for (const CsvField& field : *fields) {
    std::string name(field.quoted ? field.text : without_blanks(field.text));
    if (name.empty()) name = "column" + std::to_string(names.size() + 1);
    names.push_back(std::move(name));
  }
  if (const std::string repeated = repeated_name(names); !repeated.empty()) {
    return Fault("two fields have the name " + repeated);
  }
  width_ = names.size();
  if (!columns_.empty()) return match_declared(names);
  for (size_t i = 0; i < names.size(); ++i) {
    RecordColumn& column = columns_.emplace_back();
    column.name = names[i];
    column.field = i;
  }
  return {};
}

std::expected<void, std::string> CsvColumns::match_declared(const std::vector<std::string>& names) {
  std::string missing;
  for (RecordColumn& column : columns_) {
    auto found = std::ranges::find(names, column.name);
    if (found == names.end()) {
      found = std::ranges::find_if(
          names, [&](const std::string& name) { return equal_without_case(name, column.name); });
    }
    if (found == names.end()) missing += " '" + column.name + "'";
    column.field = static_cast<size_t>(found - names.begin());
  }
  if (missing.empty()) return {};
  return Fault("it has no field" + missing);
}

void CsvColumns::set_fields_in_order() {
  width_ = columns_.size();
  for (size_t i = 0; i < columns_.size(); ++i) columns_[i].field = i;
}

std::expected<std::vector<CsvField>, std::string> CsvColumns::split(std::string_view record) const {
  if (auto text = check_text(record); !text) return Fault(text.error());
  auto fields = split_csv(record, dialect_);
  if (!fields || fields->size() == width_) return fields;
  return Fault("it has " + std::to_string(fields->size()) +
               (fields->size() == 1 ? " field, not " : " fields, not ") + std::to_string(width_));
}

std::expected<void, std::string> CsvColumns::sample(std::string_view record) {
  const auto fields = split(record);
  if (!fields) return Fault(fields.error());
  for (RecordColumn& column : columns_) {
    const CsvField& field = (*fields)[column.field];
    if (field.is_null) {
      column.samples.add_null();
    } else {
      column.samples.add_text(field.text);
    }
  }
  return {};
}

std::expected<RecordValues, std::string> CsvColumns::read(std::string_view record) {
  auto fields = split(record);
  if (!fields) return Fault(fields.error());
  RecordValues values(this->values());
  for (size_t i = 0; i < columns_.size(); ++i) {
    const RecordColumn& column = columns_[i];
    CsvField& field = (*fields)[column.field];
    if (field.is_null) continue;
    if (column.hidden) values[column.hidden_at] = field.text;
    if (column.type.kind == ExactType::Kind::kText) {
      values[i] = std::move(field.text);
      continue;
    }
    auto exact = exact_text(column.type, field.text, nested_);
    if (!exact) {
      return column.declared ? in_column(column, exact.error())
                             : not_as_sampled(column, exact.error());
    }
    if (column.keeps_text && !prints_as(column.type, field.text)) {
      return not_as_sampled(column, "'" + field.text + "' would change as " + column.type.name);
    }
    values[i] = std::move(*exact);
  }
  return values;
}

}  // namespace pgsink::shell
