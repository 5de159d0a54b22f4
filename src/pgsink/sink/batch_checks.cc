#include "pgsink/sink/batch_checks.h"

#include <algorithm>
#include <string>

namespace pgsink {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Status;

namespace {

/// Whether the values of one field can be read as those of another.
bool is_read_alike(const Field& a, const Field& b) {
  const bool named = a.kind == ColumnKind::kStruct;  // Elements of lists have any name.
  return a.kind == b.kind && a.unit == b.unit && a.utc == b.utc && a.scale == b.scale &&
         a.width == b.width && a.index_kind == b.index_kind &&
         std::ranges::equal(a.children, b.children, [&](const Field& one, const Field& other) {
           return (!named || one.name == other.name) && is_read_alike(one, other);
         });
}

/// The first difference between the schema of a batch and the sink's; "" if there is none.
std::string schema_difference(const Schema& given, const Schema& schema) {
  if (given.size() != schema.size()) {
    return std::to_string(given.size()) + " columns instead of " + std::to_string(schema.size());
  }
  for (size_t i = 0; i < schema.size(); ++i) {
    if (given[i].name != schema[i].name) {
      return "column \"" + given[i].name + "\" instead of \"" + schema[i].name + "\"";
    }
    if (!is_read_alike(given[i], schema[i])) {
      return "column \"" + schema[i].name + "\" has another type";
    }
  }
  return "";
}

}  // namespace

Status check_schema(const RecordBatch& batch, const Schema& schema) {
  const auto& own = batch.schema();
  if (own.get() == &schema) return {};
  const std::string difference = own == nullptr ? "none" : schema_difference(*own, schema);
  if (difference.empty()) return {};
  return fail(Errc::kUsage,
              "write(): the batch's schema is not the one given to open(): " + difference);
}

Status check_proof(std::string_view proof) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (proof.size() <= RecordBatch::kProofBytesMax && std::ranges::all_of(proof, printable)) {
    return {};
  }
  return fail(Errc::kUsage, "write(): RecordBatch::position_proof has " +
                                std::to_string(proof.size()) + " bytes; it may have " +
                                std::to_string(RecordBatch::kProofBytesMax) +
                                ", all of them printable ASCII characters");
}

}  // namespace pgsink
