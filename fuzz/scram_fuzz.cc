// A server that does not know the password says anything: it is never believed, and our texts stay
// well-formed. The nonce and the iterations are small, so that the time goes into parsing.

#include <string>

#include <pgproto/base64.h>
#include <pgproto/quote.h>
#include <pgproto/saslprep.h>
#include <pgproto/scram.h>
#include <pgproto/utf8.h>

#include "check.h"

using namespace pgproto;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const uint8_t flags = input.byte();
  const std::string_view server_first = input.take(input.byte());
  const std::string_view rest = input.take_rest();

  Scram::Config config;
  config.password = "a password";
  config.nonce = "n";
  config.iterations_max = 16;
  config.gs2_flag = (flags & 1) != 0 ? Gs2Flag::kUsed : Gs2Flag::kNotOffered;
  config.channel_binding.resize(flags >> 2, std::byte{0x5a});
  Scram scram(std::move(config));
  FUZZ_CHECK(scram.client_first());
  if (const auto client_final = scram.client_final(server_first)) {
    FUZZ_CHECK(client_final->starts_with("c="));
    FUZZ_CHECK(client_final->find(",r=n") != std::string::npos);
    FUZZ_CHECK(client_final->size() - client_final->rfind(",p=") == 3 + 44);
    FUZZ_CHECK(!scram.verify(rest));
  } else {
    FUZZ_CHECK(client_final.error().code == Errc::kAuthentication);
  }

  const std::string prepared = saslprep(rest);
  FUZZ_CHECK(prepared == rest || utf8_valid(prepared));
  if (const auto bytes = base64_decode(rest)) FUZZ_CHECK(base64_encode(*bytes) == rest);
  if (const auto quoted = quote_identifier(rest)) {
    FUZZ_CHECK(utf8_valid(*quoted) && quoted->front() == '"' && quoted->back() == '"');
    FUZZ_CHECK(std::count(quoted->begin(), quoted->end(), '"') % 2 == 0);
  }
  if (const auto quoted = quote_literal(rest)) {
    FUZZ_CHECK(utf8_valid(*quoted) && quoted->back() == '\'');
    FUZZ_CHECK(std::count(quoted->begin(), quoted->end(), '\'') % 2 == 0);
  }
  return 0;
}
