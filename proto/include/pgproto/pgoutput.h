#pragma once
// Logical replication: the messages inside the CopyData of a replication stream, and inside those
// the messages of the output plugin pgoutput, protocol versions 1 to 4.
//
// Sources: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Replication
// Message Formats".

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/oid.h>

namespace pgproto {

/// Lsn is a position in the server's write-ahead log, in bytes.
using Lsn = uint64_t;

/// format_lsn writes a position as PostgreSQL does: "16/B374D848".
std::string format_lsn(Lsn lsn);
/// parse_lsn reads such a text; nullopt if it is malformed.
std::optional<Lsn> parse_lsn(std::string_view text);

// ---- the stream ---------------------------------------------------------------------------------

/// XLogData carries one message of the plugin. Views into the CopyData.
struct XLogData {
  Lsn start = 0;
  Lsn wal_end = 0;
  int64_t server_us = 0;  ///< Microseconds since 2000-01-01 UTC.
  Bytes data;
};
/// PrimaryKeepalive says how far the server has sent, and may ask for an answer at once.
struct PrimaryKeepalive {
  Lsn wal_end = 0;
  int64_t server_us = 0;
  bool reply_requested = false;
};
using ReplicationMessage = std::variant<XLogData, PrimaryKeepalive>;

/// decode_replication decodes the body of one CopyData. Fails with kProtocol.
Result<ReplicationMessage> decode_replication(Bytes body);

/// The size of a Standby status update.
inline constexpr size_t kStandbyStatusBytes = 34;
/// encode_standby_status is the body of a Standby status update: everything before `flushed` is
/// stored here and need not be sent again. `received` is at least that.
std::array<std::byte, kStandbyStatusBytes> encode_standby_status(Lsn received, Lsn flushed,
                                                                 int64_t client_us,
                                                                 bool reply_requested);

// ---- pgoutput -----------------------------------------------------------------------------------

/// TupleValue is one column of a row. Views into the message.
struct TupleValue {
  enum class Kind : char {
    kNull = 'n',
    kUnchanged = 'u',  ///< A TOASTed value that the update did not change: it is not sent.
    kText = 't',
    kBinary = 'b',
  };
  Kind kind = Kind::kNull;
  Bytes bytes;
};
using Tuple = std::vector<TupleValue>;

namespace pgoutput {

/// Begin starts a transaction. Times here and below are microseconds since 2000-01-01 UTC.
struct Begin {
  Lsn commit_lsn = 0;  ///< Where the transaction's commit record begins.
  int64_t commit_us = 0;
  uint32_t xid = 0;
};
/// Commit ends a transaction.
struct Commit {
  Lsn commit_lsn = 0;
  Lsn end_lsn = 0;  ///< Right after the commit record: the position to confirm.
  int64_t commit_us = 0;
};
/// Origin names the replication origin of a transaction, and its position there.
struct Origin {
  Lsn lsn = 0;
  std::string_view name;
};
/// Column describes a column of a Relation.
struct Column {
  bool key = false;  ///< Whether it belongs to the replica identity.
  std::string_view name;
  Oid type_oid = 0;
  int32_t type_modifier = -1;
};
/// Relation describes a table. It comes before the table's first change and after each change of
/// the table's definition.
struct Relation {
  uint32_t xid = 0;  ///< Here and below: set inside a stream block only.
  Oid oid = 0;
  std::string_view schema, name;
  char replica_identity = 'd';
  std::vector<Column> columns;
};
/// Type names a type that is not built in.
struct Type {
  uint32_t xid = 0;
  Oid oid = 0;
  std::string_view schema, name;
};
/// Insert is a new row.
struct Insert {
  uint32_t xid = 0;
  Oid relation = 0;
  Tuple row;
};
/// OldRow says what is known of a row before the change.
enum class OldRow : uint8_t {
  kNone,
  kKey,    ///< The columns of the replica identity; all others are NULL.
  kWhole,  ///< REPLICA IDENTITY FULL.
};
/// Update is a changed row, with its old values as far as they are known.
struct Update {
  uint32_t xid = 0;
  Oid relation = 0;
  OldRow old_kind = OldRow::kNone;
  Tuple old_row, row;
};
/// Delete is a removed row.
struct Delete {
  uint32_t xid = 0;
  Oid relation = 0;
  OldRow old_kind = OldRow::kKey;
  Tuple old_row;
};
/// Truncate empties tables.
struct Truncate {
  uint32_t xid = 0;
  bool cascade = false, restart_identity = false;
  std::vector<Oid> relations;
};
/// Message is the content of a pg_logical_emit_message().
struct Message {
  uint32_t xid = 0;
  bool transactional = false;
  Lsn lsn = 0;
  std::string_view prefix;
  Bytes content;
};
struct StreamStart {
  uint32_t xid = 0;
  bool first = false;
};
struct StreamStop {};
struct StreamCommit {
  uint32_t xid = 0;
  Lsn commit_lsn = 0, end_lsn = 0;
  int64_t commit_us = 0;
};
struct StreamAbort {
  uint32_t xid = 0, subtransaction = 0;
  Lsn lsn = 0;           ///< Version 4 with parallel streams only.
  int64_t abort_us = 0;  ///< As lsn.
};
/// The four messages of two-phase commit, and of its stream.
struct Prepared {
  enum class Step : uint8_t {
    kBeginPrepare,
    kPrepare,
    kCommitPrepared,
    kRollbackPrepared,
    kStreamPrepare,
  };
  Step step = Step::kPrepare;
  Lsn lsn = 0;  ///< The position of the prepare or commit record; kRollbackPrepared: the end of the
                ///< prepare.
  Lsn end_lsn = 0;
  int64_t us = 0;          ///< Time of this step.
  int64_t prepare_us = 0;  ///< kRollbackPrepared only.
  uint32_t xid = 0;
  std::string_view gid;
};

using Any = std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate,
                         Message, StreamStart, StreamStop, StreamCommit, StreamAbort, Prepared>;

/// decode decodes one message; its views point into `body`. `in_stream`: the message is between a
/// StreamStart and its StreamStop, where most messages carry their transaction. Fails with
/// kProtocol on an unknown message, a count that cannot fit the body, or bytes left over.
Result<Any> decode(Bytes body, bool in_stream = false);

}  // namespace pgoutput
}  // namespace pgproto
