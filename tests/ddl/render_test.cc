// render_diagnostic and mask_secrets: the fault in its place, and no password beside it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"

namespace pgsink {
namespace {

using ddl_test::bind_script;
using ddl_test::parse;
using ddl_test::Read;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string render_first(const Read& read) {
  return read.faults.empty() ? "no fault" : render_diagnostic(read.faults[0], "f.sql", read.script);
}

Diagnostic fault_at(std::string_view script, std::string_view part) {
  Diagnostic fault;
  fault.error.code = Errc::kSyntax;
  fault.error.message = "wrong";
  fault.begin.offset = script.find(part);
  fault.length = part.size();
  return fault;
}

TEST(RenderDiagnostic, ShowsFileLineColumnCodeMessageAndCarets) {
  const Read read = bind_script(
      "CREATE CONNECTION c TO postgresql (\n  host = 'h', database = 'd', username = 'u',\n"
      "  table = 't', btach_size = 5\n);");
  EXPECT_EQ(
      render_first(read),
      "f.sql:3:16: error[PGS-1002]: there is no option 'btach_size'; did you mean batch_size?\n"
      "  table = 't', btach_size = 5\n"
      "               ^~~~~~~~~~\n");
}

TEST(RenderDiagnostic, TabsKeepTheCaretInStepAndCharactersCountOnce) {
  const std::string script = "\tä€\t😀 = wrong;";
  EXPECT_EQ(render_diagnostic(fault_at(script, "wrong"), "f.sql", script),
            "f.sql:1:1: error[PGS-1001]: wrong\n"
            "\tä€\t😀 = wrong;\n"
            "\t  \t    ^~~~~\n");
}

TEST(RenderDiagnostic, AFaultAtTheEndPointsBehindTheLastCharacter) {
  const Read read = parse("CREATE CONNECTION c TO postgresql (host = 'x'\n");
  EXPECT_EQ(render_first(read),
            "f.sql:1:46: error[PGS-1001]: expected ')' after the last option\n"
            "CREATE CONNECTION c TO postgresql (host = 'x'\n"
            "                                             ^\n");
}

TEST(RenderDiagnostic, AFaultOverSeveralLinesMarksTheFirst) {
  const std::string script = "SELECT 1;\nSELECT 'a\nb';\r\n";
  EXPECT_EQ(render_diagnostic(fault_at(script, "'a\nb'"), "", script),
            "1:1: error[PGS-1001]: wrong\nSELECT 'a\n       ^~\n");
  EXPECT_THAT(render_diagnostic(fault_at(script, "b'"), "", script), EndsWith("\nb';\n^~\n"));
}

TEST(RenderDiagnostic, LongLinesAreShownAroundTheFault) {
  const std::string script = std::string(100'000, 'a') + " wrong " + std::string(100'000, 'y');
  const std::string shown = render_diagnostic(fault_at(script, "wrong"), "f", script);
  EXPECT_LT(shown.size(), 500U);
  EXPECT_THAT(shown, HasSubstr("…aaa"));
  EXPECT_THAT(shown, HasSubstr("a wrong y"));
  EXPECT_THAT(shown, HasSubstr("yyy…\n"));
  EXPECT_THAT(shown, EndsWith("\n" + std::string(60, ' ') + "^~~~~\n"));
}

TEST(RenderDiagnostic, SendsNoControlCharactersToTheTerminal) {
  const std::string script = "SELECT '\x1b[31m\x07' wrong \xff\xc2\x9b";
  Diagnostic fault = fault_at(script, "wrong");
  fault.error.message = "bad \x1b]0;title\x07 and\nmore";
  fault.error.detail = "x\x1b";
  EXPECT_EQ(render_diagnostic(fault, "f\x1b", script),
            "f�:1:1: error[PGS-1001]: bad �]0;title� and more\n"
            "SELECT '�[31m�' wrong ��\n"
            "                ^~~~~\n"
            "detail: x�\n");
}

TEST(RenderDiagnostic, AddsWhatTheServerSaid) {
  Diagnostic fault = fault_at("SELECT 1", "1");
  fault.error.code = Errc::kServer;
  fault.error.sqlstate = pgproto::Sqlstate("23505");
  fault.error.detail = "Key (a)=(1) already exists.";
  fault.error.hint = "Do better.";
  fault.error.where = "COPY t, line 8";
  EXPECT_EQ(render_diagnostic(fault, "f", "SELECT 1"),
            "f:1:1: error[PGS-5001]: wrong (SQLSTATE 23505)\n"
            "SELECT 1\n"
            "       ^\n"
            "detail: Key (a)=(1) already exists.\n"
            "hint: Do better.\n"
            "context: COPY t, line 8\n");
}

TEST(RenderDiagnostic, WithoutTheScriptThereIsNoLine) {
  Diagnostic fault = fault_at("SELECT 1", "1");
  EXPECT_EQ(render_diagnostic(fault, "f", ""), "f:1:1: error[PGS-1001]: wrong\n");
  fault.begin.offset = 1000;
  EXPECT_EQ(render_diagnostic(fault, "f", "SELECT 1"), "f:1:1: error[PGS-1001]: wrong\n");
}

// ---- secrets ------------------------------------------------------------------------------------

constexpr std::string_view kHead = "CREATE CONNECTION c TO postgresql (";

TEST(RenderDiagnostic, HidesAPasswordOnTheLineOfAnotherFault) {
  const Read read = bind_script(std::string(kHead) +
                                "host='h',database='d',username='u',table='t',\n"
                                "  password = 'hunter2', btach_size = 5)");
  EXPECT_EQ(
      render_first(read),
      "f.sql:2:25: error[PGS-1002]: there is no option 'btach_size'; did you mean batch_size?\n"
      "  password = ***, btach_size = 5)\n"
      "                  ^~~~~~~~~~\n");
}

TEST(RenderDiagnostic, PointsAtAHiddenPasswordWithoutShowingIt) {
  const Read read = bind_script(std::string(kHead) +
                                "host='h',database='d',username='u',table='t',\n"
                                "  password = 'hunter2${', port = 1)");
  EXPECT_THAT(render_first(read), EndsWith("  password = ***, port = 1)\n"
                                           "             ^~~\n"));
}

/// Statements with the secret "hunter2" in them, each with something wrong.
const std::vector<std::string> kLeaky{
    "password = 'hunter2', hots = 1)",
    "pasword = 'hunter2')",
    "passwd = 'hunter2')",
    "pgpassword = 'hunter2')",
    "ssl_key_password = 'hunter2')",
    "api_token = 'hunter2')",
    "url = 'postgresql://u:hunter2@h/d', hots = 1)",
    "uri = 'postgresql://u:hunter2@h/d')",
    "ulr = 'postgresql://u:hunter2@h/d')",
    "host = 'postgresql://u:hunter2@h/d')",
    "options = 'user=u PASSWORD = hunter2')",
    "password = hunter2)",
    "password = \"hunter2\")",
    "password hunter2)",
    "password 'hunter2')",
    "password: 'hunter2')",
    "password => 'hunter2')",
    "password = 'x' 'hunter2')",
    "password = x hunter2)",
    "password = 'it's hunter2', hots = 1)",
    "password = 'it's,hunter2', hots = 1)",
    "password = 'it')s hunter2', hots = 1",
    "password = 'hunter2",
    "password = $a$hunter2$b$",
    "password = U&'hunter2')",
    "password = E'hunter2\\xff')",
    "PASSWORD = 'hunter2', hots = 1)",
    "\"Password\" = 'hunter2')",
    "\"url\" = 'hunter2')",
    "U&\"password\" = 'hunter2')",
    "password = -'hunter2')",
    "password = MAP { 'x': 'hunter2' })",
    "host = 'x, password = 'hunter2', port = 1)",
    "host = 'O'Brien', password = 'hunter2', hots = 1)",
    "password = 'hunter2' hots = 1)",
    "port = x password = 'hunter2')",
    "password =\n 'hunter2' /* c */ port)",
    "password = '\nhunter2', hots = 1)",
};

TEST(RenderDiagnostic, NoFaultShowsAPasswordHoweverTheStatementIsBroken) {
  for (const std::string& options : kLeaky) {
    for (const std::string& head :
         {std::string(kHead), std::string("CREATE CONECTION c TO postgresql (")}) {
      const std::string script = head + options;
      const Read read = bind_script(script);
      for (size_t i = 0; i < read.faults.size(); ++i) {
        EXPECT_THAT(read.message(i), Not(HasSubstr("hunter2"))) << script;
      }
      // Whatever the place of the fault, and whoever found it.
      for (size_t offset = 0; offset <= script.size(); ++offset) {
        Diagnostic fault;
        fault.begin.offset = offset;
        EXPECT_THAT(render_diagnostic(fault, "f", script), Not(HasSubstr("hunter2"))) << script;
      }
      EXPECT_THAT(mask_secrets(script), Not(HasSubstr("hunter2"))) << script;
      EXPECT_THAT(mask_secrets(script), StartsWith(head));
    }
  }
}

TEST(RenderDiagnostic, AForgottenCommaHidesNoMoreThanThePassword) {
  const Read read =
      parse(std::string(kHead) + "\n password = 'hunter2',\n table = 't' type = 'sink')");
  EXPECT_THAT(render_first(read), HasSubstr("\n table = 't' type = 'sink')\n"));
}

TEST(MaskSecrets, HidesLiteralsOfOtherStatementsAndNothingElse) {
  EXPECT_EQ(mask_secrets("SELECT password, secret FROM t WHERE password = 'x' AND a = 'b'"),
            "SELECT password, secret FROM t WHERE password = *** AND a = 'b'");
  EXPECT_EQ(mask_secrets("CREATE SECRET s (TYPE s3, KEY_ID 'k', SECRET 'abc')"),
            "CREATE SECRET s (TYPE s3, KEY_ID 'k', SECRET ***)");
  EXPECT_EQ(mask_secrets("ATTACH 'host=h password=x' AS pg; SELECT 'password'"),
            "ATTACH *** AS pg; SELECT 'password'");
  EXPECT_EQ(mask_secrets("SELECT 'postgresql://u@h/d', 'http://h:80/'"),
            "SELECT 'postgresql://u@h/d', 'http://h:80/'");
  const std::string plain = "SELECT a, 'b' FROM t; INSERT INTO s VALUES (1);";
  EXPECT_EQ(mask_secrets(plain), plain);
}

TEST(MaskSecrets, LeavesEverythingElseOfAConnection) {
  EXPECT_EQ(
      mask_secrets("CREATE CONNECTION c TO postgresql (host = 'h', password = 'x', port = 1);\n"
                   "SELECT 1;"),
      "CREATE CONNECTION c TO postgresql (host = 'h', password = ***, port = 1);\n"
      "SELECT 1;");
}

}  // namespace
}  // namespace pgsink
