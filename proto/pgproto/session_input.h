#pragma once
// Which row of session_table.h a message of the server is looked up in.

#include <pgproto/backend.h>
#include <pgproto/request_queue.h>
#include <pgproto/session_table.h>

namespace pgproto {

/// is_fatal says whether the server closes the connection after this error.
bool is_fatal(const DiagnosticFields& fields);

/// classify is the input that `message` is, given the requests that are pending.
session_table::Input classify(const BackendMessage& message, const RequestQueue& requests);

}  // namespace pgproto
