#pragma once
// Values of types that have no binary form here: as the text that the server's own input functions
// read.

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// Wire is what a column's values are on their way. The statement that takes them makes the
/// column's type of them.
enum class Wire : uint8_t {
  kOwn,      ///< The type's own binary form.
  kText,     ///< Text for its input function.
  kNumeric,  ///< Numbers for money, whose text means what the server's lc_monetary says.
};
Wire wire_of(const Field& source, const Target& target);

/// MakeCodec makes the codec of any pair.
using MakeCodec = Result<CodecPointer> (*)(const Field& source, const Target& target);

/// make_text_codec writes the text of a value. `make` makes the codecs that say whether a part
/// holds its value. REQUIRES: goes_as_text(target)
Result<CodecPointer> make_text_codec(const Field& source, const Target& target, MakeCodec make);

}  // namespace pgsink::encode
