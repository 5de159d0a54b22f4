#include <pgproto/md5.h>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;

// md5(md5("secret" || "alice") || salt), computed by the server's own function:
// SELECT 'md5' || md5(md5('secret' || 'alice') || 'salt');
TEST(Md5, HashesAsTheServerDoes) {
  EXPECT_EQ(*md5_password("alice", "secret", as_bytes("salt")),
            "md5986e2194384c07f4fd1df4b1351b3e68");
}

TEST(Md5, IsAcceptedByTheServersSide) {
  const std::string_view salt("\0\xff\x80\n", 4);
  const auto hashed = md5_password("u", "pässword", as_bytes(salt));
  ASSERT_TRUE(hashed);
  EXPECT_TRUE(pgsink::test::md5_accepts("u", "pässword", salt, *hashed));
  EXPECT_FALSE(pgsink::test::md5_accepts("u", "other", salt, *hashed));
  EXPECT_FALSE(pgsink::test::md5_accepts("u", "pässword", "abcd", *hashed));
}

}  // namespace
