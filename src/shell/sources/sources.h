#pragma once
// Sources: the unbounded sources of CREATE CONNECTION, by name. Queries see each as a view.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine.h"
#include "shell/sources/source_feed.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

class Sources {
 public:
  struct Source {
    std::string name;
    std::string function;  ///< The name of its feed in the engine.
    std::unique_ptr<UnboundedSource> rows;
    SourceFeed feed;
    bool opened = false;
    bool has_columns = false;  ///< Once opened: the input did not end before its first row.
  };

  /// `engine` is set once it is open. This must outlive it, because it refers to the sources.
  void set_engine(Engine* engine) { engine_ = engine; }

  /// Adds a source and replaces one of the same name.
  void put(const std::string& name, std::unique_ptr<UnboundedSource> rows);
  bool contains(const std::string& name) const { return sources_.contains(name); }
  /// False if it does not exist.
  bool drop(const std::string& name);
  std::vector<std::string> names() const;

  /// Opens every source whose name occurs in a statement, which may read it, and makes its view.
  /// Under `checking`, sources whose open() waits stay closed. Returns a source that the statement
  /// cannot read, because it stays closed or has no columns.
  Result<const Source*> open_mentioned(std::string_view statement, bool checking,
                                       const std::function<bool()>& stop);

  /// Gives the open columns of a source types that fit what queries do with them.
  Status set_uses(Source& source, std::span<const ColumnUse> uses);
  /// How the types of open columns may have caused an error of a query; or "".
  std::string type_note();
  /// An open source with open columns; null if there is none.
  Source* with_open_columns();

  /// forget_bound(), bind statements, then bound(): the sources that they read.
  void forget_bound();
  std::vector<Source*> bound();

 private:
  Status open(Source& source, const std::function<bool()>& stop);
  Status reset_uses(Source& source);
  Status make_view(const Source& source, const SourceShape& shape);

  Engine* engine_ = nullptr;
  size_t made_ = 0;
  std::map<std::string, std::unique_ptr<Source>> sources_;
  std::vector<std::unique_ptr<Source>> gone_;  ///< The engine still refers to their functions.
};

}  // namespace pgsink::shell
