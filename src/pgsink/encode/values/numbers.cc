#include "pgsink/encode/values/numbers.h"

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "pgsink/encode/base/fixed.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/values/number_text.h"
#include "pgsink/encode/values/numeric.h"

namespace pgsink::encode {
namespace {

template <class Op>
CodecPointer number_codec(Op op) {
  return std::make_unique<ConvertField<Op>>(op);
}

Fault integer_fault(const std::string& shown, TargetKind kind) {
  const IntegerRange range = integer_range(kind);
  return {sqlstate::kNumberOutOfRange, shown + " is not a whole number of the type's range " +
                                           std::to_string(range.min) + " to " +
                                           std::to_string(range.max)};
}

Fault float_fault(const std::string& shown, TargetKind kind) {
  return {sqlstate::kNumberOutOfRange,
          shown + " would be rounded: " + std::string(target_kind_name(kind)) +
              " cannot hold it exactly"};
}

/// A byte that says true in any way but 1 is made 1, as the server would.
struct ByteToBool {
  using Source = uint8_t;
  using Lane = uint8_t;
  static constexpr bool kDirect = true;
  static constexpr int64_t kAddend = 0;
  static constexpr uint8_t kDirectMin = 0;
  static constexpr int kDirectBits = 1;
  bool direct() const { return true; }
  bool convert(uint8_t value, uint8_t& lane) const {
    lane = value != 0 ? 1 : 0;
    return true;
  }
  Fault fault(uint8_t) const { return {}; }
};

template <class S, class T>
struct IntegerToInteger {
  using Source = S;
  using Lane = T;
  TargetKind kind;
  bool convert(S value, T& lane) const {
    lane = static_cast<T>(value);
    return std::in_range<T>(value);
  }
  Fault fault(S value) const { return integer_fault(std::to_string(value), kind); }
};

template <class S, class T>
struct IntegerToFloat {
  using Source = S;
  using Lane = T;
  TargetKind kind;
  bool rounds;
  bool convert(S value, T& lane) const {
    lane = static_cast<T>(value);
    if (rounds) return true;
    if constexpr (std::numeric_limits<S>::digits <= std::numeric_limits<T>::digits) {
      return true;
    } else {
      // Exact if the bits between the first and the last one set fit into the significand.
      const auto wide = static_cast<uint64_t>(value);
      const uint64_t magnitude = std::cmp_less(value, 0) ? 0 - wide : wide;
      const uint64_t odd = magnitude == 0 ? 0 : magnitude >> std::countr_zero(magnitude);
      return odd >> std::numeric_limits<T>::digits == 0;
    }
  }
  Fault fault(S value) const { return float_fault(std::to_string(value), kind); }
};

/// Reads what a float column of kind S holds: float, double, or the bits of a half.
template <class S>
auto as_float(S value) {
  if constexpr (std::is_same_v<S, uint16_t>) {
    return half_to_float(value);
  } else {
    return value;
  }
}

template <class S, class T>
struct FloatToFloat {
  using Source = S;
  using Lane = T;
  TargetKind kind;
  bool rounds;
  bool convert(S source, T& lane) const {
    const auto value = as_float(source);
    lane = static_cast<T>(value);
    if constexpr (sizeof(value) <= sizeof(T)) {
      return true;
    } else {
      // Server: dtof(). What overflows or vanishes is an error there too.
      if (rounds && (std::isinf(value) || !std::isinf(lane)) && (lane != 0 || value == 0)) {
        return true;
      }
      return static_cast<double>(lane) == value || std::isnan(value) ||
             (!std::isinf(lane) && lane != 0 &&
              float_text({lane, true}) == float_text({value, false}));
    }
  }
  Fault fault(S source) const {
    const auto value = as_float(source);
    return float_fault(float_text({value, sizeof(value) == 4}), kind);
  }
};

template <class S, class T>
struct FloatToInteger {
  using Source = S;
  using Lane = T;
  TargetKind kind;
  bool rounds;
  bool convert(S source, T& lane) const {
    const double exact = as_float(source);
    const double value = rounds ? std::rint(exact) : exact;  // Server: dtoi4()
    constexpr double kMin = static_cast<double>(std::numeric_limits<T>::min());
    constexpr double kEnd =
        2.0 * static_cast<double>(uint64_t{1} << (std::numeric_limits<T>::digits - 1));
    if (!(value >= kMin && value < kEnd)) return false;
    lane = static_cast<T>(value);
    return static_cast<double>(lane) == value;
  }
  Fault fault(S source) const {
    const auto value = as_float(source);
    return integer_fault(float_text({value, sizeof(value) == 4}), kind);
  }
};

struct PutDecimalAsInteger {
  using Value = Decimal;
  TargetKind kind;
  bool rounds;
  bool operator()(const Decimal& value, Scratch& out, Fault& fault) const {
    DigitBuffer buffer;
    const Digits digits = digits_of(value, buffer);
    std::string rounding;
    Integer integer;
    if (integer_of(rounds ? rounded(digits, 0, rounding) : digits, integer) &&
        put_integer(integer, kind, out, fault))
      return true;
    fault = integer_fault(text_of(digits), kind);
    return false;
  }
};

struct PutDecimalAsFloat {
  using Value = Decimal;
  TargetKind kind;
  bool rounds;
  bool operator()(const Decimal& value, Scratch& out, Fault& fault) const {
    DigitBuffer buffer;
    const Digits digits = digits_of(value, buffer);
    const bool single = kind == TargetKind::kFloat4;
    Float nearest;
    if (!(rounds ? round_to_float(digits, single, nearest)
                 : nearest_float(digits, single, nearest))) {
      fault = float_fault(text_of(digits), kind);
      return false;
    }
    if (nearest.single) {
      out.put(std::bit_cast<uint32_t>(static_cast<float>(nearest.value)));
    } else {
      out.put(std::bit_cast<uint64_t>(nearest.value));
    }
    return true;
  }
};

/// Calls f with a value of the C++ type that an integer column has.
template <class F>
CodecPointer with_integer(ColumnKind kind, F&& f) {
  switch (kind) {
    case ColumnKind::kInt8:
      return f(int8_t{});
    case ColumnKind::kInt16:
      return f(int16_t{});
    case ColumnKind::kInt32:
      return f(int32_t{});
    case ColumnKind::kInt64:
      return f(int64_t{});
    case ColumnKind::kUint8:
      return f(uint8_t{});
    case ColumnKind::kUint16:
      return f(uint16_t{});
    case ColumnKind::kUint32:
      return f(uint32_t{});
    default:
      break;
  }
  PGPROTO_ASSERT(kind == ColumnKind::kUint64);
  return f(uint64_t{});
}

/// … and the same for float columns; a half is its uint16_t.
template <class F>
CodecPointer with_float(ColumnKind kind, F&& f) {
  switch (kind) {
    case ColumnKind::kFloat16:
      return f(uint16_t{});
    case ColumnKind::kFloat32:
      return f(float{});
    default:
      break;
  }
  PGPROTO_ASSERT(kind == ColumnKind::kFloat64);
  return f(double{});
}

/// … and for the integer type of a target.
template <class F>
CodecPointer with_integer_target(TargetKind kind, F&& f) {
  switch (kind) {
    case TargetKind::kInt2:
      return f(int16_t{});
    case TargetKind::kInt4:
      return f(int32_t{});
    case TargetKind::kOid:
      return f(uint32_t{});
    default:
      break;
  }
  PGPROTO_ASSERT(kind == TargetKind::kInt8);
  return f(int64_t{});
}

}  // namespace

IntegerRange integer_range(TargetKind kind) {
  switch (kind) {
    case TargetKind::kInt2:
      return {INT16_MIN, INT16_MAX};
    case TargetKind::kInt4:
      return {INT32_MIN, INT32_MAX};
    case TargetKind::kOid:
      return {0, UINT32_MAX};
    default:
      return {INT64_MIN, INT64_MAX};
  }
}

bool put_integer(const Integer& value, TargetKind kind, Scratch& out, Fault& fault) {
  const IntegerRange range = integer_range(kind);
  const uint64_t limit =
      value.negative ? 0 - static_cast<uint64_t>(range.min) : static_cast<uint64_t>(range.max);
  if (value.magnitude > limit) {
    fault = integer_fault((value.negative ? "-" : "") + std::to_string(value.magnitude), kind);
    return false;
  }
  const uint64_t bits = value.negative ? 0 - value.magnitude : value.magnitude;
  switch (kind) {
    case TargetKind::kInt2:
      out.put(static_cast<uint16_t>(bits));
      break;
    case TargetKind::kInt4:
    case TargetKind::kOid:
      out.put(static_cast<uint32_t>(bits));
      break;
    default:
      out.put(bits);
      break;
  }
  return true;
}

CodecPointer bool_to_bool(const Field& source, const Target&) {
  if (source.kind == ColumnKind::kBoolBits) return bool_bits_field();
  return number_codec(ByteToBool{});
}

CodecPointer integer_to_integer(const Field& source, const Target& target) {
  return with_integer(source.kind, [&](auto from) {
    return with_integer_target(target.kind, [&](auto to) -> CodecPointer {
      using S = decltype(from);
      using T = decltype(to);
      if constexpr (std::is_same_v<S, T>) {
        return std::make_unique<DirectField<T>>();
      } else {
        return number_codec(IntegerToInteger<S, T>{target.kind});
      }
    });
  });
}

CodecPointer integer_to_float(const Field& source, const Target& target) {
  return with_integer(source.kind, [&](auto from) -> CodecPointer {
    using S = decltype(from);
    if (target.kind == TargetKind::kFloat4) {
      return number_codec(IntegerToFloat<S, float>{target.kind, target.rules.rounds});
    }
    return number_codec(IntegerToFloat<S, double>{target.kind, target.rules.rounds});
  });
}

CodecPointer float_to_float(const Field& source, const Target& target) {
  const bool single = target.kind == TargetKind::kFloat4;
  if (single && source.kind == ColumnKind::kFloat32) return std::make_unique<DirectField<float>>();
  if (!single && source.kind == ColumnKind::kFloat64) {
    return std::make_unique<DirectField<double>>();
  }
  return with_float(source.kind, [&](auto from) -> CodecPointer {
    using S = decltype(from);
    if (single) return number_codec(FloatToFloat<S, float>{target.kind, target.rules.rounds});
    return number_codec(FloatToFloat<S, double>{target.kind, target.rules.rounds});
  });
}

CodecPointer float_to_integer(const Field& source, const Target& target) {
  // PostgreSQL assigns no float to oid.
  const bool rounds = target.rules.rounds && target.kind != TargetKind::kOid;
  return with_float(source.kind, [&](auto from) {
    return with_integer_target(target.kind, [&](auto to) -> CodecPointer {
      return number_codec(FloatToInteger<decltype(from), decltype(to)>{target.kind, rounds});
    });
  });
}

CodecPointer decimal_to_integer(const Field& source, const Target& target) {
  return staged_field(
      source, load_decimal,
      PutDecimalAsInteger{target.kind, target.rules.rounds && target.kind != TargetKind::kOid});
}

CodecPointer decimal_to_float(const Field& source, const Target& target) {
  return staged_field(source, load_decimal, PutDecimalAsFloat{target.kind, target.rules.rounds});
}

}  // namespace pgsink::encode
