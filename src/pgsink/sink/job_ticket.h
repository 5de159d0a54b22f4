#pragma once
// The texts that a job hands out: tickets for parts and drivers, tokens of finished parts.

#include <string>
#include <string_view>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/job.h"

namespace pgsink {

/// JobColumn is a column of the rows of a job.
struct JobColumn {
  Field field;
  std::string staged_as;  ///< Its name in the staging table; "" if it is not written.
};

struct JobTicket {
  std::string sink_id{}, schema{}, table{};
  std::string writer{};  ///< The driver's claim.
  std::string host{};
  uint64_t epoch = 0;
  bool numbered = false;  ///< The host gave the number of the epoch.
  Atomic atomic = Atomic::kStaging;
  bool replace = false;
  bool committed = false;
  std::string stage{};            ///< Name of the staging table, without schema and quotes.
  std::string part{}, ordinal{};  ///< Names of its further columns, not quoted.
  std::vector<JobColumn> columns{};
};
/// The schema that the job was opened with.
Schema schema_of(const JobTicket& ticket);
std::string write_ticket(const JobTicket& ticket);
/// Fails with kUsage if the text is not a ticket of this version.
Result<JobTicket> read_ticket(std::string_view text);

struct PartToken {
  std::string writer{};  ///< Of the job.
  uint32_t partition = 0;
  int64_t part = 0;  ///< Random.
  uint64_t rows = 0, rejected = 0;
  std::string gid{};  ///< Of a two-phase job: what the part has prepared; "": it has no rows.
};
std::string write_token(const PartToken& token);
/// Fails with kUsage if the text is not a token of this version.
Result<PartToken> read_token(std::string_view text);

}  // namespace pgsink
