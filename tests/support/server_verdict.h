#pragma once
// What a server makes of texts: the verdict with which an encoder's is compared.

#include <string>
#include <vector>

#include "support/arrow_builder.h"

namespace pgsink::test {

/// What the server makes of a text.
struct Verdict {
  bool takes = false;
  bool rounds = false;  ///< Or cuts.
  std::string shown;    ///< Or why not.
};

/// ask_server casts each text to `sql_type`, with the settings of the sink's sessions. `base` is
/// the type without its length or precision: where the two differ, the server has rounded.
std::vector<Verdict> ask_server(const std::string& database, const std::string& sql_type,
                                const std::string& base, const Nullable<std::string>& texts);

}  // namespace pgsink::test
