// The place of an error in a COPY, from what the server says in any language.

#include "pgsink/lane/copy_place.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

struct Case {
  std::string_view context;
  uint64_t line = 8;
  std::string_view column = "b";
  std::string_view table = "t";
};

// The translations of PostgreSQL 14 to 18.
constexpr std::array kCases{
    Case{"COPY t, line 8, column b"},
    Case{"COPY t, line 8", 8, ""},
    Case{"COPY t, Zeile 8, Spalte b"},
    Case{"COPY t, Zeile 8", 8, ""},
    Case{"COPY t, línea 8, columna b"},
    Case{"COPY t, ligne 8, colonne b"},
    Case{"COPY t, riga 8, colonna b"},
    Case{"COPY t, ხაზი 8, სვეტი b"},
    Case{"COPY t, строка 8, столбец b"},
    Case{"COPY t, rad 8, kolumn b"},
    Case{"COPY t, рядок 8, стовпець b"},
    Case{"COPY t, linia 8, kolumna b"},
    Case{"COPY t, satır 8, sütun b"},
    Case{"COPY t, linha 8, coluna b"},
    Case{"COPY t, řádka 8, sloupec b"},
    Case{"COPY t, γραμμή 8, στήλη b"},
    Case{"tのCOPY、行 8、列 b"},
    Case{"tのCOPY、行 8", 8, ""},
    Case{"t 복사, 8번째 줄, b 열"},
    Case{"t 복사, 8번째 줄", 8, ""},
    // Names may hold anything.
    Case{"COPY line 7, line 8, column a, b", 8, "a, b", "line 7"},
    Case{"COPY a\nCOPY b, line 8", 8, "", "a\nCOPY b"},
    Case{"COPY t, line 4 of 5, line 8", 8, "", "t, line 4 of 5"},
    Case{"7のCOPY、行 8、列 1", 8, "1", "7"},
    Case{"t, x 복사, 8번째 줄, y, 9 열", 8, "y, 9", "t, x"},
    // Triggers come first, and may copy too.
    Case{"PL/pgSQL function f() line 3 at RAISE\nCOPY t, line 8", 8, ""},
    Case{"COPY t, line 5, column x: \"1\"\nSQL statement \"COPY t FROM '/f'\"\nCOPY t, line 8", 8,
         ""},
    // No line, or none of this table.
    Case{"", 0, ""},
    Case{"COPY t", 0, ""},
    Case{"COPY t, ", 0, ""},
    Case{"COPY t, \nline 9", 0, ""},
    Case{"COPY u, line 8, column b", 0, ""},
    Case{"COPY tt, line 8", 0, ""},
    Case{"PL/pgSQL function t() line 3 at RAISE", 0, ""},
    Case{"SQL function \"f\" statement 1", 0, "", "SQL"},
};

TEST(CopyPlace, IsReadInEveryLanguage) {
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.context);
    const CopyPlace place = copy_place(one.context, one.table);
    EXPECT_EQ(place.line, one.line);
    EXPECT_EQ(place.column, one.column);
    if (place.line == 0) {
      EXPECT_EQ(place.others, one.context);
    }
  }
}

TEST(CopyPlace, LeavesWhatIsSaidOfTriggers) {
  EXPECT_EQ(copy_place("COPY t, line 8", "t").others, "");
  EXPECT_EQ(copy_place("SQL statement\nPL/pgSQL function f()\nCOPY t, line 8", "t").others,
            "SQL statement\nPL/pgSQL function f()");
}

}  // namespace
}  // namespace pgsink
