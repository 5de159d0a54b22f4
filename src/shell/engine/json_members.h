#pragma once
// json_members(object, names, others): a function of the engine that reads objects of JSON as the
// source of standard input does. The engine's own functions read every number through a double.

#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

#include "shell/engine/owned.h"

namespace pgsink::shell {

/// The alias of VARCHAR for columns whose texts are JSON values (Field::json_value).
inline constexpr const char* kJsonValueAlias = "pgsink_json_value";

class JsonMembers {
 public:
  /// Registers the function. It returns a list of JSON values as they are written, one for each
  /// name, NULL for null and for what the object does not have. The last member of a name counts.
  /// With others = 'warn', members of other names are remembered for left_out(); with 'ignore' they
  /// are not. The query fails if a text is not an object. This must outlive the connection.
  pgproto::Status add_to(duckdb_connection connection);

  /// The names of members that were left out since the last call; the first few. Any thread.
  std::vector<std::string> left_out();

 private:
  static void run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output);
  void leave_out(std::string_view name);

  std::mutex mutex_;
  std::set<std::string, std::less<>> left_out_;
  size_t named_ = 0;  ///< How many were ever remembered.
};

}  // namespace pgsink::shell
