#include "pgsink/client/tls.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "pgsink/client/tls_state.h"

namespace pgsink {

namespace {

// Plain bytes encrypted at a time: a chunk of 64 KiB with its header and the messages after it, in
// one system call.
constexpr size_t kPlainBytesPerTurn = size_t{128} << 10;
// A record has at most 16 KiB and some overhead: room to receive two at once.
constexpr size_t kReceiveBufferBytes = size_t{36} << 10;

class OpenSslTransport final : public TlsTransport {
 public:
  OpenSslTransport(std::unique_ptr<Transport> plain, bool direct)
      : plain_(std::move(plain)), direct_(direct), in_(kReceiveBufferBytes) {}

  Status start(SSL_CTX* context, bool verify, bool sni, const std::string& host);
  Status shake_hands(Deadline deadline);
  Status check_peer(bool verify_host, const std::string& host);

  Result<Moved> exchange(Bytes out, MutableBytes in, Deadline deadline) override;
  void interrupt() override { plain_->interrupt(); }
  void end_stream() override;
  uint16_t local_port() const override { return plain_->local_port(); }
  void close() override { plain_->close(); }
  const std::vector<std::byte>& server_end_point() const override { return end_point_; }
  std::string description() const override {
    return std::string(SSL_get_version(ssl_.get())) + ", " + SSL_get_cipher_name(ssl_.get());
  }

  // The callbacks of OpenSSL.
  static int bio_write(BIO* bio, const char* data, size_t size, size_t* written);
  static int bio_read(BIO* bio, char* data, size_t size, size_t* read);
  static long bio_control(BIO* bio, int command, long, void*);

 private:
  Bytes waiting() const { return Bytes(out_).subspan(out_begin_); }
  void drop_sent(size_t size);
  Status encrypt(Bytes out);
  Status decrypt(MutableBytes in, Moved& moved);
  Result<Moved> move(bool receive, Deadline deadline);
  Status end_of_input(Moved& moved);
  std::unexpected<Error> broken(const char* where);

  std::unique_ptr<Transport> plain_;
  const bool direct_;
  BioMethodPtr bio_method_;  // outlives the BIO inside ssl_
  SslPtr ssl_;
  std::vector<std::byte> end_point_;

  std::vector<std::byte> out_;  // encrypted; not sent from out_begin_ on
  size_t out_begin_ = 0;
  // Plain bytes whose encrypted form is in out_, not reported as sent yet.
  size_t plain_in_out_ = 0;
  std::vector<std::byte> in_;  // encrypted; OpenSSL has not read [in_begin_, in_end_)
  size_t in_begin_ = 0, in_end_ = 0;
  bool more_to_decrypt_ = false;
  bool failed_ = false;
};

// ---- the two buffers that OpenSSL reads and writes ----------------------------------------------

int OpenSslTransport::bio_write(BIO* bio, const char* data, size_t size, size_t* written) {
  auto* self = static_cast<OpenSslTransport*>(BIO_get_data(bio));
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  self->out_.insert(self->out_.end(), bytes, bytes + size);
  *written = size;
  return 1;
}

int OpenSslTransport::bio_read(BIO* bio, char* data, size_t size, size_t* read) {
  auto* self = static_cast<OpenSslTransport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *read = std::min(size, self->in_end_ - self->in_begin_);
  if (*read == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(data, self->in_.data() + self->in_begin_, *read);
  self->in_begin_ += *read;
  return 1;
}

long OpenSslTransport::bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

void OpenSslTransport::drop_sent(size_t size) {
  out_begin_ += size;
  if (out_begin_ == out_.size()) {
    out_.clear();
    out_begin_ = 0;
  }
}

// ---- handshake ----------------------------------------------------------------------------------

std::unexpected<Error> OpenSslTransport::broken(const char* where) {
  failed_ = true;
  const long verdict = SSL_get_verify_result(ssl_.get());
  std::string reason = take_tls_error();
  if (verdict != X509_V_OK && SSL_is_init_finished(ssl_.get()) == 0) {
    reason = std::string("the server's certificate is not acceptable: ") +
             X509_verify_cert_error_string(verdict);
  }
  return fail(Errc::kTls, std::string(where) + " failed: " + reason);
}

Status OpenSslTransport::start(SSL_CTX* context, bool verify, bool sni, const std::string& host) {
  ERR_clear_error();
  bio_method_.reset(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "pgsink"));
  ssl_.reset(SSL_new(context));
  if (!ssl_ || !bio_method_) return fail(Errc::kTls, "OpenSSL: " + take_tls_error());
  BIO_meth_set_write_ex(bio_method_.get(), &bio_write);
  BIO_meth_set_read_ex(bio_method_.get(), &bio_read);
  BIO_meth_set_ctrl(bio_method_.get(), &bio_control);
  BIO* bio = BIO_new(bio_method_.get());
  if (bio == nullptr) return fail(Errc::kTls, "OpenSSL: " + take_tls_error());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes the only reference
  SSL_set_verify(ssl_.get(), verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (sni && !host.empty() && !is_ip_address(host) &&
      SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) != 1) {
    return fail(Errc::kTls, "the host name cannot be sent in the handshake: " + take_tls_error());
  }
  SSL_set_connect_state(ssl_.get());
  return {};
}

Status OpenSslTransport::shake_hands(Deadline deadline) {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return {};  // Our last handshake message is sent with the first data.
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ) {
      auto failure = broken("the TLS handshake");
      // Tells the peer the reason, if that is possible without waiting.
      if (!waiting().empty()) (void)plain_->exchange(waiting(), {}, kAtOnce);
      return failure;
    }
    const auto moved = move(true, deadline);
    if (!moved) return fail(moved.error());
    if (moved->eof) {
      return fail(Errc::kTls, "the server closed the connection during the TLS handshake");
    }
  }
}

Status OpenSslTransport::check_peer(bool verify_host, const std::string& host) {
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  if (!certificate) return fail(Errc::kTls, "the server has no certificate");
  if (verify_host) {
    if (auto status = check_certificate_host(certificate.get(), host); !status) return status;
  }
  end_point_ = certificate_end_point(certificate.get());
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  const std::string_view chosen(reinterpret_cast<const char*>(protocol), size);
  if (direct_ && chosen.empty()) {
    return fail(Errc::kTls,
                "the server accepted direct TLS without naming the protocol "
                "\"postgresql\" (ALPN); it may not be a PostgreSQL server");
  }
  if (!chosen.empty() && chosen != "postgresql") {
    return fail(Errc::kTls, "the server chose a protocol (ALPN) other than \"postgresql\"");
  }
  return {};
}

// ---- moving bytes -------------------------------------------------------------------------------

// One exchange of encrypted bytes with the transport below.
Result<Transport::Moved> OpenSslTransport::move(bool receive, Deadline deadline) {
  MutableBytes room;
  if (receive) {
    if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
    room = MutableBytes(in_).subspan(in_end_);
  }
  auto moved = plain_->exchange(waiting(), room, deadline);
  if (!moved) return moved;
  drop_sent(moved->sent);
  in_end_ += moved->received;
  return moved;
}

Status OpenSslTransport::encrypt(Bytes out) {
  out = out.first(std::min(out.size(), kPlainBytesPerTurn));
  while (!out.empty()) {
    ERR_clear_error();
    size_t size = 0;
    // It cannot block: bio_write() takes everything.
    if (SSL_write_ex(ssl_.get(), out.data(), out.size(), &size) != 1) {
      return broken("encrypting");
    }
    plain_in_out_ += size;
    out = out.subspan(size);
  }
  return {};
}

// Reads until OpenSSL has nothing left or `in` is full. Bytes that stay inside OpenSSL would
// otherwise be waited for at the socket, where they never arrive.
Status OpenSslTransport::decrypt(MutableBytes in, Moved& moved) {
  more_to_decrypt_ = false;
  while (moved.received < in.size()) {
    ERR_clear_error();
    size_t size = 0;
    const MutableBytes rest = in.subspan(moved.received);
    if (SSL_read_ex(ssl_.get(), rest.data(), rest.size(), &size) == 1) {
      moved.received += size;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), 0);
    if (error == SSL_ERROR_WANT_READ) return {};
    if (moved.received > 0) {
      more_to_decrypt_ = true;  // The next call finds the same end again, with nothing before it.
      return {};
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
      moved.eof = true;
      return {};
    }
    return broken("TLS");
  }
  more_to_decrypt_ = true;
  return {};
}

Status OpenSslTransport::end_of_input(Moved& moved) {
  if ((SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0) {
    moved.eof = true;
    return {};
  }
  failed_ = true;
  return fail(
      Errc::kConnectionLost,
      "the connection broke: the encrypted stream ends without close_notify, as if cut off");
}

Result<Transport::Moved> OpenSslTransport::exchange(Bytes out, MutableBytes in, Deadline deadline) {
  Moved moved;
  if (failed_) return fail(Errc::kConnectionLost, "the TLS connection failed before");
  if (more_to_decrypt_ && !in.empty()) {
    if (auto status = decrypt(in, moved); !status) return fail(status.error());
    if (moved.received > 0 || moved.eof) return moved;
  }
  if (plain_in_out_ == 0 && !out.empty()) {
    if (auto status = encrypt(out); !status) return fail(status.error());
  }
  for (;;) {
    auto below = move(!in.empty(), deadline);
    if (!below) return below;
    // Bytes count as sent when all of their records are. Until then the caller offers them again;
    // they are encrypted already and are not encrypted twice.
    if (waiting().empty() && !out.empty()) {
      PGPROTO_ASSERT(out.size() >= plain_in_out_);
      moved.sent = std::exchange(plain_in_out_, 0);
    }
    if (below->received > 0) {
      if (auto status = decrypt(in, moved); !status) return fail(status.error());
    }
    if (below->eof && moved.received == 0 && moved.sent == 0 && !moved.eof) {
      if (auto status = end_of_input(moved); !status) return fail(status.error());
    }
    moved.interrupted = below->interrupted;
    if (moved.sent > 0 || moved.received > 0 || moved.eof || moved.interrupted) return moved;
  }
}

void OpenSslTransport::end_stream() {
  if (failed_ || plain_in_out_ != 0) return;  // A partly sent record cannot be followed by another.
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  if (!waiting().empty()) (void)plain_->exchange(waiting(), {}, kAtOnce);
}

}  // namespace

Result<std::unique_ptr<TlsTransport>> TlsTransport::handshake(std::unique_ptr<Transport> plain,
                                                              const TlsContext& context,
                                                              const std::string& host,
                                                              Deadline deadline) {
  const TlsContext::State& state = *context.state_;
  auto transport = std::make_unique<OpenSslTransport>(std::move(plain), state.direct);
  if (auto status =
          transport->start(state.context.get(), state.verify_certificate, state.sni, host);
      !status) {
    return fail(status.error());
  }
  if (auto status = transport->shake_hands(deadline); !status) return fail(status.error());
  if (auto status = transport->check_peer(state.verify_host, host); !status) {
    return fail(status.error());
  }
  return transport;
}

}  // namespace pgsink
