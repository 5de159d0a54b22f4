#pragma once
// What a publication shows of a source's table, read when the source is opened and again later: a
// publication that sends less says nothing in the stream.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgsink/client/connection.h"

namespace pgsink {

/// The actions of a publication that leaves out nothing.
inline constexpr std::string_view kAllActions = "insert, update, delete, truncate";

/// PublicationState is what the catalogs say at one moment.
struct PublicationState {
  std::string publication_oid;   ///< "": there is no publication of that name.
  std::string actions;           ///< kAllActions, or fewer.
  std::string via_root;          ///< "t" or "f".
  std::string schema, name;      ///< Of the table; "": it was dropped.
  std::string shown;             ///< "t": the publication shows the table under that name.
  std::string filter;            ///< The row filter, as SQL.
  std::string members;           ///< The table's entries in the publication, with column lists.
  std::string replica_identity;  ///< pg_class.relreplident
  std::string table_oid;         ///< Of the table that was requested.
  std::string version;           ///< pg_publication.xmin: differs after each change of the row.

  friend bool operator==(const PublicationState&, const PublicationState&) = default;
};

/// to_text and from_text keep a state from one run to the next. A text that is none becomes a state
/// that equals no other.
std::string to_text(const PublicationState& state);
PublicationState publication_from_text(std::string_view text);

/// A text of several states, one for each table of a source.
std::string to_text(std::span<const PublicationState> states);
std::vector<PublicationState> publications_from_text(std::string_view text);

/// Reads the states of the tables with these oids, in their order. Errors are those of the
/// connection.
Result<std::vector<PublicationState>> read_publications(Connection& connection,
                                                        const std::string& publication,
                                                        std::span<const uint32_t> table_oids,
                                                        Deadline deadline);
/// As read_publications() of one.
Result<PublicationState> read_publication(Connection& connection, const std::string& publication,
                                          uint32_t table_oid, Deadline deadline);

/// Says what is different so that changes may be missing in the stream; "" if nothing is.
std::string difference(const PublicationState& opened, const PublicationState& now,
                       const std::string& publication);

/// The end of the message: since when changes may be missing, and how to go on. 0: unknown.
/// `remembered`: opening the source again is not enough, the gap must be accepted up to `until`.
std::string lost_after(uint64_t lsn, bool remembered, uint64_t until);

/// How to go on after changes were lost.
std::string how_to_go_on(bool remembered, uint64_t until);

}  // namespace pgsink
