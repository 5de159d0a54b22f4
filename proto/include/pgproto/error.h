#pragma once
// Error and Result: how every fallible function of pgproto and pgsink reports. Errors are values;
// no exception crosses a public boundary.

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace pgproto {

/// Errc numbers every kind of failure, also those of the libraries above, so that each number is
/// used once. The value is the catalogue number: kSyntax is "PGS-1001". Each has a section in
/// docs/reference/errors.md.
enum class Errc : uint16_t {
  // 1xxx: statements, options, names
  kSyntax = 1001,             ///< A pgsink statement does not parse.
  kUnknownOption = 1002,      ///< No option has that key.
  kOptionValue = 1003,        ///< The value has the wrong type or is out of range.
  kMissingOption = 1004,      ///< A required option is absent.
  kOptionConflict = 1005,     ///< Two options contradict each other.
  kOptionUnsupported = 1006,  ///< A known option that this build does not support.
  kUnknownConnection = 1007,  ///< No connection has that name.
  kDuplicateName = 1008,      ///< A connection or pipeline of that name exists.
  kMissingSecret = 1009,      ///< ${secret:…} or ${env:…} names an unknown secret or variable.
  kQuery = 1010,              ///< The embedded SQL engine refused a statement.
  kKafka = 1011,              ///< A broker of Kafka, or its client, refuses or has failed.

  // 2xxx: reaching the server
  kConnect = 2001,            ///< No host answered, or the name did not resolve.
  kTimeout = 2002,            ///< A deadline passed.
  kTls = 2003,                ///< TLS was refused, failed, or the certificate is not acceptable.
  kAuthentication = 2004,     ///< The server refused the login, or its method is not allowed.
  kConnectionLost = 2005,     ///< The connection broke after it was established.
  kProtocol = 2006,           ///< The peer sent something that the protocol does not allow here.
  kLimit = 2007,              ///< A named limit (a size, a count) would be exceeded.
  kPoolTimeout = 2008,        ///< No pooled connection became free in time.
  kSessionAttributes = 2009,  ///< No server has the required target_session_attrs.
  kInterrupted = 2010,        ///< interrupt() or close() ended the wait.

  // 3xxx: the target and how columns map to it
  kNoSuchTable = 3001,      ///< The target table does not exist or is not visible.
  kNoSuchColumn = 3002,     ///< The input has a column that the table lacks.
  kColumnType = 3003,       ///< No conversion leads from the input's type to the column's.
  kColumnRequired = 3004,   ///< A NOT NULL column without default is missing from the input.
  kColumnGenerated = 3005,  ///< A generated column cannot be written.
  kColumnAmbiguous = 3006,  ///< Two columns differ only in case, or an input name occurs twice.
  kNoUniqueIndex = 3007,    ///< The conflict columns have no matching unique index.
  kPrivilege = 3008,        ///< The role lacks a privilege on the target.
  kCannotPrepare = 3009,    ///< Transactions on this target cannot be prepared (two-phase commit).
  kControlTable = 3010,     ///< A control table in the target database has the wrong shape.
  kReplication = 3011,      ///< Publication, slot or stream cannot be used as required.
  kPartition = 3012,        ///< A partition that rows need cannot be created.

  // 4xxx: rows
  kRowRejected = 4001,     ///< A value cannot become the column's type without changing.
  kMalformedBatch = 4002,  ///< A record batch or Arrow array is inconsistent.

  // 5xxx: the server reported an error; see Error::sqlstate
  kServer = 5001,

  // 6xxx: outcomes
  kOutcomeUnknown = 6001,         ///< It cannot be known whether the transaction committed.
  kFenced = 6002,                 ///< Another writer has taken over.
  kRolledBack = 6003,             ///< COMMIT was answered by ROLLBACK.
  kCannotFence = 6004,            ///< The old backend may still be running.
  kNoPreparedTransaction = 6005,  ///< A prepared transaction that must be there is not.
  kResolveRefused = 6006,  ///< Resolving that prepared transaction now would break a promise.
  kCannotResume = 6007,    ///< Earlier runs delivered other rows than this run has.
  kOffsetGone = 6008,      ///< The source does not have what follows the stored position any more.

  // 9xxx: pgsink itself
  kInternal = 9001,  ///< A bug of this library; please report it.
  kOutOfMemory = 9002,
  kUsage = 9003,  ///< The API was called in a way it forbids.
  kFile = 9004,   ///< A local file could not be read or written.
};

/// Sqlstate is PostgreSQL's five-character error code, all '0' when there is none.
/// Source: PostgreSQL documentation, appendix "PostgreSQL Error Codes".
struct Sqlstate {
  std::array<char, 5> code{'0', '0', '0', '0', '0'};

  constexpr Sqlstate() = default;
  /// Reads text; anything but five characters of [0-9A-Z] becomes "XX000" (a hostile or broken
  /// server).
  constexpr explicit Sqlstate(std::string_view text) : code{'X', 'X', '0', '0', '0'} {
    if (text.size() != code.size()) return;
    for (const char c : text) {
      if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))) return;
    }
    for (size_t i = 0; i < code.size(); ++i) code[i] = text[i];
  }

  constexpr std::string_view view() const { return {code.data(), code.size()}; }
  /// The first two characters, for example "23" for integrity constraint violations.
  constexpr std::string_view class_code() const { return {code.data(), 2}; }
  constexpr bool is_set() const { return view() != "00000"; }
  friend constexpr bool operator==(const Sqlstate&, const Sqlstate&) = default;
  friend constexpr bool operator==(const Sqlstate& a, std::string_view b) { return a.view() == b; }
};

/// Error says what happened, where, and what the caller can do about it. It never holds a secret.
struct Error {
  Errc code = Errc::kInternal;
  std::string message;  ///< What, where, which limit, what to do: one or two sentences.

  // Filled if the server reported the error (code kServer, kAuthentication, …). Field names are the
  // protocol's.
  Sqlstate sqlstate;
  std::string severity;  ///< "ERROR", "FATAL" or "PANIC", never localised.
  std::string detail;
  std::string hint;
  std::string where;  ///< The server's CONTEXT, for example "COPY t, line 8, column b".
  std::string schema;
  std::string table;
  std::string column;
  std::string constraint;

  /// Whether bytes of the failed request may have reached the server. False means that none left
  /// this process, so the request can be sent again without asking the server.
  bool sent = false;

  /// "PGS-2002: message (SQLSTATE 57P01) DETAIL: … HINT: …", on one line.
  std::string to_string() const;
};

/// errc_name is, for example, "PGS-1001" for Errc::kSyntax.
std::string errc_name(Errc code);

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// fail returns an unexpected Error, to be returned from any function whose result is Result or
/// Status.
inline std::unexpected<Error> fail(Errc code, std::string message) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  return std::unexpected<Error>(std::move(error));
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

/// make_error is an error with a code and a message, for callers that add to it before they fail().
inline Error make_error(Errc code, std::string message) {
  return fail(code, std::move(message)).error();
}

}  // namespace pgproto

/// PGPROTO_ASSERT checks what only a programming error can break; never use it on a peer's input.
/// It is on in Debug builds and with PGSINK_ASSERTS, and costs nothing elsewhere.
#if !defined(NDEBUG) || defined(PGSINK_ASSERTS)
#define PGPROTO_ASSERT(condition) \
  ((condition) ? void(0) : ::pgproto::assertion_failed(#condition, __FILE__, __LINE__))
#else
#define PGPROTO_ASSERT(condition) void(0)
#endif

namespace pgproto {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}  // namespace pgproto
