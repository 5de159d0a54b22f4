#include <map>
#include <string>

#include <pgproto/base64.h>
#include <pgproto/scram.h>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;
using pgsink::test::ScramServer;

constexpr std::string_view kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

Scram::Config rfc_config() {
  Scram::Config config;
  config.user = "user";
  config.password = "pencil";
  config.nonce = kNonce;
  return config;
}

// Source: RFC 7677, section 3.
TEST(Scram, SpeaksTheExchangeOfRfc7677) {
  Scram scram(rfc_config());
  EXPECT_EQ(*scram.client_first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  EXPECT_EQ(*scram.client_final(kServerFirst),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_TRUE(scram.verify(kServerFinal));
}

Errc code_of_first(std::string_view server_first, Scram::Config config = rfc_config()) {
  Scram scram(std::move(config));
  EXPECT_TRUE(scram.client_first());
  const auto final = scram.client_final(server_first);
  return final ? Errc{} : final.error().code;
}

// Trap 6: the server's part of the nonce must be there, and ours before it.
TEST(Scram, RejectsANonceThatDoesNotExtendOurs) {
  for (const std::string nonce :
       {"rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkq", "xOprNGfwEbeRWgbNEkqOabc", "",
        "rOprNGfwEbeRWgbNEkqO\x7f", "rOprNGfwEbeRWgbNEkqO x"}) {
    EXPECT_EQ(code_of_first("r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
              Errc::kAuthentication)
        << nonce;
  }
}

// Trap 5: the iterations are the server's choice and our work; garbage is no number.
TEST(Scram, CapsTheIterations) {
  const std::string prefix = "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=";
  auto config = rfc_config();
  config.iterations_max = 10;
  EXPECT_EQ(code_of_first(prefix + "10", config), Errc{});
  for (const char* count : {"11", "100000000", "4294967296", "18446744073709551616", "0", "-1",
                            "+5", " 5", "5 ", "5x", "x", "", "5.0", "0x5"}) {
    EXPECT_EQ(code_of_first(prefix + count, config), Errc::kAuthentication) << count;
  }
}

TEST(Scram, RejectsAMalformedServerFirst) {
  for (const char* text :
       {"", "r=", "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=rOprNGfwEbeRWgbNEkqOx,i=1",
        "r=rOprNGfwEbeRWgbNEkqOx", "r=rOprNGfwEbeRWgbNEkqOx,s=", "r=rOprNGfwEbeRWgbNEkqOx,s=,i=1",
        "r=rOprNGfwEbeRWgbNEkqOx,s=!!!!,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,", "m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1",
        "r=rOprNGfwEbeRWgbNEkqOx,,s=AAAA,i=1", "e=other-error"}) {
    EXPECT_EQ(code_of_first(text), Errc::kAuthentication) << text;
  }
}

// Trap 6: the message is authenticated as it came, with its extensions.
TEST(Scram, ExtensionsAreAuthenticatedAsTheyCame) {
  ScramServer server({.password = "pencil",
                      .iterations = 2,
                      .channel_binding = "",
                      .extension = ",x=something,y="});
  auto config = rfc_config();
  config.user.clear();
  Scram scram(std::move(config));
  const auto first = server.first("SCRAM-SHA-256", *scram.client_first());
  ASSERT_TRUE(first);
  const auto client_final = scram.client_final(*first);
  ASSERT_TRUE(client_final);
  const auto server_final = server.final(*client_final);
  ASSERT_TRUE(server_final) << "the server did not accept the proof";
  EXPECT_TRUE(scram.verify(*server_final));
}

// Trap 6: who does not know the password cannot pass for the server.
TEST(Scram, EveryBitOfTheServerSignatureCounts) {
  const auto signature = base64_decode(kServerFinal.substr(2));
  ASSERT_TRUE(signature);
  for (size_t i = 0; i < signature->size(); ++i) {
    std::vector<std::byte> wrong = *signature;
    wrong[i] ^= std::byte{0x10};
    Scram scram(rfc_config());
    ASSERT_TRUE(scram.client_first());
    ASSERT_TRUE(scram.client_final(kServerFirst));
    EXPECT_FALSE(scram.verify("v=" + base64_encode(wrong))) << "byte " << i;
  }
}

TEST(Scram, RejectsAWrongServerSignature) {
  std::string flipped(kServerFinal);
  flipped[2] = '7';
  for (const std::string& text :
       {flipped, std::string("v="), std::string("v=AAAA"), std::string("v=6rriTRBi23WpRR"),
        std::string(""), std::string("e=other-error"), std::string("x=1,").append(kServerFinal),
        std::string(kServerFinal) + "A"}) {
    Scram scram(rfc_config());
    ASSERT_TRUE(scram.client_first());
    ASSERT_TRUE(scram.client_final(kServerFirst));
    const Status status = scram.verify(text);
    ASSERT_FALSE(status) << text;
    EXPECT_EQ(status.error().code, Errc::kAuthentication);
  }
}

TEST(Scram, TheServersErrorTextIsNotShown) {
  Scram scram(rfc_config());
  ASSERT_TRUE(scram.client_first());
  ASSERT_TRUE(scram.client_final(kServerFirst));
  const Status status = scram.verify("e=visit-evil.example");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message.find("evil"), std::string::npos);
}

TEST(Scram, ChannelBindingIsPartOfTheProof) {
  const std::string hash(32, '\x5a');
  for (const std::string& seen : {hash, std::string(32, '\x5b')}) {
    ScramServer server(
        {.password = "pencil", .iterations = 2, .channel_binding = hash, .extension = ""});
    Scram::Config config = rfc_config();
    config.user.clear();
    config.gs2_flag = Gs2Flag::kUsed;
    config.channel_binding.assign(as_bytes(seen).begin(), as_bytes(seen).end());
    Scram scram(std::move(config));
    const auto client_first = scram.client_first();
    ASSERT_TRUE(client_first);
    EXPECT_TRUE(client_first->starts_with("p=tls-server-end-point,,"));
    const auto first = server.first("SCRAM-SHA-256-PLUS", *client_first);
    ASSERT_TRUE(first);
    const auto client_final = scram.client_final(*first);
    ASSERT_TRUE(client_final);
    EXPECT_EQ(server.final(*client_final).has_value(), seen == hash);
  }
}

TEST(Scram, NoncesMustBePrintableWithoutComma) {
  for (const std::string& nonce : {std::string(), std::string("a,b"), std::string("a b"),
                                   std::string("a\0b", 3), std::string("\x7f"), std::string("ä")}) {
    Scram::Config config = rfc_config();
    config.nonce = nonce;
    Scram scram(std::move(config));
    const auto first = scram.client_first();
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().code, Errc::kUsage);
  }
}

// Trap 8, end to end: the server derives its verifier from the prepared password.
TEST(Scram, PreparesThePassword) {
  ScramServer server({.password = "IX", .iterations = 2, .channel_binding = "", .extension = ""});
  Scram::Config config = rfc_config();
  config.user.clear();
  config.password = "\xe2\x85\xa8";  // ROMAN NUMERAL NINE
  Scram scram(std::move(config));
  const auto first = server.first("SCRAM-SHA-256", *scram.client_first());
  const auto client_final = scram.client_final(*first);
  EXPECT_TRUE(server.final(*client_final));
}

class CountingCache : public SaltedKeyCache {
 public:
  std::optional<ScramKeys> find(const Sha256& fingerprint) override {
    ++finds;
    const auto found = keys.find(fingerprint);
    if (found == keys.end()) return std::nullopt;
    return found->second;
  }
  void store(const Sha256& fingerprint, const ScramKeys& value) override {
    keys[fingerprint] = value;
  }
  int finds = 0;
  std::map<Sha256, ScramKeys> keys;
};

TEST(Scram, CachesOnlyKeysThatAServerHasProven) {
  CountingCache cache;
  Scram::Config config = rfc_config();
  config.salted_keys = &cache;
  {
    Scram scram(config);
    ASSERT_TRUE(scram.client_first());
    ASSERT_TRUE(scram.client_final(kServerFirst));
    EXPECT_FALSE(scram.verify("v=" + base64_encode(Sha256{})));
    EXPECT_TRUE(cache.keys.empty());
  }
  Scram scram(config);
  ASSERT_TRUE(scram.client_first());
  ASSERT_TRUE(scram.client_final(kServerFirst));
  ASSERT_TRUE(scram.verify(kServerFinal));
  EXPECT_EQ(cache.keys.size(), 1U);
}

// The keys of the cache are used: with false ones the proof is false.
TEST(Scram, UsesTheCachedKeysOfTheSamePasswordSaltAndIterationsOnly) {
  CountingCache cache;
  Scram::Config config = rfc_config();
  config.salted_keys = &cache;
  const auto final_with = [&](Scram::Config c, std::string_view server_first) {
    Scram scram(std::move(c));
    EXPECT_TRUE(scram.client_first());
    return *scram.client_final(server_first);
  };
  {
    Scram scram(config);
    ASSERT_TRUE(scram.client_first());
    ASSERT_TRUE(scram.client_final(kServerFirst));
    ASSERT_TRUE(scram.verify(kServerFinal));
  }
  const std::string right = final_with(rfc_config(), kServerFirst);
  EXPECT_EQ(final_with(config, kServerFirst), right);
  cache.keys.begin()->second = ScramKeys{};
  EXPECT_NE(final_with(config, kServerFirst), right);
  // Another password, salt or count does not meet the entry.
  Scram::Config other = config;
  other.password = "pencil2";
  Scram::Config other_plain = other;
  other_plain.salted_keys = nullptr;
  EXPECT_EQ(final_with(other, kServerFirst), final_with(other_plain, kServerFirst));
  for (const std::string_view text :
       {"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gA==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095"}) {
    EXPECT_EQ(final_with(config, text), final_with(rfc_config(), text));
  }
}

}  // namespace
