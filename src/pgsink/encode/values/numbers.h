#pragma once
// Codecs between numbers: integers, floats and decimals into smallint … bigint, oid, real, double.
//
// A number may change its type, never its value: an integer must fit, a float written as an integer
// must be whole. A float target takes a value that it holds exactly, or one whose shortest decimal
// form it prints the same (0.1 as decimal is 0.1 as double; no double prints as 2^53 + 1).

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

CodecPointer bool_to_bool(const Field& source, const Target& target);
CodecPointer integer_to_integer(const Field& source, const Target& target);
CodecPointer integer_to_float(const Field& source, const Target& target);
CodecPointer float_to_float(const Field& source, const Target& target);
CodecPointer float_to_integer(const Field& source, const Target& target);
CodecPointer decimal_to_integer(const Field& source, const Target& target);
CodecPointer decimal_to_float(const Field& source, const Target& target);

/// IntegerRange is the range of an integer type.
struct IntegerRange {
  int64_t min = 0;
  int64_t max = 0;
};
IntegerRange integer_range(TargetKind kind);

/// put_integer appends a value as the integer type `kind`, or returns the fault that it does not
/// fit.
bool put_integer(const Integer& value, TargetKind kind, Scratch& out, Fault& fault);

}  // namespace pgsink::encode
