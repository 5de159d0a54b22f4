#pragma once
// Options as pairs of texts, checked by the table of options as those of a script are.

#include <pgsink/options.h>
#include <pgsink/pgsink_c.h>

namespace pgsink::c {

/// bind_options reads them. One error names all faults.
Result<SinkOptions> bind_options(const pgsink_option* options, size_t count);
/// The same with the functions of the caller; `callbacks` may be null.
Result<SinkOptions> bind_options(const pgsink_option* options, size_t count,
                                 const pgsink_callbacks* callbacks);

}  // namespace pgsink::c
