#pragma once
// What is checked of a batch before the sink accepts it.

#include <string_view>

#include <pgproto/error.h>

#include "pgsink/record_batch.h"

namespace pgsink {

/// check_schema fails (kUsage) if the values of the batch cannot be read by the schema that open()
/// was given; the message names the first difference.
pgproto::Status check_schema(const RecordBatch& batch, const Schema& schema);
/// check_proof fails (kUsage) if a RecordBatch::position_proof cannot be stored.
pgproto::Status check_proof(std::string_view proof);

}  // namespace pgsink
