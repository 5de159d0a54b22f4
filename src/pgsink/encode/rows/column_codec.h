#pragma once
// How an EncodeColumn gets its codec, for every encoder alike.

#include <string>

#include <pgproto/type_info.h>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/encode/rows/server_text.h"

namespace pgsink::encode {

/// ColumnCodec is a column of an encoder: what to read, how, and how to name it in messages.
struct ColumnCodec {
  size_t source_index = 0;
  std::string target_name;
  std::string type_name;
  pgproto::Oid target_oid = 0;  ///< Of what is sent.
  CodecPointer codec;
};

/// column_wire says what a column's values are on their way. REQUIRES: its type is known.
Wire column_wire(const EncodeColumn& column, const pgproto::TypeMap& types);
/// wire_oid is the type that stands for the column's own. REQUIRES: wire is not kOwn.
pgproto::Oid wire_oid(Wire wire);

/// make_column_codec chooses the codec by source, type and role. The error (kColumnType) names the
/// column and says what would work.
Result<ColumnCodec> make_column_codec(const EncodeColumn& column, const pgproto::TypeMap& types);

/// note_faults makes rejections of what a codec found in a block, and empties `faults`. Of each row
/// only the first fault is kept; Rejection::row is its position in the block.
void note_faults(FaultList& faults, size_t column, std::vector<Rejection>& rejections);
/// explain_rejection makes a rejection's text whole: which row, which column of which type.
void explain_rejection(Rejection& rejection, const ColumnCodec& column);

}  // namespace pgsink::encode
