// CREATE CONNECTION and DROP CONNECTION.
//
// No message of this file shows the statement's text: it may be a password with a quote too many.
// The position says where to look, and render_diagnostic() hides the value.

#include "pgsink/ddl/connection.h"

#include "pgsink/options/names.h"

namespace pgsink {

// create: CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name TO system ( options )
std::expected<Statement, std::vector<Diagnostic>> ConnectionParser::create(bool or_replace) {
  std::vector<Diagnostic> faults;
  auto connection = head(or_replace);
  if (connection) {
    options(*connection, faults);
    if (faults.empty()) return std::move(*connection);
  } else {
    faults.push_back(std::move(connection.error()));
  }
  return std::unexpected(std::move(faults));
}

Parsed<CreateConnection> ConnectionParser::head(bool or_replace) {
  if (auto text = check_text(DdlLimits::kConnectionBytesMax); !text) {
    return std::unexpected(std::move(text.error()));
  }
  CreateConnection connection;
  connection.or_replace = or_replace;
  while (!accept_word("CONNECTION")) take();
  const Token if_word = peek();
  connection.if_not_exists = accept_words({"IF", "NOT", "EXISTS"});
  if (or_replace && connection.if_not_exists) {
    return fail_at(if_word, "OR REPLACE and IF NOT EXISTS exclude each other; choose one");
  }
  auto own_name = name("the connection's name");
  if (!own_name) return std::unexpected(std::move(own_name.error()));
  connection.name = std::move(own_name->text);
  connection.name_position = own_name->begin;
  connection.name_length = own_name->length;
  if (peek().is_symbol('.')) {
    return fail_here(
        "the name of a connection has no schema: leave it out, or write a name with a dot in "
        "double quotes, such as \"a.b\"");
  }
  if (!accept_word("TO")) return fail_here("expected TO after the connection's name");
  auto system = name("the system to connect to, for example postgresql");
  if (!system) return std::unexpected(std::move(system.error()));
  connection.system = lower_ascii(system->text);
  connection.system_position = system->begin;
  connection.system_length = system->length;
  if (!accept_symbol('(')) return fail_here("expected '(' and the options");
  return connection;
}

// options: [ option { , option } ] )
void ConnectionParser::options(CreateConnection& connection, std::vector<Diagnostic>& faults) {
  const auto note = [&faults](Diagnostic fault) { faults.push_back(std::move(fault)); };
  while (!accept_symbol(')')) {
    if (faults.size() >= DdlLimits::kFaultsMax) return;
    if (peek().is_symbol(',')) {
      note(fail_here("expected an option before this comma").error());
      take();
      continue;
    }
    if (connection.options.size() == DdlLimits::kOptionsMax) {
      const std::string limit = std::to_string(DdlLimits::kOptionsMax);
      note(fail_here("a connection takes at most " + limit + " options", Errc::kLimit).error());
      return;
    }
    if (auto parsed = option()) {
      connection.options.push_back(std::move(*parsed));
    } else {
      note(std::move(parsed.error()));
      skip_to_next_option();
      if (peek().kind == TokenKind::kEnd || peek().kind == TokenKind::kUnclosed) return;
    }
    const Token comma = peek();
    if (accept_symbol(',')) {
      if (peek().is_symbol(')')) {
        note(fail_at(comma, "no option follows this comma; remove it").error());
      }
    } else if (peek().kind == TokenKind::kEnd || peek().kind == TokenKind::kUnclosed) {
      note(fail_here("expected ')' after the last option").error());
      return;
    } else if (!peek().is_symbol(')')) {
      note(fail_here("expected ',' or ')' after the option").error());
      const bool comma_forgotten =
          peek().kind == TokenKind::kWord || peek().kind == TokenKind::kQuotedName;
      if (!comma_forgotten) skip_to_next_option();
      if (!comma_forgotten) accept_symbol(',');
    }
  }
  if (auto end = expect_end("the ')' of the options"); !end) note(std::move(end.error()));
}

/// After a fault: skips to the comma or bracket that ends the option.
void ConnectionParser::skip_to_next_option() {
  size_t depth = inside_map_ ? 1 : 0;
  inside_map_ = false;
  while (peek().kind != TokenKind::kEnd && peek().kind != TokenKind::kUnclosed) {
    const bool closes = peek().is_symbol(')') || peek().is_symbol('}') || peek().is_symbol(']');
    const bool opens = peek().is_symbol('(') || peek().is_symbol('{') || peek().is_symbol('[');
    if (depth == 0 && (peek().is_symbol(')') || peek().is_symbol(','))) return;
    if (opens) ++depth;
    if (closes && depth > 0) --depth;
    take();
  }
}

// option: key = value
Parsed<RawOption> ConnectionParser::option() {
  auto key = name("an option such as host = 'localhost'");
  if (!key) return std::unexpected(std::move(key.error()));
  if (!accept_symbol('=')) return fail_here("expected '=' after the option's key");
  if (peek().is_symbol('>')) return fail_here("write '=', not '=>', between key and value");
  RawOption option;
  option.key = std::move(key->text);
  option.key_position = key->begin;
  option.key_length = key->length;
  option.value_position = peek().begin;
  auto parsed = value();
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  option.value = std::move(*parsed);
  option.value_length = last_end() - option.value_position.offset;
  return option;
}

// value: 'text'  |  number  |  true  |  false  |  MAP { … }
Parsed<OptionValue> ConnectionParser::value() {
  using Kind = OptionValue::Kind;
  if (peek().kind == TokenKind::kText) {
    auto text = decode_text(peek());
    if (!text) return fail_here(std::move(text.error()));
    take();
    return OptionValue{.kind = Kind::kText, .text = std::move(*text)};
  }
  if (accept_word("TRUE")) return OptionValue{.kind = Kind::kBoolean, .text = "true"};
  if (accept_word("FALSE")) return OptionValue{.kind = Kind::kBoolean, .text = "false"};
  if (accept_word("MAP")) return map();
  if (peek().kind == TokenKind::kNumber || peek().is_symbol('-') || peek().is_symbol('+')) {
    return number();
  }
  if (peek().kind == TokenKind::kQuotedName) {
    return fail_here("double quotes are for names; a text value must be in single quotes");
  }
  if (peek().is_word("NULL")) return fail_here("NULL is not allowed; leave the option out");
  return fail_here(
      "expected a value: text in single quotes, a number, true, false or MAP { 'name': 'value' }");
}

// number: [+|-] digits [. digits] [e [+|-] digits]
Parsed<OptionValue> ConnectionParser::number() {
  OptionValue value{.kind = OptionValue::Kind::kInteger};
  if (peek().is_symbol('-')) value.text = "-";
  if (peek().is_symbol('-') || peek().is_symbol('+')) take();
  const std::string_view digits = peek().text;
  size_t i = 0;
  size_t count = 0;
  const auto take_digits = [&] {
    for (; i < digits.size() && digits[i] >= '0' && digits[i] <= '9'; ++i) ++count;
  };
  take_digits();
  if (i < digits.size() && digits[i] == '.') {
    value.kind = OptionValue::Kind::kDecimal;
    ++i;
    take_digits();
  }
  bool valid = peek().kind == TokenKind::kNumber && count > 0;
  if (valid && i < digits.size() && (digits[i] == 'e' || digits[i] == 'E')) {
    value.kind = OptionValue::Kind::kDecimal;
    ++i;
    if (i < digits.size() && (digits[i] == '+' || digits[i] == '-')) ++i;
    count = 0;
    take_digits();
    valid = count > 0;
  }
  if (!valid || i != digits.size()) {
    return fail_here("this is not a number; text must be in single quotes");
  }
  value.text += digits;
  take();
  return value;
}

// map: MAP { [ entry : entry { , entry : entry } ] }
Parsed<OptionValue> ConnectionParser::map() {
  OptionValue value{.kind = OptionValue::Kind::kMap};
  if (!accept_symbol('{')) return fail_here("expected '{' after MAP");
  if (accept_symbol('}')) return value;
  inside_map_ = true;
  while (true) {
    if (value.map.size() == DdlLimits::kOptionsMax) {
      const std::string limit = std::to_string(DdlLimits::kOptionsMax);
      return fail_here("a MAP takes at most " + limit + " entries", Errc::kLimit);
    }
    auto entry_key = map_entry("key");
    if (!entry_key) return std::unexpected(std::move(entry_key.error()));
    if (!accept_symbol(':')) return fail_here("expected ':' between a key of MAP and its value");
    auto entry_value = map_entry("value");
    if (!entry_value) return std::unexpected(std::move(entry_value.error()));
    value.map.emplace_back(std::move(*entry_key), std::move(*entry_value));
    if (accept_symbol('}')) {
      inside_map_ = false;
      return value;
    }
    const Token comma = peek();
    if (!accept_symbol(',')) return fail_here("expected ',' or '}' after an entry of MAP");
    if (peek().is_symbol('}')) {
      return fail_at(comma, "no entry follows this comma; remove it");
    }
  }
}

// entry: 'text'  |  number  |  true  |  false
Parsed<std::string> ConnectionParser::map_entry(std::string_view part) {
  const bool nested = peek().is_word("MAP");
  const bool bare_name = !nested && peek().kind == TokenKind::kWord && !peek().is_word("TRUE") &&
                         !peek().is_word("FALSE");
  if (nested || bare_name || peek().kind == TokenKind::kSymbol) {
    const bool sign = peek().is_symbol('-') || peek().is_symbol('+');
    if (!sign) return fail_here("expected a " + std::string(part) + " in single quotes");
  }
  auto parsed = value();
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return std::move(parsed->text);
}

// drop: DROP CONNECTION [IF EXISTS] name
Parsed<Statement> ConnectionParser::drop() {
  if (auto text = check_text(DdlLimits::kConnectionBytesMax); !text) {
    return std::unexpected(std::move(text.error()));
  }
  accept_words({"DROP", "CONNECTION"});
  DropConnection drop;
  drop.if_exists = accept_words({"IF", "EXISTS"});
  auto own_name = name("the connection's name");
  if (!own_name) return std::unexpected(std::move(own_name.error()));
  drop.name = std::move(own_name->text);
  drop.name_position = own_name->begin;
  if (auto end = expect_end("the connection's name"); !end) {
    return std::unexpected(std::move(end.error()));
  }
  return drop;
}

}  // namespace pgsink
