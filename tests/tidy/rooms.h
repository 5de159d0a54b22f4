#pragma once
// The rooms of the sources: their order, and who may include whom. One table for all.

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidy/rules.h"

namespace tidy {

/// Room is one or more folders whose files serve one purpose.
struct Room {
  std::string_view name;      ///< As in "pgsink/lane".
  Words folders;              ///< Where its files lie, exactly: a folder below needs its own row.
  Words public_headers = {};  ///< Names in src/include/pgsink that are declared for this room.
  Words below;                ///< The rooms that it may include, besides itself.
};

/// rooms is the table. A room comes after all rooms that it may include, so no two can form a
/// circle.
std::span<const Room> rooms();

/// room_of says which room a file or an include belongs to: "src/pgsink/lane/lane.h" as well as
/// "pgsink/lane/lane.h". Null for a path outside the rooms.
const Room* room_of(std::string_view path);

/// includes_of lists the headers of the product that a file includes, as they are written.
std::vector<std::string> includes_of(const SourceFile& file);

/// includes_that_run_up lists the includes of one file that its room may not have.
std::vector<Finding> includes_that_run_up(const SourceFile& file);

/// unknown_rooms reports a file of the product whose folder is no room.
std::vector<Finding> unknown_rooms(const SourceFile& file);

/// wrong_readmes reports rooms without a README.md in one of their folders, and those whose
/// README.md does not list exactly what the room may include, or does not say where to begin.
std::vector<Finding> wrong_readmes(std::span<const SourceFile> tree);

/// private_includes lists what a public header includes that is not installed.
std::vector<Finding> private_includes(const SourceFile& file);

/// unmirrored_tests reports a test whose folder has the name of no room.
std::vector<Finding> unmirrored_tests(const SourceFile& file);

/// Circle is a set of units (a header and its .cc file, named without the ending) each of which
/// includes the next one, directly or through others.
using Circle = std::set<std::string>;

/// circles_between finds the circles among the files of `tree`.
std::vector<Circle> circles_between(std::span<const SourceFile> tree);

/// known_circles are those that are still to be dissolved. The list may only shrink.
const std::vector<Circle>& known_circles();

}  // namespace tidy
