#pragma once
// The answer to AuthenticationMD5Password.
// Source: PostgreSQL documentation, "Message Flow", AuthenticationMD5Password.

#include <string>
#include <string_view>

#include <pgproto/bytes.h>
#include <pgproto/error.h>

namespace pgproto {

/// md5_password hashes the password for AuthenticationMD5Password: "md5" and 32 hex digits. Fails
/// with kAuthentication if OpenSSL has no MD5 (FIPS mode).
Result<std::string> md5_password(std::string_view user, std::string_view password, Bytes salt);

}  // namespace pgproto
