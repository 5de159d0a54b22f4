// Messages of pgoutput as PostgreSQL 15 sent them (pg_logical_slot_peek_binary_changes), next to
// the SQL that made them; cut off anywhere they are malformed, never something else.
//
//   CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, v text, m mood);
//   CREATE TABLE f (id int, v text); ALTER TABLE f REPLICA IDENTITY FULL;

#include <pgproto/pgoutput.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;
using Kind = TupleValue::Kind;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

/// Decodes, and proves that every shorter and longer body is refused.
template <typename Message>
Message decoded(const std::string& body, bool in_stream = false) {
  const auto any = pgoutput::decode(as_bytes(body), in_stream);
  EXPECT_TRUE(any) << any.error().message;
  for (size_t size = 0; size < body.size(); ++size) {
    const std::string part = body.substr(0, size);
    const auto cut = pgoutput::decode(as_bytes(part), in_stream);
    EXPECT_FALSE(cut) << size << " bytes of " << body.size();
    if (cut) continue;
    EXPECT_EQ(cut.error().code, Errc::kProtocol);
  }
  const std::string longer = body + '\0';
  EXPECT_FALSE(pgoutput::decode(as_bytes(longer), in_stream));
  if (!any || !std::holds_alternative<Message>(*any)) {
    ADD_FAILURE() << "another message than expected";
    return {};
  }
  return std::get<Message>(*any);
}

std::string text_of(const Tuple& tuple) {
  std::string text;
  for (const TupleValue& value : tuple) {
    if (!text.empty()) text += ' ';
    if (value.kind == Kind::kNull) text += "NULL";
    if (value.kind == Kind::kUnchanged) text += "unchanged";
    text += as_text(value.bytes);
  }
  return text;
}

TEST(Pgoutput, TransactionsBeginAndEnd) {
  const std::string begin = from_hex("4200000000015ba578000303e600845eb9000002ee");
  const auto first = decoded<pgoutput::Begin>(begin);
  EXPECT_EQ(format_lsn(first.commit_lsn), "0/15BA578");
  EXPECT_EQ(first.xid, 750U);
  const std::string commit = from_hex("430000000000015ba57800000000015ba5a8000303e600845eb9");
  const auto last = decoded<pgoutput::Commit>(commit);
  EXPECT_EQ(last.commit_lsn, first.commit_lsn);
  EXPECT_EQ(format_lsn(last.end_lsn), "0/15BA5A8");
  EXPECT_EQ(last.commit_us, first.commit_us);
}

TEST(Pgoutput, RelationsSayWhichColumnsAreTheIdentity) {
  const std::string body = from_hex(
      "52000040137075626c69630074006400030169640000000017ffffffff00760000000019ffffffff006d000000"
      "400fffffffff");
  const auto relation = decoded<pgoutput::Relation>(body);
  EXPECT_EQ(relation.oid, 0x4013U);
  EXPECT_EQ(relation.schema, "public");
  EXPECT_EQ(relation.name, "t");
  EXPECT_EQ(relation.replica_identity, 'd');
  ASSERT_EQ(relation.columns.size(), 3U);
  EXPECT_TRUE(relation.columns[0].key);
  EXPECT_EQ(relation.columns[0].type_oid, oid::kInt4);
  EXPECT_FALSE(relation.columns[1].key);
  EXPECT_EQ(relation.columns[2].name, "m");
  const std::string type = from_hex("590000400f7075626c6963006d6f6f6400");
  EXPECT_EQ(decoded<pgoutput::Type>(type).name, "mood");
}

TEST(Pgoutput, RowsComeAndGo) {
  // INSERT INTO t VALUES (1, 'a', 'ok'), (2, NULL, NULL)
  std::string body = from_hex("49000040134e000374000000013174000000016174000000026f6b");
  EXPECT_EQ(text_of(decoded<pgoutput::Insert>(body).row), "1 a ok");
  body = from_hex("49000040134e00037400000001326e6e");
  EXPECT_EQ(text_of(decoded<pgoutput::Insert>(body).row), "2 NULL NULL");
  // UPDATE t SET v = 'b' WHERE id = 1
  body = from_hex("55000040134e000374000000013174000000016274000000026f6b");
  auto update = decoded<pgoutput::Update>(body);
  EXPECT_EQ(update.old_kind, pgoutput::OldRow::kNone);
  EXPECT_EQ(text_of(update.row), "1 b ok");
  // UPDATE t SET id = 3 WHERE id = 2
  body = from_hex("55000040134b00037400000001326e6e4e00037400000001336e6e");
  update = decoded<pgoutput::Update>(body);
  EXPECT_EQ(update.old_kind, pgoutput::OldRow::kKey);
  EXPECT_EQ(text_of(update.old_row), "2 NULL NULL");
  EXPECT_EQ(text_of(update.row), "3 NULL NULL");
  // An update of a row whose v is TOASTed and stays as it is.
  body = from_hex("55000040134e0003740000000139757400000003736164");
  EXPECT_EQ(text_of(decoded<pgoutput::Update>(body).row), "9 unchanged sad");
  // DELETE FROM t WHERE id = 3
  body = from_hex("44000040134b00037400000001336e6e");
  EXPECT_EQ(text_of(decoded<pgoutput::Delete>(body).old_row), "3 NULL NULL");
  // TRUNCATE t, f RESTART IDENTITY CASCADE
  body = from_hex("540000000203000040130000401a");
  const auto truncate = decoded<pgoutput::Truncate>(body);
  EXPECT_EQ(truncate.relations, (std::vector<Oid>{0x4013, 0x401a}));
  EXPECT_TRUE(truncate.cascade && truncate.restart_identity);
}

TEST(Pgoutput, PreparedTransactionsAndMessagesAreUnderstood) {
  using Step = pgoutput::Prepared::Step;
  std::string body =
      from_hex("6200000000015be70000000000015be8a8000303e600846dae000002f66769643100");
  EXPECT_EQ(decoded<pgoutput::Prepared>(body).step, Step::kBeginPrepare);
  body = from_hex("500000000000015be70000000000015be8a8000303e600846dae000002f66769643100");
  EXPECT_EQ(decoded<pgoutput::Prepared>(body).gid, "gid1");
  body = from_hex("4b0000000000015be8a800000000015be8e0000303e600846def000002f66769643100");
  EXPECT_EQ(decoded<pgoutput::Prepared>(body).step, Step::kCommitPrepared);
  body = from_hex(
      "720000000000015bea6000000000015bea98000303e600846eb5000303e600846f07000002f76769643200");
  const auto undone = decoded<pgoutput::Prepared>(body);
  EXPECT_EQ(undone.step, Step::kRollbackPrepared);
  EXPECT_LT(undone.prepare_us, undone.us);
  EXPECT_EQ(undone.xid, 0x2f7U);
  body = from_hex("4d0100000000015bd8087072650000000007636f6e74656e74");
  const auto message = decoded<pgoutput::Message>(body);
  EXPECT_TRUE(message.transactional);
  EXPECT_EQ(message.prefix, "pre");
  EXPECT_EQ(as_text(message.content), "content");
}

TEST(Pgoutput, BlocksOfStreamsNameTheTransactionInEachMessage) {
  std::string body = from_hex("53000002f901");
  EXPECT_TRUE(decoded<pgoutput::StreamStart>(body).first);
  body = from_hex("4f00000000000000006f00");
  EXPECT_EQ(decoded<pgoutput::Origin>(body).name, "o");
  body = from_hex("49000002f90000401a4e00027400000003343633740000000172");
  const auto insert = decoded<pgoutput::Insert>(body, true);
  EXPECT_EQ(insert.xid, 0x2f9U);
  EXPECT_EQ(insert.relation, 0x401aU);
  EXPECT_EQ(text_of(insert.row), "463 r");
  EXPECT_FALSE(pgoutput::decode(as_bytes(body)));
  body = from_hex("44000002fb000040134b00037400000001396e6e");
  EXPECT_EQ(text_of(decoded<pgoutput::Delete>(body, true).old_row), "9 NULL NULL");
  body = from_hex("54000002fb00000001000000401a");
  EXPECT_EQ(decoded<pgoutput::Truncate>(body, true).relations.size(), 1U);
  body = from_hex("4d000002f90100000000015da418707265000000000163");
  EXPECT_EQ(as_text(decoded<pgoutput::Message>(body, true).content), "c");
  body = from_hex("45");
  decoded<pgoutput::StreamStop>(body);
  body = from_hex("41000002f9000002fa");
  EXPECT_EQ(decoded<pgoutput::StreamAbort>(body).subtransaction, 0x2faU);
  body = from_hex("63000002f90000000000015da41800000000015da5400000000000000000");
  EXPECT_EQ(format_lsn(decoded<pgoutput::StreamCommit>(body).end_lsn), "0/15DA540");
}

TEST(Pgoutput, CountsAndSizesThatCannotBeAreRefused) {
  for (const char* hex :
       {"49000000014effff6e6e6e", "49000000014e000174ffffffff",
        "49000000014e00017400000010"
        "61",
        "54ffffffff0000000001", "49000000014e000178", "5200000001610062006464646464", "7a", ""}) {
    const std::string body = from_hex(hex);
    const auto refused = pgoutput::decode(as_bytes(body));
    ASSERT_FALSE(refused) << hex;
    EXPECT_EQ(refused.error().code, Errc::kProtocol) << hex;
  }
}

TEST(ReplicationStream, HasDataAndKeepalives) {
  const std::string data = from_hex("77000000000000000100000000000000020000000000000003") + "abc";
  const auto message = decode_replication(as_bytes(data));
  ASSERT_TRUE(message);
  const auto& log = std::get<XLogData>(*message);
  EXPECT_EQ(log.start, 1U);
  EXPECT_EQ(log.wal_end, 2U);
  EXPECT_EQ(log.server_us, 3);
  EXPECT_EQ(as_text(log.data), "abc");
  const std::string alive = from_hex("6b0000000000000007000000000000000801");
  const auto keepalive = decode_replication(as_bytes(alive));
  ASSERT_TRUE(keepalive);
  EXPECT_EQ(std::get<PrimaryKeepalive>(*keepalive).wal_end, 7U);
  EXPECT_TRUE(std::get<PrimaryKeepalive>(*keepalive).reply_requested);
  for (const std::string& wrong :
       {std::string(), alive.substr(1), alive + "x", alive.substr(0, 17), data.substr(0, 24)}) {
    EXPECT_FALSE(decode_replication(as_bytes(wrong))) << wrong.size();
  }
}

TEST(ReplicationStream, StatusHasThreePositions) {
  const auto status = encode_standby_status(0x0102, 0x03, 0x04, true);
  EXPECT_EQ(std::string(as_text(status)),
            from_hex("72000000000000010200000000000000030000000000000003000000000000000401"));
}

TEST(Lsn, IsReadAndWrittenAsPostgresDoes) {
  EXPECT_EQ(format_lsn(0), "0/0");
  EXPECT_EQ(format_lsn(0x16b374d848), "16/B374D848");
  EXPECT_EQ(format_lsn(UINT64_MAX), "FFFFFFFF/FFFFFFFF");
  EXPECT_EQ(parse_lsn("16/b374d848"), 0x16b374d848U);
  EXPECT_EQ(parse_lsn("FFFFFFFF/FFFFFFFF"), UINT64_MAX);
  for (const char* wrong : {"", "/", "1/", "/1", "1", "g/1", "1/1 ", "123456789/0", "-1/0"}) {
    EXPECT_FALSE(parse_lsn(wrong)) << wrong;
  }
}

}  // namespace
