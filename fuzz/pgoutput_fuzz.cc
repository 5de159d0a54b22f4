// Any bytes as a message of a replication stream: nothing is read that is not there, and what is
// held is in proportion to the bytes.

#include <string>
#include <variant>

#include <pgproto/pgoutput.h>

#include "check.h"

using namespace pgproto;

namespace {

bool inside(Bytes part, Bytes body) {
  return part.empty() ||
         (part.data() >= body.data() && part.data() + part.size() <= body.data() + body.size());
}

/// Each value has paid for itself with at least its kind, and lies in the body.
void check_tuple(const Tuple& tuple, Bytes body) {
  FUZZ_CHECK(tuple.size() <= body.size());
  for (const TupleValue& value : tuple) {
    FUZZ_CHECK(inside(value.bytes, body));
    const bool carries =
        value.kind == TupleValue::Kind::kText || value.kind == TupleValue::Kind::kBinary;
    FUZZ_CHECK(carries || value.bytes.empty());
  }
}

void check(const pgoutput::Any& any, Bytes body) {
  if (const auto* insert = std::get_if<pgoutput::Insert>(&any)) {
    check_tuple(insert->row, body);
  } else if (const auto* update = std::get_if<pgoutput::Update>(&any)) {
    check_tuple(update->row, body);
    check_tuple(update->old_row, body);
    FUZZ_CHECK(update->old_kind != pgoutput::OldRow::kNone || update->old_row.empty());
  } else if (const auto* gone = std::get_if<pgoutput::Delete>(&any)) {
    check_tuple(gone->old_row, body);
    FUZZ_CHECK(gone->old_kind != pgoutput::OldRow::kNone);
  } else if (const auto* relation = std::get_if<pgoutput::Relation>(&any)) {
    FUZZ_CHECK(relation->columns.size() * 10 <= body.size());
    for (const auto& column : relation->columns) FUZZ_CHECK(inside(as_bytes(column.name), body));
  } else if (const auto* truncate = std::get_if<pgoutput::Truncate>(&any)) {
    FUZZ_CHECK(truncate->relations.size() * 4 <= body.size());
  } else if (const auto* message = std::get_if<pgoutput::Message>(&any)) {
    FUZZ_CHECK(inside(message->content, body));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const uint8_t way = input.byte();
  const std::string_view text = input.take_rest();
  const Bytes body = as_bytes(text);
  if (way == 2) {
    const auto message = decode_replication(body);
    FUZZ_CHECK(message || message.error().code == Errc::kProtocol);
    if (message) {
      const auto* data_message = std::get_if<XLogData>(&*message);
      FUZZ_CHECK(data_message == nullptr || inside(data_message->data, body));
    }
    const auto lsn = parse_lsn(text);
    FUZZ_CHECK(!lsn || parse_lsn(format_lsn(*lsn)) == lsn);
    return 0;
  }
  const auto message = pgoutput::decode(body, way == 1);
  FUZZ_CHECK(message || message.error().code == Errc::kProtocol);
  if (message) check(*message, body);
  return 0;
}
