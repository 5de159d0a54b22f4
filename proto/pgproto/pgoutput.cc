#include <charconv>
#include <new>

#include <pgproto/pgoutput.h>

namespace pgproto {

std::string format_lsn(Lsn lsn) {
  std::array<char, 17> text{};
  char* const end = text.data() + text.size();
  char* at = std::to_chars(text.data(), end, lsn >> 32, 16).ptr;
  *at++ = '/';
  at = std::to_chars(at, end, lsn & 0xffffffff, 16).ptr;
  std::string upper(text.data(), at);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

std::optional<Lsn> parse_lsn(std::string_view text) {
  constexpr size_t kHalfDigitsMax = 8;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  Lsn halves[2] = {0, 0};
  const std::string_view parts[2] = {text.substr(0, slash), text.substr(slash + 1)};
  for (size_t i = 0; i < 2; ++i) {
    const std::string_view part = parts[i];
    if (part.size() > kHalfDigitsMax) return std::nullopt;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), halves[i], 16);
    if (read.ec != std::errc() || read.ptr != part.data() + part.size()) return std::nullopt;
  }
  return halves[0] << 32 | halves[1];
}

// ---- the stream ---------------------------------------------------------------------------------

Result<ReplicationMessage> decode_replication(Bytes body) {
  ByteReader reader(body);
  const char type = reader.read<char>();
  if (type == 'w') {
    XLogData message;
    message.start = reader.read<uint64_t>();
    message.wal_end = reader.read<uint64_t>();
    message.server_us = reader.read<int64_t>();
    message.data = reader.read_bytes(reader.remaining());
    if (reader.ok()) return message;
  } else if (type == 'k') {
    PrimaryKeepalive message;
    message.wal_end = reader.read<uint64_t>();
    message.server_us = reader.read<int64_t>();
    message.reply_requested = reader.read<uint8_t>() != 0;
    if (reader.done()) return message;
  } else {
    return fail(Errc::kProtocol, "the replication stream holds a message of an unknown type");
  }
  return fail(Errc::kProtocol, std::string("the replication stream holds a malformed ") +
                                   (type == 'w' ? "XLogData" : "keepalive"));
}

std::array<std::byte, kStandbyStatusBytes> encode_standby_status(Lsn received, Lsn flushed,
                                                                 int64_t client_us,
                                                                 bool reply_requested) {
  std::array<std::byte, kStandbyStatusBytes> body{};
  body[0] = std::byte{'r'};
  store_be(&body[1], received);
  store_be(&body[9], flushed);
  store_be(&body[17], flushed);  // Applied: here it equals flushed.
  store_be(&body[25], client_us);
  body[33] = std::byte{reply_requested};
  return body;
}

// ---- pgoutput -----------------------------------------------------------------------------------

namespace pgoutput {
namespace {

/// The transaction id at the begin of messages in a stream block.
uint32_t read_xid(ByteReader& reader, bool in_stream) {
  return in_stream ? reader.read<uint32_t>() : 0;
}

Tuple read_tuple(ByteReader& reader) {
  using Kind = TupleValue::Kind;
  const size_t count = reader.read_count_u16(1);  // A value takes at least its kind byte.
  Tuple tuple;
  tuple.reserve(count);
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    TupleValue value;
    value.kind = static_cast<Kind>(reader.read<char>());
    if (value.kind == Kind::kText || value.kind == Kind::kBinary) {
      const auto size = reader.read<int32_t>();
      if (size < 0) reader.fail();
      value.bytes = reader.read_bytes(static_cast<size_t>(size));
    } else if (value.kind != Kind::kNull && value.kind != Kind::kUnchanged) {
      reader.fail();
    }
    tuple.push_back(value);
  }
  return tuple;
}

/// A tuple after its kind byte.
Tuple read_tuple_of(ByteReader& reader, char letter) {
  if (reader.read<char>() != letter) reader.fail();
  return read_tuple(reader);
}

OldRow read_old_row(ByteReader& reader, Tuple& row) {
  const Bytes rest = reader.rest();
  const char letter = rest.empty() ? '\0' : static_cast<char>(rest[0]);
  if (letter != 'K' && letter != 'O') return OldRow::kNone;
  row = read_tuple_of(reader, letter);
  return letter == 'K' ? OldRow::kKey : OldRow::kWhole;
}

Begin read_begin(ByteReader& reader) {
  Begin message;
  message.commit_lsn = reader.read<uint64_t>();
  message.commit_us = reader.read<int64_t>();
  message.xid = reader.read<uint32_t>();
  return message;
}

Commit read_commit(ByteReader& reader) {
  Commit message;
  reader.read<uint8_t>();  // flags, none defined
  message.commit_lsn = reader.read<uint64_t>();
  message.end_lsn = reader.read<uint64_t>();
  message.commit_us = reader.read<int64_t>();
  return message;
}

Origin read_origin(ByteReader& reader) {
  Origin message;
  message.lsn = reader.read<uint64_t>();
  message.name = reader.read_cstring();
  return message;
}

Relation read_relation(ByteReader& reader, bool in_stream) {
  constexpr size_t kColumnBytesMin = 1 + 1 + 4 + 4;
  Relation message;
  message.xid = read_xid(reader, in_stream);
  message.oid = reader.read<uint32_t>();
  message.schema = reader.read_cstring();
  message.name = reader.read_cstring();
  message.replica_identity = reader.read<char>();
  const size_t count = reader.read_count_u16(kColumnBytesMin);
  message.columns.reserve(count);
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    Column column;
    column.key = (reader.read<uint8_t>() & 1) != 0;
    column.name = reader.read_cstring();
    column.type_oid = reader.read<uint32_t>();
    column.type_modifier = reader.read<int32_t>();
    message.columns.push_back(column);
  }
  return message;
}

Type read_type(ByteReader& reader, bool in_stream) {
  Type message;
  message.xid = read_xid(reader, in_stream);
  message.oid = reader.read<uint32_t>();
  message.schema = reader.read_cstring();
  message.name = reader.read_cstring();
  return message;
}

Insert read_insert(ByteReader& reader, bool in_stream) {
  Insert message;
  message.xid = read_xid(reader, in_stream);
  message.relation = reader.read<uint32_t>();
  message.row = read_tuple_of(reader, 'N');
  return message;
}

Update read_update(ByteReader& reader, bool in_stream) {
  Update message;
  message.xid = read_xid(reader, in_stream);
  message.relation = reader.read<uint32_t>();
  message.old_kind = read_old_row(reader, message.old_row);
  message.row = read_tuple_of(reader, 'N');
  return message;
}

Delete read_delete(ByteReader& reader, bool in_stream) {
  Delete message;
  message.xid = read_xid(reader, in_stream);
  message.relation = reader.read<uint32_t>();
  message.old_kind = read_old_row(reader, message.old_row);
  if (message.old_kind == OldRow::kNone) reader.fail();
  return message;
}

Truncate read_truncate(ByteReader& reader, bool in_stream) {
  Truncate message;
  message.xid = read_xid(reader, in_stream);
  const size_t count = reader.read<uint32_t>();
  const auto flags = reader.read<uint8_t>();
  message.cascade = (flags & 1) != 0;
  message.restart_identity = (flags & 2) != 0;
  if (count > reader.remaining() / sizeof(Oid)) reader.fail();
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    message.relations.push_back(reader.read<uint32_t>());
  }
  return message;
}

Message read_message(ByteReader& reader, bool in_stream) {
  Message message;
  message.xid = read_xid(reader, in_stream);
  message.transactional = (reader.read<uint8_t>() & 1) != 0;
  message.lsn = reader.read<uint64_t>();
  message.prefix = reader.read_cstring();
  message.content = reader.read_bytes(reader.read<uint32_t>());
  return message;
}

StreamStart read_stream_start(ByteReader& reader) {
  StreamStart message;
  message.xid = reader.read<uint32_t>();
  message.first = reader.read<uint8_t>() == 1;
  return message;
}

StreamCommit read_stream_commit(ByteReader& reader) {
  StreamCommit message;
  message.xid = reader.read<uint32_t>();
  const Commit commit = read_commit(reader);
  message.commit_lsn = commit.commit_lsn;
  message.end_lsn = commit.end_lsn;
  message.commit_us = commit.commit_us;
  return message;
}

StreamAbort read_stream_abort(ByteReader& reader) {
  StreamAbort message;
  message.xid = reader.read<uint32_t>();
  message.subtransaction = reader.read<uint32_t>();
  if (reader.remaining() == 0) return message;
  message.lsn = reader.read<uint64_t>();
  message.abort_us = reader.read<int64_t>();
  return message;
}

Prepared read_prepared(ByteReader& reader, Prepared::Step step) {
  using Step = Prepared::Step;
  Prepared message;
  message.step = step;
  if (step != Step::kBeginPrepare) reader.read<uint8_t>();  // flags, none defined
  message.lsn = reader.read<uint64_t>();
  message.end_lsn = reader.read<uint64_t>();
  if (step == Step::kRollbackPrepared) message.prepare_us = reader.read<int64_t>();
  message.us = reader.read<int64_t>();
  message.xid = reader.read<uint32_t>();
  message.gid = reader.read_cstring();
  return message;
}

std::optional<Any> read_any(char type, ByteReader& reader, bool in_stream) {
  using Step = Prepared::Step;
  switch (type) {
      // clang-format off
    case 'B': return read_begin(reader);
    case 'C': return read_commit(reader);
    case 'O': return read_origin(reader);
    case 'R': return read_relation(reader, in_stream);
    case 'Y': return read_type(reader, in_stream);
    case 'I': return read_insert(reader, in_stream);
    case 'U': return read_update(reader, in_stream);
    case 'D': return read_delete(reader, in_stream);
    case 'T': return read_truncate(reader, in_stream);
    case 'M': return read_message(reader, in_stream);
    case 'S': return read_stream_start(reader);
    case 'E': return StreamStop{};
    case 'c': return read_stream_commit(reader);
    case 'A': return read_stream_abort(reader);
    case 'b': return read_prepared(reader, Step::kBeginPrepare);
    case 'P': return read_prepared(reader, Step::kPrepare);
    case 'K': return read_prepared(reader, Step::kCommitPrepared);
    case 'r': return read_prepared(reader, Step::kRollbackPrepared);
    case 'p': return read_prepared(reader, Step::kStreamPrepare);
    default: return std::nullopt;
      // clang-format on
  }
}

std::string name_of(char type) {
  if (type > ' ' && type < '\x7f') return std::string("'") + type + "'";
  return "number " + std::to_string(static_cast<unsigned char>(type));
}

}  // namespace

Result<Any> decode(Bytes body, bool in_stream) {
  ByteReader reader(body);
  const char type = reader.read<char>();
  try {
    std::optional<Any> message = read_any(type, reader, in_stream);
    if (message && reader.done()) return *std::move(message);
    return fail(Errc::kProtocol, std::string(message ? "a malformed" : "an unknown") +
                                     " message of pgoutput (" + name_of(type) + ", " +
                                     std::to_string(body.size()) + " bytes)");
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "no memory for a message of pgoutput");
  }
}

}  // namespace pgoutput
}  // namespace pgproto
