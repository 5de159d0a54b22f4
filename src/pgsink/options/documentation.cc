// docs/reference/options.md and `pgsink options --json`, both generated from the table.

#include <cstdio>

#include <pgsink/options.h>

#include "pgsink/options/values.h"

namespace pgsink {
namespace {

constexpr std::string_view kIntroduction = R"(# Options of CREATE CONNECTION … TO postgresql

This page is generated from the table that checks the options, so it cannot differ from it.
`pgsink options --json` prints the same table for programs. The words are those of the
[glossary](../explanation/glossary.md).

```sql
CREATE CONNECTION pg_events TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'laminar',
    password = '${secret:pg_password}',
    table = 'events',
    batch_size = 5000
);
```

**Values.** Text is written in single quotes, with a quote inside it doubled (`'it''s'`); `E'…'`
and `$$…$$` work as in PostgreSQL. Numbers and `true`/`false` need no quotes, but may have them. A
list is one text with commas: `'a, b'`. In it, a name with a comma, a blank or a quote needs double
quotes: `'"a,b", c'`. Nothing in a list is folded to lower case. Choices may be written in any case,
with a blank or `_`. Keys may be written in any case.

**Substitution.** Inside every text, `${secret:NAME}` is the content of the file `NAME` in the
secret directory (`--secret-dir`), or else of the environment variable `PGSINK_SECRET_` and the name
in upper case; `${env:NAME}` is an environment variable; `${NAME}` is set by `--set NAME=value`;
`${uuid}`, in `prepared_transaction_id` only, is a new UUID for each transaction; `$${` is a
literal `${`. Within a `url`, secrets and variables of the environment may hold any character: write
them there as they are, without `%XX`. A `url` may also be, or begin with, one that holds a whole
connection string. What was substituted appears in no error, log, metric or trace.

**Marks.** An option with `+` exists in pgsink only; the others are those that the specification of
`CREATE CONNECTION … TO postgresql` has. **Bold** options are required, unless
`url` or a `service` contains the same; `hostaddr` may stand for `host`.
)";

std::string integer_range(const OptionInfo& info) {
  return std::to_string(info.min) + " … " + std::to_string(info.max);
}

std::string values_of(const OptionInfo& info) {
  switch (info.type) {
    case OptionType::kText:
      return "text";
    case OptionType::kInteger:
      return "integer, " + integer_range(info);
    case OptionType::kDecimal:
      return "number, " + integer_range(info);
    case OptionType::kBoolean:
      return "`true`, `false`";
    case OptionType::kColumns:
      return "list of columns";
    case OptionType::kMap:
      return "`MAP { 'name': 'value', … }`";
    case OptionType::kChoice:
      break;
  }
  std::string values;
  for (const std::string_view choice : split_list(info.choices, '|')) {
    values.append(values.empty() ? "`" : ", `").append(choice).append("`");
  }
  return values;
}

std::string default_of(const OptionInfo& info) {
  if (!info.default_text.empty()) return "`" + std::string(info.default_text) + "`";
  return info.unset.empty() ? "–" : std::string(info.unset);
}

/// A cell of a Markdown table cannot contain a bare '|'.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string documentation_row(const OptionInfo& info) {
  const std::string mark = info.required ? "**" : "";
  std::string row = "| " + mark + "`" + std::string(info.key) + "`" + mark;
  if (!info.in_specification) row += " +";
  row += " | " + cell(values_of(info)) + " | " + cell(default_of(info)) + " | ";
  row += cell(info.meaning);
  row += " Example: `" + cell(info.example) + "`.";
  return row + " |\n";
}

std::string_view type_name(OptionType type) {
  switch (type) {
    case OptionType::kText:
      return "text";
    case OptionType::kInteger:
      return "integer";
    case OptionType::kDecimal:
      return "decimal";
    case OptionType::kBoolean:
      return "boolean";
    case OptionType::kChoice:
      return "choice";
    case OptionType::kColumns:
      return "columns";
    case OptionType::kMap:
      return "map";
  }
  return "";
}

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      json += escaped;
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string json_list(std::string_view text) {
  std::string json = "[";
  if (text.empty()) return json + "]";
  for (const std::string_view part : split_list(text, '|')) {
    if (json.size() > 1) json += ", ";
    json += json_text(part);
  }
  return json + "]";
}

std::string json_row(const OptionInfo& info) {
  std::string row = "  {\"key\": " + json_text(info.key);
  const auto add = [&row](std::string_view name, const std::string& json) {
    row.append(", \"").append(name).append("\": ").append(json);
  };
  const auto yes_or_no = [](bool value) { return std::string(value ? "true" : "false"); };
  const bool number = info.type == OptionType::kInteger || info.type == OptionType::kDecimal;
  add("group", json_text(info.group));
  add("type", json_text(type_name(info.type)));
  add("default", info.default_text.empty() ? "null" : json_text(info.default_text));
  add("unset", info.unset.empty() ? "null" : json_text(info.unset));
  add("min", number ? std::to_string(info.min) : "null");
  add("max", number ? std::to_string(info.max) : "null");
  add("choices", json_list(info.choices));
  add("aliases", json_list(info.aliases));
  add("required", yes_or_no(info.required));
  add("secret", yes_or_no(info.secret));
  add("extension", yes_or_no(!info.in_specification));
  add("replaced_by_url", yes_or_no(info.replaced_by_url));
  add("meaning", json_text(info.meaning));
  add("example", json_text(info.example));
  return row + "}";
}

}  // namespace

std::string option_documentation() {
  std::string page(kIntroduction);
  std::string_view group;
  for (const OptionInfo& info : option_table()) {
    if (info.group != group) {
      group = info.group;
      page.append("\n## ").append(group);
      page += "\n\n| Option | Values | Default | Meaning |\n|---|---|---|---|\n";
    }
    page += documentation_row(info);
  }
  return page;
}

std::string option_json() {
  std::string json = "[\n";
  for (const OptionInfo& info : option_table()) {
    if (json.size() > 2) json += ",\n";
    json += json_row(info);
  }
  return json + "\n]\n";
}

}  // namespace pgsink
