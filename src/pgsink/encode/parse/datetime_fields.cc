#include "pgsink/encode/parse/datetime_fields.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <vector>

#include "pgsink/encode/parse/datetime_tokens.h"
#include "pgsink/encode/parse/text_reader.h"

namespace pgsink::encode {
namespace {

enum class DateWordKind : uint8_t {
  kMonth,
  kWeekday,
  kNoise,
  kHalfOfDay,  ///< 0: AM, 1: PM.
  kEra,        ///< 0: AD, 1: BC.
  kMidnight,
  kEpoch,
  kClock,
  kJulian,
  kTimeFollows,
  kUtc,
  kOther,  ///< Words that stand in no date, but of which no zone's name begins before a digit.
};

struct DateWord {
  std::string_view name;
  DateWordKind kind;
  unsigned value = 0;
};

// The manual's "Date/Time Key Words".
constexpr DateWord kDateWords[] = {
    {"jan", DateWordKind::kMonth, 1},
    {"january", DateWordKind::kMonth, 1},
    {"feb", DateWordKind::kMonth, 2},
    {"february", DateWordKind::kMonth, 2},
    {"mar", DateWordKind::kMonth, 3},
    {"march", DateWordKind::kMonth, 3},
    {"apr", DateWordKind::kMonth, 4},
    {"april", DateWordKind::kMonth, 4},
    {"may", DateWordKind::kMonth, 5},
    {"jun", DateWordKind::kMonth, 6},
    {"june", DateWordKind::kMonth, 6},
    {"jul", DateWordKind::kMonth, 7},
    {"july", DateWordKind::kMonth, 7},
    {"aug", DateWordKind::kMonth, 8},
    {"august", DateWordKind::kMonth, 8},
    {"sep", DateWordKind::kMonth, 9},
    {"sept", DateWordKind::kMonth, 9},
    {"september", DateWordKind::kMonth, 9},
    {"oct", DateWordKind::kMonth, 10},
    {"october", DateWordKind::kMonth, 10},
    {"nov", DateWordKind::kMonth, 11},
    {"november", DateWordKind::kMonth, 11},
    {"dec", DateWordKind::kMonth, 12},
    {"december", DateWordKind::kMonth, 12},
    {"sun", DateWordKind::kWeekday},
    {"sunday", DateWordKind::kWeekday},
    {"mon", DateWordKind::kWeekday},
    {"monday", DateWordKind::kWeekday},
    {"tue", DateWordKind::kWeekday},
    {"tues", DateWordKind::kWeekday},
    {"tuesday", DateWordKind::kWeekday},
    {"wed", DateWordKind::kWeekday},
    {"weds", DateWordKind::kWeekday},
    {"wednesday", DateWordKind::kWeekday},
    {"thu", DateWordKind::kWeekday},
    {"thur", DateWordKind::kWeekday},
    {"thurs", DateWordKind::kWeekday},
    {"thursday", DateWordKind::kWeekday},
    {"fri", DateWordKind::kWeekday},
    {"friday", DateWordKind::kWeekday},
    {"sat", DateWordKind::kWeekday},
    {"saturday", DateWordKind::kWeekday},
    {"at", DateWordKind::kNoise},
    {"on", DateWordKind::kNoise},
    {"am", DateWordKind::kHalfOfDay, 0},
    {"pm", DateWordKind::kHalfOfDay, 1},
    {"ad", DateWordKind::kEra, 0},
    {"bc", DateWordKind::kEra, 1},
    {"allballs", DateWordKind::kMidnight},
    {"epoch", DateWordKind::kEpoch},
    {"now", DateWordKind::kClock},
    {"today", DateWordKind::kClock},
    {"tomorrow", DateWordKind::kClock},
    {"yesterday", DateWordKind::kClock},
    {"j", DateWordKind::kJulian},
    {"jd", DateWordKind::kJulian},
    {"julian", DateWordKind::kJulian},
    {"t", DateWordKind::kTimeFollows},
    {"z", DateWordKind::kUtc},
    {"utc", DateWordKind::kUtc},
    {"gmt", DateWordKind::kUtc},
    {"zulu", DateWordKind::kUtc},
    {"uct", DateWordKind::kUtc},
    {"d", DateWordKind::kOther},
    {"dow", DateWordKind::kOther},
    {"doy", DateWordKind::kOther},
    {"dst", DateWordKind::kOther},
    {"h", DateWordKind::kOther},
    {"infinity", DateWordKind::kOther},
    {"isodow", DateWordKind::kOther},
    {"isoyear", DateWordKind::kOther},
    {"m", DateWordKind::kOther},
    {"mm", DateWordKind::kOther},
    {"s", DateWordKind::kOther},
    {"y", DateWordKind::kOther},
};

const DateWord* find_date_word(std::string_view name) {
  const DateWord* const found = std::ranges::find(kDateWords, name, &DateWord::name);
  return found == std::end(kDateWords) ? nullptr : found;
}

/// The order of a date whose parts do not tell which they are. It is the session's: DateStyle.
enum class DateOrder : uint8_t { kYearFirst, kDayFirst, kMonthFirst };

enum DatePart : unsigned {
  kYear = 1,
  kMonth = 2,
  kDay = 4,
  kDayOfYear = 8,
  kTimeOfDay = 16,
  kZone = 32,
  kDayOfWeek = 64,
  kHalf = 128,
  kBeforeOrAfter = 256,
};
constexpr unsigned kDate = kYear | kMonth | kDay;

/// So many digits are far beyond every year, and an int64_t holds them.
constexpr size_t kDateDigitsMax = 12;

bool to_number(std::string_view digits, int64_t& number) {
  TextReader reader(digits);
  return reader.take_number(1, kDateDigitsMax, number) && reader.done();
}

bool is_date_character(char c) { return TextReader::is_digit(c) || TextReader::is_letter(c); }

/// What the word or number before says of the next number.
enum class NextNumber : uint8_t { kAny, kJulian, kTime };

/// FieldDecoder puts the fields of a text together, for one order of dates.
class FieldDecoder {
 public:
  FieldDecoder(DateOrder order, bool time_only) : order_(order), time_only_(time_only) {}

  LongForm decode(const std::vector<DatetimeToken>& tokens, Moment& moment) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view text = tokens[i].text;
      const bool last = i + 1 == tokens.size();
      LongForm taken = LongForm::kNone;
      new_ = 0;
      switch (tokens[i].kind) {
        case TokenKind::kNumber:
          taken = as_form(take_number(text));
          break;
        case TokenKind::kTime:
          taken = as_form(take_time(text));
          break;
        case TokenKind::kDate:
          taken = take_date_token(text);
          break;
        case TokenKind::kSigned:
          taken = as_form(take_zone(text));
          break;
        case TokenKind::kWord:
          taken = take_word(text, last || tokens[i + 1].kind == TokenKind::kSigned ||
                                      tokens[i + 1].kind == TokenKind::kWord);
          break;
      }
      if (taken != LongForm::kValue) return taken;
      if ((fields_ & new_) != 0) return LongForm::kNone;
      fields_ |= new_;
    }
    return as_form(next_ == NextNumber::kAny && finish(moment));
  }

 private:
  static LongForm as_form(bool good) { return good ? LongForm::kValue : LongForm::kNone; }

  LongForm take_word(std::string_view text, bool no_time_after) {
    if (next_ != NextNumber::kAny) return LongForm::kNone;
    const DateWord* const word = find_date_word(text);
    const DateWordKind kind = word == nullptr ? DateWordKind::kOther : word->kind;
    switch (kind) {
      case DateWordKind::kMonth:
        return as_form(!time_only_ && take_month(word->value));
      case DateWordKind::kWeekday:
        new_ = kDayOfWeek;
        return as_form(!time_only_);
      case DateWordKind::kNoise:
        return LongForm::kValue;
      case DateWordKind::kHalfOfDay:
        half_ = word->value;
        new_ = kHalf;
        return LongForm::kValue;
      case DateWordKind::kEra:
        before_christ_ = word->value == 1;
        new_ = kBeforeOrAfter;
        return as_form(!time_only_);
      case DateWordKind::kMidnight:
        new_ = kTimeOfDay | kZone;
        return LongForm::kValue;
      case DateWordKind::kClock:
        return LongForm::kClock;
      case DateWordKind::kJulian:
        next_ = NextNumber::kJulian;
        return as_form(!time_only_);
      case DateWordKind::kTimeFollows:
        if (no_time_after || (!time_only_ && (fields_ & kDate) != kDate)) return LongForm::kNone;
        next_ = NextNumber::kTime;
        return LongForm::kValue;
      case DateWordKind::kUtc:
        new_ = kZone;
        return LongForm::kValue;
      case DateWordKind::kEpoch:
      case DateWordKind::kOther:
        break;
    }
    return fields_ != 0 ? LongForm::kZoneName : LongForm::kNone;
  }

  /// A month's name may come after a number that was taken for the month, and is the day.
  bool take_month(unsigned month) {
    new_ = kMonth;
    if ((fields_ & kMonth) != 0 && !month_named_ && (fields_ & kDay) == 0 && month_ >= 1 &&
        month_ <= 31) {
      day_ = month_;
      new_ = kDay;
    }
    month_named_ = true;
    month_ = month;
    return true;
  }

  bool take_number(std::string_view text) {
    const NextNumber next = std::exchange(next_, NextNumber::kAny);
    if (next == NextNumber::kJulian) return take_julian(text);
    if (next == NextNumber::kTime || time_only_) return take_digits(text, fields_ | kDate);
    const size_t point = text.find('.');
    if (point != std::string_view::npos && (fields_ & kDate) == 0) return take_date(text);
    constexpr size_t kConcatenated = 6;
    if (point != std::string_view::npos) return point > 2 && take_digits(text, fields_);
    if (text.size() >= kConcatenated && (fields_ & (kDate | kTimeOfDay)) != (kDate | kTimeOfDay) &&
        ((fields_ & kDate) == 0 || (fields_ & kTimeOfDay) == 0)) {
      return take_digits(text, fields_);
    }
    return take_part(text, fields_);
  }

  bool take_julian(std::string_view text) {
    const size_t point = text.find('.');
    int64_t number = 0;
    if (!to_number(text.substr(0, point), number)) return false;
    new_ = kDate;
    is_julian_ = true;
    const Civil date = civil_from_days(number + kDateMinDays);
    year_ = date.year;
    month_ = date.month;
    day_ = date.day;
    if (point == std::string_view::npos) return true;
    double fraction = 0;
    std::from_chars(text.data() + point, text.data() + text.size(), fraction);
    const double micros = fraction * static_cast<double>(kMicrosPerDay);
    micros_ = static_cast<int64_t>(micros);
    rounds_ = static_cast<double>(micros_) != micros;
    new_ |= kTimeOfDay;
    return true;
  }

  /// A date as one token, or what follows one: the time with a zone, or a zone's name.
  LongForm take_date_token(std::string_view text) {
    const bool dated = time_only_ || (fields_ & kDate) == kDate;
    if (next_ == NextNumber::kJulian) return LongForm::kNone;
    if (!dated && next_ == NextNumber::kAny) return as_form(take_date(text));
    if (!TextReader::is_digit(text[0])) {
      return next_ == NextNumber::kAny && fields_ != 0 ? LongForm::kZoneName : LongForm::kNone;
    }
    const size_t sign = text.find('-');
    if (time_only_ && next_ == NextNumber::kTime) return LongForm::kNone;  // Not since 16.
    if ((fields_ & kTimeOfDay) != 0 || sign == std::string_view::npos) return LongForm::kNone;
    next_ = NextNumber::kAny;
    if (!take_zone(text.substr(sign))) return LongForm::kNone;
    return as_form(take_digits(text.substr(0, sign), fields_ | kDate) &&
                   ((new_ |= kZone) & kTimeOfDay) != 0);
  }

  /// Parts of a date with anything between them. Names of months are looked for first.
  bool take_date(std::string_view text) {
    std::vector<std::string_view> numbers;
    unsigned found = 0;
    bool named = false;
    TextReader reader(text);
    const auto separated = [&] { return reader.done() || !is_date_character(reader.peek()); };
    while (!reader.done()) {
      while (!separated()) {
        if (TextReader::is_digit(reader.peek())) {
          numbers.push_back(reader.take_digits());
        } else {
          const DateWord* const word = find_date_word(reader.take_letters());
          if (word == nullptr || word->kind != DateWordKind::kMonth) return false;
          if (((fields_ | found) & kMonth) != 0) return false;
          month_ = word->value;
          named = true;
          found |= kMonth;
        }
        // The server drops a character that follows a part without a separator.
        if (!separated()) return false;
      }
      if (!reader.done()) reader.skip(1);
      bool more = false;
      while (!reader.done() && separated()) {
        reader.skip(1);
        more = true;
      }
      if (more && reader.done()) return false;  // It takes one separator at the end.
    }
    const bool named_before = std::exchange(month_named_, named);
    for (const std::string_view number : numbers) {
      new_ = 0;
      if (!take_part(number, fields_ | found) || ((fields_ | found) & new_) != 0) return false;
      found |= new_;
    }
    month_named_ = named || named_before;
    new_ = found;
    return ((fields_ | found) & ~(kDayOfYear | kZone)) == kDate;
  }

  /// A number that is one part of a date; which one is told by those before it, or by the order.
  bool take_part(std::string_view text, unsigned before) {
    int64_t number = 0;
    if ((before & kDate) == kDate) return take_digits(text, before);
    if (!to_number(text, number)) return false;
    constexpr size_t kYearDigits = 3;
    const bool is_long = text.size() >= kYearDigits;
    if (text.size() == 3 && (before & kDate) == kYear && number >= 1 && number <= 366) {
      day_of_year_ = number;
      new_ = kDayOfYear | kMonth | kDay;
      return true;
    }
    const bool year_first = is_long || order_ == DateOrder::kYearFirst;
    switch (before & kDate) {
      case 0:
        return set(year_first                       ? kYear
                   : order_ == DateOrder::kDayFirst ? kDay
                                                    : kMonth,
                   number, text);
      case kMonth:
        return set(month_named_ && year_first ? kYear : kDay, number, text);
      case kYear | kMonth:
        if (!month_named_ || !is_long || !short_year_) return set(kDay, number, text);
        day_ = year_;  // The first number was the day after all: 08-Jan-1999.
        year_ = number;
        short_year_ = false;
        new_ = kDay;
        return true;
      case kYear:
      case kDay:
        return set(kMonth, number, text);
      case kMonth | kDay:
        return set(kYear, number, text);
      default:
        return false;
    }
  }

  bool set(DatePart field, int64_t number, std::string_view text) {
    (field == kYear ? year_ : field == kMonth ? month_ : day_) = number;
    if (field == kYear) short_year_ = text.size() <= 2;
    new_ = field;
    return true;
  }

  /// YYYYMMDD and YYMMDD, where there is no date before; HHMMSS and HHMM, with a fraction perhaps.
  bool take_digits(std::string_view text, unsigned before) {
    const size_t point = text.find('.');
    const std::string_view digits = text.substr(0, point);
    int64_t number = 0;
    if (!to_number(digits, number)) return false;
    if (point == std::string_view::npos && (before & kDate) != kDate) {
      if (digits.size() < 6) return false;
      year_ = number / 10'000;
      month_ = number / 100 % 100;
      day_ = number % 100;
      if (digits.size() == 6) short_year_ = true;
      new_ = kDate;
      return true;
    }
    if ((before & kTimeOfDay) != 0 || (digits.size() != 4 && digits.size() != 6)) return false;
    const int64_t fraction =
        point == std::string_view::npos ? 0 : second_fraction(text.substr(point + 1), rounds_);
    if (digits.size() == 4) number *= 100;
    new_ = kTimeOfDay;
    return set_time(number / 10'000, number / 100 % 100, number % 100, fraction);
  }

  /// H:M, H:M:S, H:M:S.fraction, M:S.fraction.
  bool take_time(std::string_view text) {
    if (next_ == NextNumber::kJulian) return false;
    next_ = NextNumber::kAny;
    TextReader reader(text);
    int64_t first = 0, second = 0, third = 0, fraction = 0;
    // No digits are 0.
    if (!reader.take_number(1, kDateDigitsMax, first) || !reader.take(':') ||
        !reader.take_number(0, kDateDigitsMax, second)) {
      return false;
    }
    const bool has_third = reader.take(':');
    if (has_third && !reader.take_number(0, kDateDigitsMax, third)) return false;
    const bool has_fraction = reader.take('.');
    if (has_fraction) fraction = second_fraction(reader.take_digits(), rounds_);
    if (!reader.done()) return false;
    new_ = kTimeOfDay;
    return has_fraction && !has_third ? set_time(0, first, second, fraction)
                                      : set_time(first, second, third, fraction);
  }

  bool set_time(int64_t hours, int64_t minutes, int64_t seconds, int64_t fraction) {
    if (hours > 24 || minutes > 59 || seconds > 60) return false;
    hours_ = hours;
    micros_ = ((hours * 60 + minutes) * 60 + seconds) * kMicrosPerSecond + fraction;
    return micros_ <= kMicrosPerDay;
  }

  /// ±H, ±HMM, ±H:M, ±H:M:S.
  bool take_zone(std::string_view text) {
    TextReader reader(text.substr(1));
    int64_t hours = 0, minutes = 0, seconds = 0;
    constexpr size_t kZoneDigitsMax = 4;
    if (next_ != NextNumber::kAny || !reader.take_number(1, kZoneDigitsMax, hours)) return false;
    if (reader.take(':')) {
      if (!reader.take_number(0, kZoneDigitsMax, minutes)) return false;
      if (reader.take(':') && !reader.take_number(0, kZoneDigitsMax, seconds)) return false;
    } else if (text.size() > 3) {
      minutes = hours % 100;
      hours /= 100;
    }
    constexpr int64_t kZoneHoursMax = 15;  // Server: MAX_TZDISP_HOUR
    if (!reader.done() || hours > kZoneHoursMax || minutes > 59 || seconds > 59) return false;
    zone_seconds_ = ((hours * 60 + minutes) * 60 + seconds) * (text[0] == '-' ? -1 : 1);
    new_ = kZone;
    return true;
  }

  bool finish(Moment& moment) {
    moment = {};
    if (half_) {
      if (hours_ > 12) return false;
      const int64_t wanted = hours_ % 12 + (*half_ == 1 ? 12 : 0);
      micros_ += (wanted - hours_) * 3600 * kMicrosPerSecond;
    }
    moment.micros = micros_;
    moment.rounds = rounds_;
    moment.has_time = (fields_ & kTimeOfDay) != 0;
    moment.zone_seconds = zone_seconds_;
    if (time_only_) return moment.has_time;
    if ((fields_ & kDate) != kDate || !finish_date(moment.date)) return false;
    // No type holds such a year, nor would an int64_t its seconds.
    constexpr int64_t kYearEnd = 9'999'999;
    if (std::abs(moment.date.year) > kYearEnd) {
      moment.date = {.year = moment.date.year < 0 ? -kYearEnd : kYearEnd, .month = 1, .day = 1};
    }
    return true;
  }

  bool finish_date(Civil& date) {
    if (!is_julian_) {
      if (before_christ_ || !short_year_) {
        if (year_ <= 0) return false;  // There is no year between 1 BC and 1 AD.
        if (before_christ_) year_ = 1 - year_;
      } else if (year_ < 100) {
        year_ += year_ < 70 ? 2000 : 1900;
      }
    }
    if ((fields_ & kDayOfYear) != 0) {
      date = civil_from_days(days_from_civil(year_, 1, 1) + day_of_year_ - 1);
      return true;
    }
    if (month_ < 1 || month_ > 12 || day_ < 1) return false;
    const auto month = static_cast<unsigned>(month_);
    if (day_ > days_in_month(year_, month)) return false;
    date = {.year = year_, .month = month, .day = static_cast<unsigned>(day_)};
    return true;
  }

  const DateOrder order_;
  const bool time_only_;
  unsigned fields_ = 0;  ///< So far.
  unsigned new_ = 0;     ///< Of the token at hand.
  NextNumber next_ = NextNumber::kAny;
  int64_t year_ = 0, month_ = 0, day_ = 0, day_of_year_ = 0;
  bool month_named_ = false, short_year_ = false, is_julian_ = false, before_christ_ = false;
  std::optional<unsigned> half_;
  int64_t hours_ = 0, micros_ = 0, zone_seconds_ = 0;
  bool rounds_ = false;
};

bool same_moment(const Moment& a, const Moment& b) {
  return a.date.year == b.date.year && a.date.month == b.date.month && a.date.day == b.date.day &&
         a.micros == b.micros && a.rounds == b.rounds && a.zone_seconds == b.zone_seconds;
}

}  // namespace

bool is_datetime_word(std::string_view word) {
  const DateWord* const known = find_date_word(word);
  return known != nullptr && known->kind != DateWordKind::kUtc;
}

LongForm read_long_form(std::string_view text, bool time_only, Moment& moment) {
  std::vector<DatetimeToken> tokens;
  if (!datetime_tokens(text, tokens) || tokens.empty()) return LongForm::kNone;
  if (tokens.size() == 1 && tokens[0].text == "epoch" && !time_only) {
    moment = {.date = {.year = 1970, .month = 1, .day = 1}};
    return LongForm::kValue;
  }
  constexpr std::array kOrders{DateOrder::kYearFirst, DateOrder::kDayFirst, DateOrder::kMonthFirst};
  std::array<Moment, kOrders.size()> moments{};
  size_t values = 0;
  for (size_t i = 0; i < kOrders.size(); ++i) {
    const LongForm form = FieldDecoder(kOrders[i], time_only).decode(tokens, moments[i]);
    if (form == LongForm::kZoneName || form == LongForm::kClock) return form;
    if (form == LongForm::kValue) ++values;
  }
  if (values == 0) return LongForm::kNone;
  moment = moments[0];
  const bool agree = values == kOrders.size() && same_moment(moments[0], moments[1]) &&
                     same_moment(moments[0], moments[2]);
  return agree ? LongForm::kValue : LongForm::kDateOrder;
}

}  // namespace pgsink::encode
