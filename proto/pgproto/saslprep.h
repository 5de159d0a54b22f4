#pragma once
// Preparation of passwords for SCRAM, as PostgreSQL's server does it, because both must derive the
// same key. Source: RFC 4013, RFC 3454; Server: pg_saslprep(), which checks the prohibited
// characters and the direction before it normalises, where the RFC does it after.

#include <string>
#include <string_view>

namespace pgproto {

/// saslprep returns the prepared password. An all-ASCII text is returned unchanged, and so is one
/// that is not UTF-8, becomes empty, or has prohibited, unassigned or wrongly directed characters:
/// the server uses the raw bytes of such a password too.
std::string saslprep(std::string_view password);

}  // namespace pgproto
