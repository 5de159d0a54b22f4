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
      if (!meant) continue;
      const bool changed = source->rows->select_columns(statement);
      if (!source->opened && checking && source->rows->open_waits()) return source.get();
      if (!source->opened) {
        if (auto opened = open(*source, stop); !opened) return std::unexpected(opened.error());
      }
      if (!source->has_columns) return source.get();
      if (changed) {
        if (auto made = make_view(*source, source->rows->shape_for({})); !made) {
          return std::unexpected(made.error());
        }
      }
      // Views that a statement makes of it must not depend on earlier pipelines.
      if (auto reset = reset_uses(*source); !reset) return std::unexpected(reset.error());
    }
  }
  return nullptr;
}

Status Sources::reset_uses(Source& source) {
  const size_t columns = source.rows->open_columns().size();
  if (columns == 0) return {};
  const ColumnUse anything{.passed = true, .text = true, .number = true, .other = true};
  return set_uses(source, std::vector<ColumnUse>(columns, anything));
}

Status Sources::open(Source& source, const std::function<bool()>& stop) {
  auto shape = source.rows->open(stop);
  if (!shape) return std::unexpected(shape.error());
  source.opened = true;
  source.has_columns = !shape->columns.empty();
  if (!source.has_columns) return {};
  if (auto added = source.feed.add_to(*engine_, source.function, shape->raw); !added) return added;
  return make_view(source, *shape);
}

Status Sources::make_view(const Source& source, const SourceShape& shape) {
  std::string view =
      "CREATE OR REPLACE TEMP VIEW " + engine_identifier(source.name) + " AS SELECT ";
  for (const SourceColumn& column : shape.columns) {
    if (!view.ends_with("SELECT ")) view += ", ";
    view += column.expression + " AS " + engine_identifier(column.name);
  }
  view += " FROM " + source.function + "()";
  if (auto made = engine_->execute(view); !made) {
    Error error = made.error().error;
    error.message = "source " + source.name + ": " + error.message;
    return std::unexpected(std::move(error));
  }
  return {};
}

Status Sources::set_uses(Source& source, std::span<const ColumnUse> uses) {
  const SourceShape shape = source.rows->shape_for(uses);
  source.feed.set_columns(shape.raw);
  return make_view(source, shape);
}

std::string Sources::type_note() {
  const Source* const source = with_open_columns();
  return source == nullptr ? "" : source->rows->type_note();
}

Sources::Source* Sources::with_open_columns() {
  for (const auto& entry : sources_) {
    Source& source = *entry.second;
    if (source.opened && source.has_columns && !source.rows->open_columns().empty()) {
      return &source;
    }
  }
  return nullptr;
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
