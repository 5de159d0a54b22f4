#pragma once
// The fast way to read JSON objects without nested values. Most lines of JSON are such objects.

#include <string_view>
#include <vector>

#include "shell/records/json_member.h"

namespace pgsink::shell {

/// read_flat_object appends the members of an object, as views of the text. False, with nothing to
/// rely on in `members`, if the text is anything else: it has a nested value, an escape, or a
/// mistake. JsonReader then reads it, or says what is wrong.
bool read_flat_object(std::string_view text, std::vector<JsonMember>& members);

}  // namespace pgsink::shell
