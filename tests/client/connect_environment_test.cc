// What connections take from variables, service file and password file, in libpq's order.

#include <map>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/passfile.h"

namespace pgsink::test {
namespace {

// Files in memory.
class FakeFiles final : public Files {
 public:
  std::map<std::string, std::string> contents;
  std::map<std::string, uint32_t> modes;
  std::map<std::string, std::string> variables;
  std::string user = "os_user", home = "/h";

  Result<Info> info(const std::string& path) override {
    if (!contents.contains(path)) return fail(Errc::kFile, path + ": no such file");
    Info info;
    info.regular = contents[path] != "DIRECTORY";
    info.directory = !info.regular;
    info.mode = modes.contains(path) ? modes[path] : 0600;
    return info;
  }
  Result<std::string> read(const std::string& path, size_t) override {
    if (!contents.contains(path)) return fail(Errc::kFile, path + ": no such file");
    return contents[path];
  }
  Result<std::unique_ptr<OutputFile>> open_to_append(const std::string& path) override {
    return fail(Errc::kFile, path + ": not to be written");
  }
  Result<bool> rename(const std::string& from, const std::string&) override {
    return fail(Errc::kFile, from + ": not to be renamed");
  }
  std::optional<std::string> environment(const std::string& name) override {
    if (!variables.contains(name)) return std::nullopt;
    return variables[name];
  }
  std::string user_name() override { return user; }
  std::string home_directory() override { return home; }
};

class ConnectEnvironment : public ::testing::Test {
 protected:
  ConnectOptions complete(const std::string& conninfo = "") {
    auto options = apply_environment(*parse_conninfo(conninfo), files_);
    if (!options) throw std::runtime_error(options.error().to_string());
    return *std::move(options);
  }
  Error failure(const std::string& conninfo = "") {
    const auto options = apply_environment(*parse_conninfo(conninfo), files_);
    return options ? Error() : options.error();
  }
  FakeFiles files_;
};

TEST_F(ConnectEnvironment, FillsInLibpqsDefaults) {
  const ConnectOptions options = complete();
  EXPECT_EQ(options.user, "os_user");
  EXPECT_EQ(options.database, "os_user");
  EXPECT_EQ(options.passfile, "/h/.pgpass");
  ASSERT_EQ(options.hosts.size(), 1U);
  EXPECT_EQ(options.hosts[0].host, "/tmp");
  EXPECT_EQ(options.hosts[0].port, 5432);
  EXPECT_EQ(options.ssl_mode, SslMode::kPrefer);
  files_.contents["/var/run/postgresql"] = "DIRECTORY";
  EXPECT_EQ(complete().hosts[0].host, "/var/run/postgresql");
  EXPECT_EQ(complete("user=u").database, "u");
  files_.user = "";
  EXPECT_EQ(failure().code, Errc::kMissingOption);
}

TEST_F(ConnectEnvironment, ReadsVariablesForWhatIsNotGiven) {
  files_.variables = {{"PGHOST", "h1,h2"},
                      {"PGPORT", "1,2"},
                      {"PGUSER", "eu"},
                      {"PGDATABASE", "ed"},
                      {"PGPASSWORD", "ep"},
                      {"PGSSLMODE", "require"},
                      {"PGAPPNAME", "ea"},
                      {"PGCONNECT_TIMEOUT", "7"},
                      {"PGOPTIONS", "-c a=b"},
                      {"PGCHANNELBINDING", "require"},
                      {"PGTARGETSESSIONATTRS", "primary"}};
  const ConnectOptions all = complete();
  ASSERT_EQ(all.hosts.size(), 2U);
  EXPECT_EQ(all.hosts[1].host, "h2");
  EXPECT_EQ(all.hosts[1].port, 2);
  EXPECT_EQ(all.user, "eu");
  EXPECT_EQ(all.database, "ed");
  EXPECT_EQ(all.password, "ep");
  EXPECT_EQ(all.ssl_mode, SslMode::kRequire);
  EXPECT_EQ(all.application_name, "ea");
  EXPECT_EQ(all.connect_timeout, std::chrono::seconds(7));
  EXPECT_EQ(all.options, "-c a=b");
  EXPECT_EQ(all.channel_binding, pgproto::ChannelBinding::kRequire);
  EXPECT_EQ(all.target_session_attrs, TargetSessionAttrs::kPrimary);
  const ConnectOptions given = complete(
      "host=g port=9 user=u dbname=d password=p sslmode=prefer application_name=pgsink "
      "connect_timeout=5 options='' target_session_attrs=any");
  EXPECT_EQ(given.hosts.size(), 1U);
  EXPECT_EQ(given.hosts[0].port, 9);
  EXPECT_EQ(given.user, "u");
  EXPECT_EQ(given.database, "d");
  EXPECT_EQ(given.password, "p");
  EXPECT_EQ(given.ssl_mode, SslMode::kPrefer) << "a default that is given is given";
  EXPECT_EQ(given.application_name, "pgsink");
  EXPECT_EQ(given.connect_timeout, std::chrono::seconds(5));
  EXPECT_EQ(given.options, "");
  EXPECT_EQ(given.target_session_attrs, TargetSessionAttrs::kAny);
}

TEST_F(ConnectEnvironment, KeepsWhatAProgramSetByHand) {
  files_.variables = {{"PGHOST", "h"}, {"PGSSLMODE", "disable"}, {"PGUSER", "eu"}};
  ConnectOptions by_hand;
  by_hand.hosts = {{"mine", 1, ""}};
  by_hand.ssl_mode = SslMode::kVerifyFull;
  by_hand.user = "me";
  const auto options = apply_environment(by_hand, files_);
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->hosts[0].host, "mine");
  EXPECT_EQ(options->ssl_mode, SslMode::kVerifyFull);
  EXPECT_EQ(options->user, "me");
}

TEST_F(ConnectEnvironment, PutsPortAndHostOfDifferentSourcesTogether) {
  files_.variables = {{"PGHOST", "h1,h2"}};
  EXPECT_EQ(complete("port=7").hosts[1].port, 7);
  EXPECT_EQ(failure("port=7,8,9").code, Errc::kOptionValue);
  files_.variables = {{"PGPORT", "8"}};
  EXPECT_EQ(complete("host=a").hosts[0].port, 8);
  files_.variables = {{"PGPORT", "x"}};
  EXPECT_NE(failure("host=a").message.find("PGPORT"), std::string::npos);
}

TEST_F(ConnectEnvironment, NamesTheVariableThatIsWrongButNotItsSecret) {
  files_.variables = {{"PGSSLMODE", "bogus"}};
  EXPECT_NE(failure().message.find("PGSSLMODE"), std::string::npos);
  files_.variables = {{"PGREQUIREPEER", "postgres"}};
  EXPECT_EQ(failure().code, Errc::kOptionUnsupported);
  files_.variables = {{"PGSSLMODE", ""}, {"PGREQUIRESSL", "1"}};
  EXPECT_EQ(complete().ssl_mode, SslMode::kRequire);
}

TEST_F(ConnectEnvironment, ServiceFileComesBeforeVariablesAndAfterWhatIsGiven) {
  files_.contents["/h/.pg_service.conf"] =
      "# comment\n[other]\nhost=no\n\n[mine]\nhost=service.example\nport=77\nuser=su\n"
      "dbname=sd\nsslmode=require\n[more]\nuser=no\n";
  files_.variables = {{"PGUSER", "eu"}, {"PGDATABASE", "ed"}, {"PGAPPNAME", "ea"}};
  const ConnectOptions options = complete("service=mine dbname=given");
  EXPECT_EQ(options.hosts[0].host, "service.example");
  EXPECT_EQ(options.hosts[0].port, 77);
  EXPECT_EQ(options.user, "su");
  EXPECT_EQ(options.database, "given");
  EXPECT_EQ(options.application_name, "ea");
  EXPECT_EQ(options.ssl_mode, SslMode::kRequire);
  files_.variables["PGSERVICE"] = "more";
  EXPECT_EQ(complete().user, "no");
  EXPECT_EQ(complete("service=mine").user, "su");
  EXPECT_NE(failure("service=absent").message.find("absent"), std::string::npos);
  files_.contents["/etc/x/pg_service.conf"] = "[absent]\nuser=found\n";
  files_.variables["PGSYSCONFDIR"] = "/etc/x";
  EXPECT_EQ(complete("service=absent").user, "found");
  files_.variables["PGSERVICEFILE"] = "/s.conf";
  EXPECT_EQ(failure("service=mine").code, Errc::kFile);
  files_.contents["/s.conf"] = "[mine]\nnonsense\n";
  EXPECT_NE(failure("service=mine").message.find("/s.conf, line 2"), std::string::npos);
  files_.contents["/s.conf"] = "[mine]\nservice=other\n";
  EXPECT_NE(failure("service=mine").message.find("another"), std::string::npos);
  files_.contents["/s.conf"] = "[mine]\nbogus=1\n";
  EXPECT_EQ(failure("service=mine").code, Errc::kUnknownOption);
}

TEST_F(ConnectEnvironment, SystemRootsDemandFullVerification) {
  EXPECT_EQ(complete("sslrootcert=system").ssl_mode, SslMode::kVerifyFull);
  files_.variables = {{"PGSSLMODE", "require"}};
  EXPECT_EQ(failure("sslrootcert=system").code, Errc::kOptionConflict);
  EXPECT_EQ(failure("sslnegotiation=direct sslmode=require").code, Errc::kInternal) << "no failure";
}

TEST_F(ConnectEnvironment, FallbackNameStandsBehindAllOthers) {
  EXPECT_EQ(complete("fallback_application_name=f").application_name, "f");
  EXPECT_EQ(complete("fallback_application_name=f application_name=a").application_name, "a");
  files_.variables = {{"PGAPPNAME", "e"}};
  EXPECT_EQ(complete("fallback_application_name=f").application_name, "e");
}

class Passfile : public ::testing::Test {
 protected:
  PassfileAnswer find(const std::string& text, const Address& address = {"h", 5432, ""}) {
    files_.contents["/p"] = text;
    ConnectOptions options;
    options.passfile = "/p";
    options.user = "u";
    options.database = "d";
    return find_password(options, address, files_);
  }
  FakeFiles files_;
};

TEST_F(Passfile, FindsTheFirstLineThatMatches) {
  EXPECT_EQ(find("h:5432:d:u:secret\nh:5432:d:u:other\n").password, "secret");
  EXPECT_EQ(find("# h:5432:d:u:no\nx:5432:d:u:no\nh:1:d:u:no\nh:5432:x:u:no\nh:5432:d:x:no\n"
                 "*:*:*:*:yes")
                .password,
            "yes");
  EXPECT_EQ(find("h:5432:d:u:a\\:b\\\\c\r\n").password, "a:b\\c");
  EXPECT_EQ(find("h:5432:d:u:").password, "");
  EXPECT_EQ(find("h:5432:d:u").password, std::nullopt);
  EXPECT_EQ(find("*x:5432:d:u:no\nh*:5432:d:u:no\n").password, std::nullopt);
  EXPECT_EQ(find("").password, std::nullopt);
}

TEST_F(Passfile, NamesHostsAsLibpq) {
  EXPECT_EQ(find("localhost:5432:d:u:x", {"/tmp", 5432, ""}).password, "x");
  EXPECT_EQ(find("/my/dir:5432:d:u:x", {"/my/dir", 5432, ""}).password, "x");
  EXPECT_EQ(find("1.2.3.4:5432:d:u:x", {"", 5432, "1.2.3.4"}).password, "x");
  EXPECT_EQ(find("name:5432:d:u:x", {"name", 5432, "1.2.3.4"}).password, "x");
  EXPECT_EQ(find("a\\:b:5432:d:u:x", {"a:b", 5432, ""}).password, "x");
}

TEST_F(Passfile, IsNotUsedWhenOthersMayReadIt) {
  files_.modes["/p"] = 0640;
  const PassfileAnswer answer = find("h:5432:d:u:secret");
  EXPECT_EQ(answer.password, std::nullopt);
  EXPECT_NE(answer.ignored.find("0600"), std::string::npos);
  EXPECT_EQ(answer.ignored.find("secret"), std::string::npos);
  EXPECT_NE(find("DIRECTORY").ignored, "");
}

}  // namespace
}  // namespace pgsink::test
