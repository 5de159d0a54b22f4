#pragma once
// The conversation as text: the lines that libpq's PQtrace() writes with
// PQTRACE_SUPPRESS_TIMESTAMPS (there is no clock here), so that traces of both can be compared.
// Passwords, SASL data and cancel keys are never written: they are replaced by the "SSSS", 'BBBB'
// and NNNN of libpq's regression mode. Unlike libpq it writes only the size of CopyData.
// Source: libpq documentation, "PQtrace"; the format is that of libpq 17, which names the messages
// of the startup.

#include <cstdint>
#include <string>

#include <pgproto/bytes.h>
#include <pgproto/frontend.h>

namespace pgproto {

/// Sender is the sender of a message.
enum class Sender : char { kFrontend = 'F', kBackend = 'B' };

/// trace_message appends the line of one message, newline included. Takes any bytes: if they are
/// not a whole message, a second line says so.
void trace_message(std::string& text, Sender sender, char type, Bytes body,
                   AuthResponse auth = AuthResponse::kPassword);
/// trace_startup_packet does the same for a message without type byte; `body` follows its length.
void trace_startup_packet(std::string& text, Bytes body);

/// Tracer turns the bytes of a connection into lines, one a message: a text's line break is \n. Of
/// CopyData and of a message larger than `message_bytes_max` it keeps and writes only the size.
class Tracer {
 public:
  explicit Tracer(size_t message_bytes_max = 64 * 1024) : message_bytes_max_(message_bytes_max) {}

  /// frontend appends the lines of the messages that these bytes complete.
  void frontend(Bytes bytes, std::string& text) { feed(frontend_, Sender::kFrontend, bytes, text); }
  /// backend does the same for the other direction.
  void backend(Bytes bytes, std::string& text) { feed(backend_, Sender::kBackend, bytes, text); }

 private:
  // The incomplete message of one direction.
  struct Stream {
    std::string kept;    // Its bytes from the first on, up to the limit.
    size_t missing = 0;  // Bytes of its body that have not arrived, once the header is known.
    bool in_body = false;
    bool typed = false;
  };
  void feed(Stream& stream, Sender sender, Bytes bytes, std::string& text);
  void read_header(Stream& stream);
  void finish(Stream& stream, Sender sender, std::string& text);

  size_t message_bytes_max_;
  Stream frontend_;
  Stream backend_{.kept = {}, .missing = 0, .in_body = false, .typed = true};
  AuthResponse auth_ = AuthResponse::kPassword;
  // The name of the request that the server answers by a single byte.
  const char* answer_due_ = nullptr;
};

}  // namespace pgproto
