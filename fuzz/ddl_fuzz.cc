// Any bytes as a script: splitting, parsing, binding and rendering must hold what their headers
// promise, and what ${secret:…} stands for must never come out.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>

namespace {

using pgsink::Diagnostic;
using pgsink::SourcePosition;

constexpr std::string_view kCanary = "cAnArY";

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "ddl_fuzz: %s\n", what);
  std::abort();
}

/// Line and column counted in the plainest way.
SourcePosition counted(std::string_view script, size_t offset) {
  SourcePosition place;
  place.offset = offset;
  const size_t begin = script.starts_with("\xef\xbb\xbf") ? 3 : 0;
  for (size_t i = begin; i < offset; ++i) {
    if (script[i] == '\n') {
      ++place.line;
      place.column = 1;
    } else if ((static_cast<unsigned char>(script[i]) & 0xc0) != 0x80) {
      ++place.column;
    }
  }
  return place;
}

void require_place(std::string_view script, const SourcePosition& place) {
  require(place.offset <= script.size(), "a place is after the end of the script");
  const SourcePosition expected = counted(script, place.offset);
  require(place.line == expected.line, "a line is counted wrong");
  require(place.column == expected.column, "a column is counted wrong");
}

void require_inside(std::string_view script, std::string_view part, const SourcePosition& begin) {
  require(begin.offset + part.size() <= script.size(), "a view reaches past the end of the script");
  require(script.substr(begin.offset, part.size()) == part, "a view is not where it says");
}

/// Rendering reads the whole script, so only the first faults of a script are rendered.
struct Rendered {
  int left = 2;
};

void check_faults(std::string_view script, const std::vector<Diagnostic>& faults,
                  Rendered& rendered) {
  require(!faults.empty(), "a failure without a fault");
  const bool canary_is_ours = script.find(kCanary) == std::string_view::npos;
  for (const Diagnostic& fault : faults) {
    require_place(script, fault.begin);
    require(fault.begin.offset + fault.length <= script.size(), "a fault reaches too far");
    require(!fault.error.message.empty(), "a fault says nothing");
    if (!canary_is_ours || rendered.left == 0) continue;
    --rendered.left;
    const std::string text = pgsink::render_diagnostic(fault, "fuzz.sql", script);
    require(text.find(kCanary) == std::string::npos, "a secret came out");
    require(fault.error.to_string().find(kCanary) == std::string::npos, "a secret came out");
    require(text.ends_with('\n'), "a rendered fault must end its line");
    for (const char c : text) {
      const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t';
      require(!control, "a control character came out");
    }
  }
}

void check_connection(std::string_view script, const pgsink::CreateConnection& connection,
                      Rendered& rendered) {
  pgsink::Substitution sources;
  sources.secret = [](const std::string& name) { return std::string(kCanary) + name; };
  sources.environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "NONE") return std::nullopt;
    return name == "ZERO" ? std::string(1, '\0') : std::string(kCanary);
  };
  for (const pgsink::RawOption& option : connection.options) {
    require_place(script, option.key_position);
    require_place(script, option.value_position);
    require(option.value_position.offset + option.value_length <= script.size(),
            "a value too long");
  }
  const auto bound = pgsink::bind_connection(connection, sources);
  if (!bound) return check_faults(script, bound.error(), rendered);
  require(bound->connection_name == connection.name, "the name changed");
  require(pgsink::check_options(*bound).empty(), "bound, but not acceptable");
  require(bound->batch_bytes <= bound->buffer_bytes, "a batch exceeds the buffer");
}

void check_pipeline(std::string_view script, const pgsink::CreatePipeline& pipeline) {
  require(!pipeline.branches.empty(), "a pipeline writes nothing");
  if (!pipeline.with.empty()) require_inside(script, pipeline.with, pipeline.with_position);
  for (const pgsink::InsertBranch& branch : pipeline.branches) {
    require(!branch.target.empty(), "a branch without a target");
    require(!branch.query.empty(), "a branch without a query");
    require_inside(script, branch.query, branch.query_position);
    require_place(script, branch.query_position);
    require_place(script, branch.target_position);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view script(reinterpret_cast<const char*>(data), size);
  size_t end = 0;
  Rendered rendered;
  for (const pgsink::ScriptStatement& statement : pgsink::split_script(script)) {
    require(!statement.text.empty(), "an empty statement");
    require(statement.begin.offset >= end, "statements overlap");
    require_inside(script, statement.text, statement.begin);
    require_place(script, statement.begin);
    end = statement.begin.offset + statement.text.size();
    const auto parsed = pgsink::parse_statement(statement);
    if (!parsed) {
      check_faults(script, parsed.error(), rendered);
    } else if (const auto* connection = std::get_if<pgsink::CreateConnection>(&*parsed)) {
      check_connection(script, *connection, rendered);
    } else if (const auto* pipeline = std::get_if<pgsink::CreatePipeline>(&*parsed)) {
      check_pipeline(script, *pipeline);
    }
  }
  (void)pgsink::mask_secrets(script);
  return 0;
}
