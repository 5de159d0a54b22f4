#pragma once
// The server's half of the protocol, over bytes: what a backend says is encoded, what a client said
// is decoded, and both sides of SCRAM and MD5 can be played. Knows no socket. Written from the
// protocol's documentation, not from the client's decoders, so that the two check each other.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <pgproto/backend.h>
#include <pgproto/frontend.h>
#include <pgproto/scram.h>

namespace pgsink::test {

// ---- encoding -----------------------------------------------------------------------------------

/// raw_message is type, length and body, whatever they are.
std::string raw_message(char type, std::string_view body);
/// encode returns the bytes of one backend message.
std::string encode(const pgproto::BackendMessage& message);
/// encode_all returns the bytes of several, one after the other.
std::string encode_all(std::initializer_list<pgproto::BackendMessage> messages);

/// error_response is an ErrorResponse as PostgreSQL sends it: severity in both forms.
pgproto::ErrorResponse error_response(std::string_view severity, std::string_view sqlstate,
                                      std::string_view message);
/// authentication_sasl is an AuthenticationSASL that offers these mechanisms.
std::string authentication_sasl(std::initializer_list<std::string_view> mechanisms);
/// authentication is an Authentication message of that code.
std::string authentication(pgproto::Authentication::Code code, std::string_view data = "");
/// ready is a ReadyForQuery.
pgproto::ReadyForQuery ready(char status);

/// describe is a message in one line, as tests compare and print it: "CommandComplete COPY 2".
std::string describe(const pgproto::BackendMessage& message);
/// describe is what a client said, in one line.
std::string describe(const pgproto::FrontendMessage& message);
std::string describe(const pgproto::StartupPacket& packet);

// ---- decoding -----------------------------------------------------------------------------------

/// ClientSaid is one message of a client: a startup packet, or a typed message. Owns its bytes,
/// which the views in `message` point into; copies keep pointing into the first.
struct ClientSaid {
  std::shared_ptr<const std::string> bytes;
  std::variant<pgproto::StartupPacket, pgproto::FrontendMessage> message;

  /// as returns the typed message if it is a `Message`, else nullptr.
  template <typename Message>
  const Message* as() const {
    const auto* typed = std::get_if<pgproto::FrontendMessage>(&message);
    return typed == nullptr ? nullptr : std::get_if<Message>(typed);
  }
};

/// FrontendDecoder cuts what a client sends into messages. It starts where a connection does: with
/// packets that have no type byte, until a StartupMessage.
class FrontendDecoder {
 public:
  /// feed appends bytes of the client.
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// next returns the next complete message; nullopt if more bytes are needed, an Error if they are
  /// no message.
  pgproto::Result<std::optional<ClientSaid>> next();
  /// expect_auth says what the next message of type 'p' is an answer to.
  void expect_auth(pgproto::AuthResponse auth) { auth_ = auth; }
  /// skip_startup starts where the startup is over.
  void skip_startup() { typed_ = true; }
  /// buffered is what is not a whole message yet.
  size_t buffered() const { return buffer_.size(); }

 private:
  std::string buffer_;
  bool typed_ = false;
  pgproto::AuthResponse auth_ = pgproto::AuthResponse::kPassword;
};

/// frontend_messages decodes a whole stream of typed messages into lines; "…" at its end stands for
/// an incomplete one.
std::vector<std::string> frontend_messages(std::string_view bytes);

// ---- authentication -----------------------------------------------------------------------------

/// md5_accepts says whether a PasswordMessage answers AuthenticationMD5Password rightly.
bool md5_accepts(std::string_view user, std::string_view password, std::string_view salt,
                 std::string_view response);

/// ScramServer plays the server of one SCRAM exchange. RFC 5802; Server: auth-scram.c.
class ScramServer {
 public:
  struct Config {
    std::string password;
    std::string salt = "0123456789abcdef";
    uint32_t iterations = 4096;
    std::string nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF";  ///< The server's part.
    /// The hash of the certificate; empty: no channel binding offered.
    std::string channel_binding;
    /// Appended to server-first and server-final, for example ",x=1".
    std::string extension;
  };
  explicit ScramServer(Config config) : config_(std::move(config)) {}

  /// first answers a client-first-message; nullopt if it is malformed or its GS2 header betrays a
  /// downgrade ('y' although channel binding was offered).
  std::optional<std::string> first(std::string_view mechanism, std::string_view client_first);
  /// final answers a client-final-message; nullopt if the proof or the channel binding is wrong.
  std::optional<std::string> final(std::string_view client_final);

 private:
  Config config_;
  std::string gs2_header_;
  std::string client_first_bare_;
  std::string server_first_;
  std::string whole_nonce_;
  bool bound_ = false;
};

}  // namespace pgsink::test
