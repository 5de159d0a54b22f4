#include "tidy/rooms.h"

#include <algorithm>
#include <map>
#include <optional>

namespace tidy {
namespace {

// Where an include that is written "pgsink/…" or <pgproto/…> can lie.
constexpr std::string_view kIncludeFolders[] = {"proto/include/", "src/include/", "proto/", "src/"};

const std::vector<Room>& table() {
  static const std::vector<Room> kRooms = {
      // ---- the protocol -----------------------------------------------------------------------
      {.name = "pgproto",
       .folders = {"proto/include/pgproto", "proto/pgproto", "proto/pgproto/tables"},
       .below = {}},
      // ---- encode: batches and their bytes ----------------------------------------------------
      {.name = "pgsink/encode/base",
       .folders = {"src/pgsink/encode/base"},
       .public_headers = {"record_batch.h", "batch_of.h", "stream.h", "dead_letter.h",
                          "flight_event.h"},
       .below = {"pgproto"}},
      {.name = "pgsink/encode/values",
       .folders = {"src/pgsink/encode/values"},
       .below = {"pgproto", "pgsink/encode/base"}},
      {.name = "pgsink/encode/parse",
       .folders = {"src/pgsink/encode/parse"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/values"}},
      {.name = "pgsink/encode/arrow",
       .folders = {"src/pgsink/encode/arrow"},
       .public_headers = {"arrow.h", "arrow_c_abi.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/values"}},
      {.name = "pgsink/encode/rows",
       .folders = {"src/pgsink/encode/rows"},
       .public_headers = {"row_digest.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/values", "pgsink/encode/parse"}},
      // ---- client: the way to a server --------------------------------------------------------
      {.name = "pgsink/client", .folders = {"src/pgsink/client"}, .below = {"pgproto"}},
      // ---- the rooms of the sink --------------------------------------------------------------
      {.name = "pgsink/sql", .folders = {"src/pgsink/sql"}, .below = {"pgproto", "pgsink/client"}},
      {.name = "pgsink/options",
       .folders = {"src/pgsink/options"},
       .public_headers = {"options.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/client"}},
      {.name = "pgsink/ddl",
       .folders = {"src/pgsink/ddl"},
       .public_headers = {"ddl.h"},
       .below = {"pgproto", "pgsink/options"}},
      {.name = "pgsink/delivery",
       .folders = {"src/pgsink/delivery"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/client", "pgsink/sql", "pgsink/options"}},
      {.name = "pgsink/replication",
       .folders = {"src/pgsink/replication"},
       .public_headers = {"source.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/client", "pgsink/sql", "pgsink/options",
                 "pgsink/delivery"}},
      {.name = "pgsink/plan",
       .folders = {"src/pgsink/plan"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/rows", "pgsink/client",
                 "pgsink/sql", "pgsink/options", "pgsink/delivery", "pgsink/replication"}},
      {.name = "pgsink/partition",
       .folders = {"src/pgsink/partition"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/values", "pgsink/encode/parse",
                 "pgsink/encode/rows", "pgsink/client", "pgsink/sql", "pgsink/options",
                 "pgsink/plan"}},
      {.name = "pgsink/lane",
       .folders = {"src/pgsink/lane"},
       .public_headers = {"metrics.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/values", "pgsink/encode/parse",
                 "pgsink/encode/rows", "pgsink/client", "pgsink/sql", "pgsink/options",
                 "pgsink/delivery", "pgsink/replication", "pgsink/plan", "pgsink/partition"}},
      {.name = "pgsink/sink",
       .folders = {"src/pgsink/sink"},
       .public_headers = {"sink.h", "job.h", "pool.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/rows", "pgsink/client",
                 "pgsink/sql", "pgsink/options", "pgsink/delivery", "pgsink/replication",
                 "pgsink/plan", "pgsink/partition", "pgsink/lane"}},
      // ---- the C interface --------------------------------------------------------------------
      {.name = "c",
       .folders = {"src/c"},
       .public_headers = {"pgsink_c.h"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/arrow", "pgsink/encode/values",
                 "pgsink/options", "pgsink/ddl", "pgsink/lane", "pgsink/sink"}},
      // ---- the command ------------------------------------------------------------------------
      {.name = "shell/flags",
       .folders = {"src/shell/flags"},
       .below = {"pgproto", "pgsink/options"}},
      {.name = "shell/text", .folders = {"src/shell/text"}, .below = {"pgproto"}},
      {.name = "shell/records",
       .folders = {"src/shell/records"},
       .below = {"pgproto", "pgsink/encode/parse", "pgsink/options"}},
      {.name = "shell/engine",
       .folders = {"src/shell/engine"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/encode/arrow", "pgsink/options",
                 "shell/text", "shell/records"}},
      {.name = "shell/script",
       .folders = {"src/shell/script"},
       .below = {"pgproto", "pgsink/ddl", "shell/text", "shell/engine"}},
      {.name = "shell/connections",
       .folders = {"src/shell/connections"},
       .below = {"pgproto", "pgsink/options", "pgsink/lane", "pgsink/sink", "shell/flags",
                 "shell/engine"}},
      {.name = "shell/output",
       .folders = {"src/shell/output"},
       .below = {"pgproto", "pgsink/options", "pgsink/lane", "shell/flags", "shell/text",
                 "shell/engine", "shell/script"}},
      {.name = "shell/sources",
       .folders = {"src/shell/sources"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/options", "pgsink/ddl",
                 "pgsink/replication", "shell/records", "shell/engine", "shell/connections",
                 "shell/output"}},
      {.name = "shell/kafka",
       .folders = {"src/shell/kafka"},
       .below = {"pgproto", "pgsink/encode/base", "pgsink/options", "pgsink/ddl",
                 "pgsink/replication", "shell/text", "shell/records", "shell/engine",
                 "shell/output", "shell/sources"}},
      {.name = "shell/run",
       .folders = {"src/shell/run"},
       .below = {"pgproto", "pgsink/encode/rows", "pgsink/options", "pgsink/ddl",
                 "pgsink/replication", "pgsink/sink", "shell/flags", "shell/text", "shell/engine",
                 "shell/script", "shell/connections", "shell/output", "shell/sources",
                 "shell/kafka"}},
      {.name = "shell/prompt",
       .folders = {"src/shell/prompt"},
       .below = {"pgproto", "pgsink/options", "pgsink/ddl", "shell/flags", "shell/text",
                 "shell/engine", "shell/connections", "shell/output", "shell/sources",
                 "shell/kafka", "shell/run"}},
      {.name = "shell/load",
       .folders = {"src/shell/load"},
       .below = {"pgproto", "pgsink/client", "pgsink/options", "pgsink/ddl", "pgsink/sink",
                 "shell/flags", "shell/records", "shell/engine", "shell/script"}},
      {.name = "shell",
       .folders = {"src/shell"},
       .below = {"pgproto", "pgsink/options", "pgsink/delivery", "shell/flags", "shell/text",
                 "shell/engine", "shell/script", "shell/connections", "shell/output",
                 "shell/sources", "shell/run", "shell/prompt", "shell/load"}},
  };
  return kRooms;
}

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

bool is_source(std::string_view path) { return path.ends_with(".h") || path.ends_with(".cc"); }

bool has(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// What a line includes, if it includes something of the product.
std::optional<std::string_view> included(std::string_view line) {
  constexpr std::string_view kInclude = "#include ";
  if (!line.starts_with(kInclude) || line.size() < kInclude.size() + 2) return std::nullopt;
  line.remove_prefix(kInclude.size() + 1);
  const std::string_view path = line.substr(0, line.find_first_of("\">"));
  const bool ours = path.starts_with("pgproto/") || path.starts_with("pgsink/") ||
                    path.starts_with("c/") || path.starts_with("shell/");
  // The build makes this one; it belongs to no folder.
  if (!ours || path == "shell/build_info.h") return std::nullopt;
  return path;
}

// The names in `…` of the paragraph that begins with "May include:".
std::set<std::string> included_in_readme(const SourceFile& readme) {
  std::set<std::string> names;
  bool inside = false;
  for (const std::string& line : readme.text) {
    inside = line.starts_with("May include:") || (inside && !line.empty());
    if (!inside) continue;
    for (size_t open = line.find('`'); open != std::string::npos;) {
      const size_t close = line.find('`', open + 1);
      if (close == std::string::npos) break;
      names.insert(line.substr(open + 1, close - open - 1));
      open = line.find('`', close + 1);
    }
  }
  return names;
}

}  // namespace

std::span<const Room> rooms() { return table(); }

const Room* room_of(std::string_view path) {
  for (const Room& room : table()) {
    for (const std::string_view name : room.public_headers) {
      if (path == "pgsink/" + std::string(name)) return &room;
      if (path == "src/include/pgsink/" + std::string(name)) return &room;
    }
    const std::string_view folder = folder_of(path);
    if (has(room.folders, folder)) return &room;
    for (const std::string_view include_folder : kIncludeFolders) {
      if (has(room.folders, std::string(include_folder) + std::string(folder))) return &room;
    }
  }
  return nullptr;
}

std::vector<std::string> includes_of(const SourceFile& file) {
  std::vector<std::string> paths;
  for (const std::string& line : file.code) {
    if (const auto path = included(line)) paths.emplace_back(*path);
  }
  return paths;
}

std::vector<Finding> includes_that_run_up(const SourceFile& file) {
  const Room* room = room_of(file.path);
  if (room == nullptr) return {};  // unknown_rooms reports it
  std::vector<Finding> found;
  for (size_t i = 0; i < file.code.size(); ++i) {
    const auto path = included(file.code[i]);
    if (!path) continue;
    const Room* other = room_of(*path);
    if (other == room || (other != nullptr && has(room->below, other->name))) continue;
    const std::string what = other == nullptr ? "is in no room of tests/tidy/rooms.cc"
                                              : "is in " + std::string(other->name) + ", which " +
                                                    std::string(room->name) + " may not include";
    found.push_back({file.path, i + 1, std::string(*path) + " " + what});
  }
  return found;
}

std::vector<Finding> private_includes(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 0; i < file.code.size(); ++i) {
    const auto path = included(file.code[i]);
    const bool quoted = file.code[i].starts_with("#include \"");
    if (!quoted && (!path || std::count(path->begin(), path->end(), '/') == 1)) continue;
    found.push_back({file.path, i + 1, "a private header: " + file.code[i]});
  }
  return found;
}

std::vector<Finding> unmirrored_tests(const SourceFile& file) {
  constexpr std::string_view kTests = "tests/";
  if (!is_source(file.path)) return {};
  const std::string folder(folder_of(file.path).substr(kTests.size()));
  static const Words kOthers = {"proto", "records", "consumer", "support", "tidy", "kafka"};
  if (has(kOthers, folder) || room_of(folder + "/") || room_of("pgsink/" + folder + "/")) return {};
  return {{file.path, 1, "its folder has the name of no room of tests/tidy/rooms.cc"}};
}

std::vector<Finding> wrong_readmes(std::span<const SourceFile> tree) {
  std::vector<Finding> found;
  for (const Room& room : table()) {
    const SourceFile* readme = nullptr;
    for (const SourceFile& file : tree) {
      if (file.path.ends_with("/README.md") && has(room.folders, folder_of(file.path))) {
        readme = &file;
      }
    }
    if (readme == nullptr) {
      found.push_back({std::string(room.folders.back()), 1, "the room has no README.md"});
      continue;
    }
    if (included_in_readme(*readme) !=
        std::set<std::string>(room.below.begin(), room.below.end())) {
      found.push_back({readme->path, 1,
                       "'May include:' does not list what tests/tidy/rooms.cc names for the room"});
    }
    const bool begins =
        std::any_of(readme->text.begin(), readme->text.end(),
                    [](const std::string& line) { return line.starts_with("Begin with "); });
    if (!begins) found.push_back({readme->path, 1, "no paragraph begins with 'Begin with'"});
  }
  return found;
}

std::vector<Finding> unknown_rooms(const SourceFile& file) {
  const bool product = file.path.starts_with("proto/") || file.path.starts_with("src/");
  if (!product || !is_source(file.path) || room_of(file.path) != nullptr) return {};
  return {{file.path, 1, "belongs to no room of the table in tests/tidy/rooms.cc"}};
}

namespace {

// Tarjan's search for strongly connected components.
class CircleSearch {
 public:
  using Graph = std::map<std::string, std::set<std::string>>;
  explicit CircleSearch(const Graph& graph) : graph_(graph) {}

  std::vector<Circle> run() {
    for (const auto& [unit, next] : graph_) {
      if (!seen_.contains(unit)) visit(unit);
    }
    return std::move(found_);
  }

 private:
  struct Mark {
    size_t index = 0;
    size_t lowest = 0;  ///< The least index that can be reached from here.
    bool open = true;
  };

  size_t visit(const std::string& unit) {
    const size_t index = seen_.size();
    seen_[unit] = {.index = index, .lowest = index};
    path_.push_back(unit);
    const auto edges = graph_.find(unit);
    if (edges != graph_.end()) {
      for (const std::string& next : edges->second) {
        const auto mark = seen_.find(next);
        size_t lowest = index;
        if (mark == seen_.end()) {
          lowest = visit(next);
        } else if (mark->second.open) {
          lowest = mark->second.index;
        }
        seen_[unit].lowest = std::min(seen_[unit].lowest, lowest);
      }
    }
    const size_t lowest = seen_[unit].lowest;
    if (lowest == index) close(unit);
    return lowest;
  }

  void close(const std::string& first) {
    Circle circle;
    for (bool done = false; !done; path_.pop_back()) {
      const std::string& unit = path_.back();
      seen_[unit].open = false;
      done = unit == first;
      circle.insert(unit);
    }
    if (circle.size() > 1) found_.push_back(std::move(circle));
  }

  const Graph& graph_;
  std::map<std::string, Mark> seen_;
  std::vector<std::string> path_;
  std::vector<Circle> found_;
};

}  // namespace

std::vector<Circle> circles_between(std::span<const SourceFile> tree) {
  // The public header of a unit lies elsewhere: "pgproto/session" is one unit.
  const auto unit = [](std::string_view path) {
    for (const std::string_view folder : kIncludeFolders) {
      if (!path.starts_with(folder)) continue;
      path.remove_prefix(folder.size());
      break;
    }
    return std::string(path.substr(0, path.rfind('.')));
  };
  CircleSearch::Graph graph;
  for (const SourceFile& file : tree) {
    if (!is_source(file.path) || room_of(file.path) == nullptr) continue;
    for (const std::string& path : includes_of(file)) {
      if (unit(path) != unit(file.path)) graph[unit(file.path)].insert(unit(path));
    }
  }
  return CircleSearch(graph).run();
}

const std::vector<Circle>& known_circles() {
  static const std::vector<Circle> kCircles = {
      {"pgproto/session", "pgproto/session_state"},
      {"pgsink/client/connect_options", "pgsink/client/keywords"},
      {"pgsink/client/tls", "pgsink/client/tls_state"},
      {"pgsink/client/connect", "pgsink/client/connection", "pgsink/client/identity",
       "pgsink/client/query_collector"},
      {"pgsink/encode/rows/column_codec", "pgsink/encode/rows/row_encoder"},
      {"pgsink/plan/plan", "pgsink/plan/schema_change"},
  };
  return kCircles;
}

}  // namespace tidy
