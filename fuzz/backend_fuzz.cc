// Any body of any type: decoders of both sides and the trace read nothing that is not there, and
// what they hold is in proportion to the body.

#include <string>
#include <variant>

#include <pgproto/backend.h>
#include <pgproto/frontend.h>
#include <pgproto/trace.h>

#include "check.h"

using namespace pgproto;

namespace {

// The elements of a message that its body must have paid for, at least `bytes` each.
void check_counts(const BackendMessage& message, size_t body_bytes) {
  if (const auto* rows = std::get_if<RowDescription>(&message)) {
    FUZZ_CHECK(rows->fields.size() * 19 <= body_bytes);
  }
  if (const auto* row = std::get_if<DataRow>(&message)) {
    FUZZ_CHECK(row->values.size() * 4 <= body_bytes);
  }
  if (const auto* parameters = std::get_if<ParameterDescription>(&message)) {
    FUZZ_CHECK(parameters->types.size() * 4 <= body_bytes);
  }
  if (const auto* answer = std::get_if<NegotiateProtocolVersion>(&message)) {
    FUZZ_CHECK(answer->unrecognized_options.size() <= body_bytes);
  }
  if (const auto* error = std::get_if<ErrorResponse>(&message)) {
    FUZZ_CHECK(error->sqlstate.is_set());
    FUZZ_CHECK(error->to_error().to_string().find('\n') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const char type = static_cast<char>(input.byte());
  const Bytes body = as_bytes(input.take_rest());
  if (const auto message = decode_backend(type, body)) check_counts(*message, body.size());
  std::string trace;
  trace_message(trace, Sender::kBackend, type, body);
  for (const auto auth :
       {AuthResponse::kPassword, AuthResponse::kSaslInitial, AuthResponse::kSasl}) {
    const auto message = decode_frontend(type, body, auth);
    FUZZ_CHECK(message || message.error().code == Errc::kProtocol);
    trace_message(trace, Sender::kFrontend, type, body, auth);
  }
  const auto packet = decode_startup_packet(body);
  FUZZ_CHECK(packet || packet.error().code == Errc::kProtocol);
  trace_startup_packet(trace, body);
  FUZZ_CHECK(trace.size() <= 64 * (body.size() + 64));

  Tracer tracer(100);
  std::string pieces;
  for (size_t i = 0; i < body.size(); ++i) tracer.backend(body.subspan(i, 1), pieces);
  Tracer whole_tracer(100);
  std::string whole;
  whole_tracer.backend(body, whole);
  FUZZ_CHECK(pieces == whole);
  return 0;
}
