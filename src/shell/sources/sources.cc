#include "shell/sources/sources.h"

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"

namespace pgsink::shell {

void Sources::put(const std::string& name, std::unique_ptr<UnboundedSource> rows) {
  drop(name);
  auto source = std::make_unique<Source>();
  source->name = name;
  source->function = "pgsink_source_" + std::to_string(++made_);
  source->rows = std::move(rows);
  sources_[name] = std::move(source);
}

bool Sources::drop(const std::string& name) {
  const auto found = sources_.find(name);
  if (found == sources_.end()) return false;
  if (found->second->opened) {
    (void)engine_->execute("DROP VIEW IF EXISTS temp." + engine_identifier(name));
  }
  found->second->rows.reset();
  gone_.push_back(std::move(found->second));
  sources_.erase(found);
  return true;
}

std::vector<std::string> Sources::names() const {
  std::vector<std::string> names;
  names.reserve(sources_.size());
  for (const auto& entry : sources_) names.push_back(entry.first);
  return names;
}

Result<const Sources::Source*> Sources::open_mentioned(std::string_view statement, bool checking,
                                                       const std::function<bool()>& stop) {
  if (sources_.empty()) return nullptr;
  Lexer lexer(statement);
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    for (const auto& [name, source] : sources_) {
      const bool meant = token.text == engine_identifier(name) ||
                         (token.kind == TokenKind::kWord && equal_without_case(token.text, name));
      if (!meant || source->opened) continue;
      if (checking && source->rows->open_waits()) return source.get();
      if (auto opened = open(*source, stop); !opened) return std::unexpected(opened.error());
    }
  }
  return nullptr;
}

Status Sources::open(Source& source, const std::function<bool()>& stop) {
  auto shape = source.rows->open(stop);
  if (!shape) return std::unexpected(shape.error());
  if (auto added = source.feed.add_to(*engine_, source.function, shape->raw); !added) return added;
  std::string view =
      "CREATE OR REPLACE TEMP VIEW " + engine_identifier(source.name) + " AS SELECT ";
  for (const SourceColumn& column : shape->columns) {
    if (!view.ends_with("SELECT ")) view += ", ";
    view += column.expression + " AS " + engine_identifier(column.name);
  }
  view += " FROM " + source.function + "()";
  if (!shape->condition.empty()) view += " WHERE " + shape->condition;
  if (auto made = engine_->execute(view); !made) {
    Error error = made.error().error;
    error.message = "source " + source.name + ": " + error.message;
    return std::unexpected(std::move(error));
  }
  source.opened = true;
  return {};
}

void Sources::forget_bound() {
  for (const auto& entry : sources_) entry.second->feed.forget_bound();
}

std::vector<Sources::Source*> Sources::bound() {
  std::vector<Source*> bound;
  for (const auto& entry : sources_) {
    if (entry.second->feed.bound()) bound.push_back(entry.second.get());
  }
  return bound;
}

}  // namespace pgsink::shell
