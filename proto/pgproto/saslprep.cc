#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include <pgproto/saslprep.h>
#include <pgproto/tables/saslprep_tables.h>
#include <pgproto/utf8.h>

namespace pgproto {
namespace {

using saslprep_tables::CodeRange;

// Hangul syllables are composed by arithmetic.
// Source: The Unicode Standard, section 3.12.
constexpr char32_t kSyllableBase = 0xac00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailBase = 0x11a7;
constexpr char32_t kLeadCount = 19;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTrailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTrailCount;

template <typename Row, size_t Size>
const Row* find_range(const Row (&table)[Size], char32_t code) {
  const Row* row = std::lower_bound(std::begin(table), std::end(table), code,
                                    [](const Row& r, char32_t c) { return r.last < c; });
  return row != std::end(table) && row->first <= code ? row : nullptr;
}

uint8_t combining_class(char32_t code) {
  const auto* row = find_range(saslprep_tables::kCombiningClasses, code);
  return row == nullptr ? 0 : row->value;
}

void append_decomposed(std::u32string& text, char32_t code) {
  if (code >= kSyllableBase && code < kSyllableBase + kSyllableCount) {
    const char32_t index = code - kSyllableBase;
    text.push_back(kLeadBase + index / (kVowelCount * kTrailCount));
    text.push_back(kVowelBase + index % (kVowelCount * kTrailCount) / kTrailCount);
    if (index % kTrailCount != 0) text.push_back(kTrailBase + index % kTrailCount);
    return;
  }
  const auto& table = saslprep_tables::kDecompositions;
  const auto* row = std::lower_bound(std::begin(table), std::end(table), code,
                                     [](const auto& r, char32_t c) { return r.code < c; });
  if (row == std::end(table) || row->code != code) {
    text += code;
  } else {
    text.append(saslprep_tables::kDecomposed + row->offset, row->count);
  }
}

// 0 if the two do not compose.
char32_t compose(char32_t first, char32_t second) {
  if (first >= kLeadBase && first < kLeadBase + kLeadCount && second >= kVowelBase &&
      second < kVowelBase + kVowelCount) {
    return kSyllableBase +
           ((first - kLeadBase) * kVowelCount + (second - kVowelBase)) * kTrailCount;
  }
  if (first >= kSyllableBase && first < kSyllableBase + kSyllableCount &&
      (first - kSyllableBase) % kTrailCount == 0 && second > kTrailBase &&
      second < kTrailBase + kTrailCount) {
    return first + (second - kTrailBase);
  }
  const auto& table = saslprep_tables::kCompositions;
  const auto* row = std::lower_bound(
      std::begin(table), std::end(table), std::pair(first, second),
      [](const auto& r, const auto& key) { return std::pair(r.first, r.second) < key; });
  if (row == std::end(table) || row->first != first || row->second != second) return 0;
  return row->composed;
}

// Source: Unicode Standard Annex #15, section 1.3: decompose, order, compose.
std::u32string normalize_nfkc(const std::u32string& input) {
  std::u32string text;
  for (const char32_t code : input) append_decomposed(text, code);

  // Sorts each run of combining characters by class, keeping the order of equals. An insertion
  // sort, because runs are short.
  for (auto at = text.begin(); at != text.end(); ++at) {
    const uint8_t code_class = combining_class(*at);
    auto to = at;
    while (code_class != 0 && to != text.begin() && combining_class(*(to - 1)) > code_class) --to;
    std::rotate(to, at, at + 1);
  }

  std::u32string composed;
  size_t starter = std::u32string::npos;
  int last_class = -1;  // Class of the last character after the starter; -1: none.
  for (const char32_t code : text) {
    const int code_class = combining_class(code);
    if (starter != std::u32string::npos && last_class < code_class) {
      if (const char32_t pair = compose(composed[starter], code); pair != 0) {
        composed[starter] = pair;
        continue;
      }
    }
    if (code_class == 0) {
      starter = composed.size();
      last_class = -1;
    } else {
      last_class = code_class;
    }
    composed += code;
  }
  return composed;
}

// RFC 3454, section 6: a text with right-to-left characters starts and ends with one and has no
// left-to-right characters.
bool direction_is_legal(const std::u32string& text) {
  const auto right_to_left = [](char32_t code) {
    return find_range(saslprep_tables::kRightToLeft, code) != nullptr;
  };
  const auto left_to_right = [](char32_t code) {
    return find_range(saslprep_tables::kLeftToRight, code) != nullptr;
  };
  if (std::none_of(text.begin(), text.end(), right_to_left)) return true;
  return right_to_left(text.front()) && right_to_left(text.back()) &&
         std::none_of(text.begin(), text.end(), left_to_right);
}

}  // namespace

std::string saslprep(std::string_view password) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(password.begin(), password.end(), is_ascii)) return std::string(password);

  std::u32string mapped;
  for (std::string_view rest = password; !rest.empty();) {
    const auto code = utf8_decode_next(rest);
    if (!code) return std::string(password);
    if (find_range(saslprep_tables::kNonAsciiSpaces, *code) != nullptr) {
      mapped += U' ';
    } else if (find_range(saslprep_tables::kMappedToNothing, *code) == nullptr) {
      mapped += *code;
    }
  }
  const auto is_prohibited = [](char32_t code) {
    return find_range(saslprep_tables::kProhibited, code) != nullptr;
  };
  if (mapped.empty() || std::any_of(mapped.begin(), mapped.end(), is_prohibited) ||
      !direction_is_legal(mapped)) {
    return std::string(password);
  }
  std::string prepared;
  for (const char32_t code : normalize_nfkc(mapped)) utf8_append(prepared, code);
  return prepared;
}

}  // namespace pgproto
