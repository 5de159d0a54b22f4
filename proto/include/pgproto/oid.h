#pragma once
// The object identifiers of PostgreSQL's built-in types, which never change between servers.
// Source: src/include/catalog/pg_type.dat.

#include <cstdint>

namespace pgproto {

using Oid = uint32_t;

namespace oid {
inline constexpr Oid kBool = 16, kBytea = 17, kChar = 18, kName = 19, kInt8 = 20, kInt2 = 21,
                     kInt4 = 23, kText = 25, kOid = 26, kXid = 28, kJson = 114, kXml = 142,
                     kFloat4 = 700, kFloat8 = 701, kMoney = 790, kMacaddr = 829, kInet = 869,
                     kCidr = 650, kBpchar = 1042, kVarchar = 1043, kDate = 1082, kTime = 1083,
                     kTimestamp = 1114, kTimestamptz = 1184, kInterval = 1186, kTimetz = 1266,
                     kBit = 1560, kVarbit = 1562, kNumeric = 1700, kUuid = 2950, kJsonb = 3802,
                     kRecord = 2249, kXid8 = 5069;
}  // namespace oid

}  // namespace pgproto
