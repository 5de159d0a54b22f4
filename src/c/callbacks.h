#pragma once
// The functions of a C program as callbacks of a sink.

#include <pgsink/options.h>
#include <pgsink/pgsink_c.h>

namespace pgsink::c {

/// set_callbacks gives the options the functions that the struct has, which may be of an older
/// version of the header. Fails with kUsage if its size is too small.
Status set_callbacks(const pgsink_callbacks& given, SinkOptions& options);

}  // namespace pgsink::c
