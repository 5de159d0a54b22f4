#pragma once
// The C interface of pgsink, for C11 and for every language that can call C. docs/how-to/c.md shows
// how it is used; the library is libpgsink_c.
//
// Rules that hold for all functions:
// - What can fail returns an int: 0, or the number of the error (2001 is PGS-2001, see
//   docs/reference/errors.md). The last argument then says more; it may be NULL.
// - No C++ exception leaves. If memory runs out, the call fails with 9002.
// - Texts are UTF-8. Those that are handed out belong to the caller, who gives them back to
//   pgsink_free(), unless the comment says otherwise.
// - Structs of Arrow are moved in: the library releases them, also when the call fails, and sets
//   their `release` to NULL.
// - Structs of this header only grow, at their end. Their first member is their size.
// - Nothing here may be called in a child process after fork(), for what was opened before.

#include <stddef.h>
#include <stdint.h>

#include <pgsink/arrow_c_abi.h>

// NOLINTBEGIN(modernize-use-using,readability-identifier-naming): this is C.

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PGSINK_EXPORT __attribute__((visibility("default")))
#else
#define PGSINK_EXPORT
#endif

/// PGSINK_C_ABI is the version of this interface: it changes if a program has to be compiled again,
/// and with it the number in the library's name.
#define PGSINK_C_ABI 1

/// pgsink_abi_version is the PGSINK_C_ABI of the library that is loaded. Thread-safe.
PGSINK_EXPORT int pgsink_abi_version(void);

/// pgsink_version is the library's version, as in "0.1.0". Valid forever. Thread-safe.
PGSINK_EXPORT const char* pgsink_version(void);

/// pgsink_free gives back a text that the library handed out. NULL is ignored. Thread-safe.
PGSINK_EXPORT void pgsink_free(char* text);

// ---- errors -----------------------------------------------------------------------------------

/// pgsink_error says what failed. Begin with PGSINK_ERROR_INIT. Each call clears what the call
/// before left in it; the last one is to be cleared by pgsink_error_clear(). The texts are "" where
/// nothing is known, never NULL after a failure, and valid until then. They hold no secret.
typedef struct pgsink_error {
  size_t size;              ///< sizeof(pgsink_error) of the caller.
  uint32_t code;            ///< 0: no error; 4001: PGS-4001.
  uint8_t sent;             ///< 1: a part of the request may have reached the server.
  uint8_t retryable;        ///< 1: the same call may succeed later: a lost connection, a deadlock.
  char sqlstate[6];         ///< The server's five characters, "00000" if it reported none.
  uint64_t rows_committed;  ///< Rows of the sink that are known to be committed.
  const char* message;      ///< What, where, which limit, what to do.
  const char* detail;       ///< The server's DETAIL.
  const char* hint;         ///< The server's HINT.
  const char* where;        ///< The server's CONTEXT.
  const char* schema;       ///< The schema that the server names.
  const char* table;        ///< The table that the server names.
  const char* column;       ///< The column that has the fault.
  const char* constraint;   ///< The constraint that is violated.
  void* owned;              ///< The library's own.
} pgsink_error;

/// PGSINK_ERROR_INIT is the initial value: pgsink_error error = PGSINK_ERROR_INIT;
#define PGSINK_ERROR_INIT \
  {sizeof(pgsink_error), 0, 0, 0, "00000", 0, "", "", "", "", "", "", "", "", NULL}

/// pgsink_error_clear gives the memory of its texts back; the struct is as after PGSINK_ERROR_INIT
/// then. One thread at a time.
PGSINK_EXPORT void pgsink_error_clear(pgsink_error* error);

// ---- options ----------------------------------------------------------------------------------

/// pgsink_option is one option: a key of docs/reference/options.md, and its value as text. Numbers
/// and booleans are written as in a script ("4", "true"), lists with commas ("id, day"). An entry
/// of a map has a key of its own: "session_variables.work_mem". Values are taken as they are: ${…}
/// has no meaning. One more key is known: "connection_name" labels errors and metrics, and without
/// it the name is "pgsink".
typedef struct pgsink_option {
  const char* key;    ///< In lower case.
  const char* value;  ///< Not NULL.
} pgsink_option;

/// pgsink_options_json writes the table of options as JSON: an array of objects with key, group,
/// type, default, meaning and more, as `pgsink options --json`. Thread-safe.
PGSINK_EXPORT int pgsink_options_json(char** json, pgsink_error* error);

/// pgsink_test connects as pgsink_sink_open() would, and checks table, columns, privileges and
/// options without writing. Thread-safe.
PGSINK_EXPORT int pgsink_test(const pgsink_option* options, size_t count, pgsink_error* error);

/// pgsink_describe_json reads the target's columns from the catalog, as a JSON array of objects
/// with name, type, nullable, default, key, generated and ordinal. Fails with 3001 if the table
/// does not exist. Thread-safe.
PGSINK_EXPORT int pgsink_describe_json(const pgsink_option* options, size_t count, char** json,
                                       pgsink_error* error);

// ---- the sink ---------------------------------------------------------------------------------

/// pgsink_sink writes batches to one table. Calls that say "any thread" may be made at any time
/// before pgsink_sink_free(); the others by one thread at a time.
typedef struct pgsink_sink pgsink_sink;

/// pgsink_callbacks are functions that the sink calls. The struct must outlive the call of
/// pgsink_sink_open() only, its context the sink.
typedef struct pgsink_callbacks {
  size_t size;    ///< sizeof(pgsink_callbacks) of the caller.
  void* context;  ///< Handed to the functions.
  /// Takes rejected rows before the transaction of the good rows around them commits: a JSON array
  /// of objects as in a dead letter file, with input_row, message, column_name, row (an object with
  /// all columns) and others. Called in a thread of the sink, with `parallelism` above 1 in several
  /// at once; must not call the sink. If the transaction fails, a row may be reported again.
  /// Anything but 0 stops the sink, with nothing of the transaction committed. May be NULL.
  int (*on_dead_letters)(void* context, const char* json, size_t length);
  /// Writes the password of the next login, without a terminating 0, to `password`, which has place
  /// for PGSINK_PASSWORD_MAX bytes, and returns its length; less than 0 if there is none: then the
  /// login fails with 2004. Instead of the option `password`, for tokens that expire. Called in the
  /// thread that connects, with `parallelism` above 1 in several at once. May be NULL.
  int (*on_password)(void* context, char* password);
  /// Hears of it while pgsink_sink_open() waits for a server that it could not reach: why the last
  /// attempt failed, how many have failed, how long the pause is, and whether this is the first
  /// call of it. Called many times a second, in the thread that opens. Anything but 0 ends the
  /// waiting: pgsink_sink_open() fails with 2010. May be NULL.
  int (*on_server_wait)(void* context, const char* message, uint32_t failures, uint64_t pause_ms,
                        int begins);
  /// Hears of every transaction, for traces: a JSON object with kind ("sent", "committed",
  /// "failed", "lost"), connection, table, lane, flight, attempt, rows, bytes, queued_us, sent_us,
  /// time_us (microseconds since 1970), and of an error message and sqlstate. A span begins at
  /// queued_us and ends at time_us of the event that is not "sent"; "lost" may be followed by
  /// "committed" of the same attempt. Called in a thread of the sink, with `parallelism` above 1 in
  /// several at once; must return soon and not call the sink. May be NULL.
  void (*on_flight)(void* context, const char* json, size_t length);
} pgsink_callbacks;

/// PGSINK_PASSWORD_MAX is how long a password of pgsink_callbacks.on_password may be, in bytes.
#define PGSINK_PASSWORD_MAX 65536

/// pgsink_sink_open connects, reads the target's catalog, maps the columns of the schema by name
/// and checks everything that can be checked before a row is sent. The schema is moved in: format
/// "+s". `callbacks` may be NULL. `*sink` is NULL after a failure. Thread-safe.
PGSINK_EXPORT int pgsink_sink_open(const pgsink_option* options, size_t count,
                                   struct ArrowSchema* schema, const pgsink_callbacks* callbacks,
                                   pgsink_sink** sink, pgsink_error* error);

/// pgsink_sink_write accepts a batch, which is moved in and released when its rows are durable, in
/// any thread. It waits only while `buffer_bytes` are accepted and not durable. The batch's schema
/// is moved in and compared with the one of pgsink_sink_open(); NULL: the caller knows that it is
/// the same, and memory would be read wrongly otherwise. The position is the caller's own number
/// for how far its input is read; with delivery = exactly_once it must grow from batch to batch,
/// otherwise it may be 0. Any thread; batches of one thread keep their order.
PGSINK_EXPORT int pgsink_sink_write(pgsink_sink* sink, struct ArrowSchema* schema,
                                    struct ArrowArray* batch, uint64_t position,
                                    pgsink_error* error);

/// pgsink_sink_write_stream accepts all batches of a stream, which is moved in. The first one gets
/// `position`, those after it the numbers that follow; 0: all of them get 0. `*rows`, unless it is
/// NULL, is the number of rows that were accepted, also after a failure. An error of the stream
/// fails with 1010 and its text. Any thread.
PGSINK_EXPORT int pgsink_sink_write_stream(pgsink_sink* sink, struct ArrowArrayStream* stream,
                                           uint64_t position, uint64_t* rows, pgsink_error* error);

/// pgsink_sink_flush waits until everything accepted before it is committed. 0 means just that.
/// With use_2pc it ends an epoch.
PGSINK_EXPORT int pgsink_sink_flush(pgsink_sink* sink, pgsink_error* error);

/// pgsink_sink_close flushes and gives the connections back. Calling it again returns the first
/// outcome.
PGSINK_EXPORT int pgsink_sink_close(pgsink_sink* sink, pgsink_error* error);

/// pgsink_sink_finish is pgsink_sink_close() at the end of a load that no later run continues: with
/// use_2pc the position is deleted, so that the next sink of the same name begins at 0.
PGSINK_EXPORT int pgsink_sink_finish(pgsink_sink* sink, pgsink_error* error);

/// pgsink_sink_interrupt ends the sink: the calls that wait and all later ones fail with 2010 and
/// say how many rows are committed. Nothing more is sent. Does not wait. Any thread, but no signal
/// handler.
PGSINK_EXPORT void pgsink_sink_interrupt(pgsink_sink* sink);

/// pgsink_sink_free ends the sink, in bounded time. What is not committed is given up: call
/// pgsink_sink_close() before to keep it. No other call may be running. NULL is ignored.
PGSINK_EXPORT void pgsink_sink_free(pgsink_sink* sink);

/// pgsink_sink_status is 0 while the sink works, and the error that stopped it otherwise. Does not
/// wait. Any thread.
PGSINK_EXPORT int pgsink_sink_status(pgsink_sink* sink, pgsink_error* error);

/// pgsink_sink_durable_position is the position of the last batch up to which every row is durable.
/// With delivery = exactly_once or use_2pc it is known from the beginning: the caller resumes right
/// after it. Any thread.
PGSINK_EXPORT uint64_t pgsink_sink_durable_position(const pgsink_sink* sink);

/// pgsink_sink_metrics_json writes a snapshot of the counters as a JSON object. Any thread.
PGSINK_EXPORT int pgsink_sink_metrics_json(const pgsink_sink* sink, char** json,
                                           pgsink_error* error);

/// pgsink_sink_warnings_json writes a JSON array of texts: what pgsink_sink_open() found that is
/// not an error but may break a guarantee.
PGSINK_EXPORT int pgsink_sink_warnings_json(const pgsink_sink* sink, char** json,
                                            pgsink_error* error);

// ---- two-phase commit by the caller's decision ------------------------------------------------
// With use_2pc a program with checkpoints can decide when an epoch is committed: open,
// recover(last epoch that it knows to be complete), write …, prepare(n), write …, commit(n).

/// pgsink_sink_recover takes over from previous runs: epochs that they prepared are committed up to
/// `last_committed_epoch` (0: none), later ones rolled back. Once, before the first batch. `*epoch`
/// and `*position` say where the database stands; both may be NULL.
PGSINK_EXPORT int pgsink_sink_recover(pgsink_sink* sink, uint64_t last_committed_epoch,
                                      uint64_t* epoch, uint64_t* position, pgsink_error* error);

/// pgsink_sink_prepare ends an epoch: everything accepted before it is prepared on the server,
/// where it survives a crash of both sides and is not visible yet. Epochs must grow.
PGSINK_EXPORT int pgsink_sink_prepare(pgsink_sink* sink, uint64_t epoch, pgsink_error* error);

/// pgsink_sink_commit commits a prepared epoch and those before it. After an error call it again,
/// or open a new sink and recover: a decision is never changed.
PGSINK_EXPORT int pgsink_sink_commit(pgsink_sink* sink, uint64_t epoch, pgsink_error* error);

/// pgsink_sink_abort rolls back a prepared epoch and everything after it. The sink has ended then.
PGSINK_EXPORT int pgsink_sink_abort(pgsink_sink* sink, uint64_t epoch, pgsink_error* error);

// ---- streams: many processes write one table --------------------------------------------------
// With streams = true and delivery = exactly_once the input is made of streams: numbered inputs
// whose order counts, such as partitions of Kafka, files or shards. A process claims those that it
// reads; each record is written once, whichever process reads it. See docs/how-to/streams.md.

/// pgsink_sink_claim takes streams over from their owners. `positions` has `count` numbers:
/// before the call, where a stream begins that nobody has claimed before; after it, up to where
/// each is committed, which is where to read on. They are left as they are if the call fails.
/// Former owners are fenced; a transaction of theirs that is open is waited for, and ended after a
/// second. Names have 1 to 1000 bytes. Others may write meanwhile, but not claim or release.
PGSINK_EXPORT int pgsink_sink_claim(pgsink_sink* sink, const char* const* streams, size_t count,
                                    uint64_t* positions, pgsink_error* error);

/// pgsink_sink_write_claimed is pgsink_sink_write() of a batch that belongs to a claimed stream.
/// The position must grow from batch to batch of that stream; a batch up to the claimed position is
/// acknowledged and not written. Fails with 6002 if another writer has taken the stream over. Any
/// thread; batches of one stream come from one thread at a time.
PGSINK_EXPORT int pgsink_sink_write_claimed(pgsink_sink* sink, const char* stream,
                                            struct ArrowSchema* schema, struct ArrowArray* batch,
                                            uint64_t position, pgsink_error* error);

/// pgsink_sink_release gives claimed streams up. With `discard` 0 it waits until everything
/// accepted of them is committed, and keeps them if that fails; otherwise rows that were not sent
/// are dropped, and the next owner of the streams reads them again. Others may write meanwhile.
PGSINK_EXPORT int pgsink_sink_release(pgsink_sink* sink, const char* const* streams, size_t count,
                                      int discard, pgsink_error* error);

/// pgsink_sink_stream_position is the position up to which everything of a claimed stream is
/// committed; 0 if it is not claimed. Any thread.
PGSINK_EXPORT uint64_t pgsink_sink_stream_position(const pgsink_sink* sink, const char* stream);

/// pgsink_sink_stream_status is 0 while no other writer is known to have taken the stream over, and
/// 6002 then, until it is released with `discard` or claimed again. Does not wait. Any thread.
PGSINK_EXPORT int pgsink_sink_stream_status(pgsink_sink* sink, const char* stream,
                                            pgsink_error* error);

// ---- jobs: one atomic write by many processes -------------------------------------------------
// A driver opens a job and hands out its ticket; parts write under the ticket, in any process, and
// finish with a token; the driver commits the tokens. docs/how-to/jobs.md says more.

/// pgsink_job is the driver's side of a job. One thread at a time.
typedef struct pgsink_job pgsink_job;

/// pgsink_job_options are what distinguishes a job from a sink.
typedef struct pgsink_job_options {
  size_t size;         ///< sizeof(pgsink_job_options) of the caller.
  uint64_t epoch;      ///< The number of this write; one that is committed is not written again.
                       ///< 0: the next one.
  const char* host;    ///< The counter of the epochs; NULL or "": none.
  const char* atomic;  ///< "auto", "staging", "2pc" or "none"; NULL: "auto".
  int replace;         ///< 1: the table holds the rows of the job and nothing else afterwards.
} pgsink_job_options;

/// pgsink_job_open checks target, options and schema, and takes the job's name (the option sink_id)
/// over from an earlier driver. The schema is moved in. `job` may be NULL. `*opened` is NULL after
/// a failure. Thread-safe.
PGSINK_EXPORT int pgsink_job_open(const pgsink_option* options, size_t count,
                                  struct ArrowSchema* schema, const pgsink_job_options* job,
                                  pgsink_job** opened, pgsink_error* error);

/// pgsink_job_resume continues a job by its ticket, in another process. It does not connect.
/// Thread-safe.
PGSINK_EXPORT int pgsink_job_resume(const pgsink_option* options, size_t count, const char* ticket,
                                    pgsink_job** opened, pgsink_error* error);

/// pgsink_job_ticket is the text for pgsink_part_open() and pgsink_job_resume(). Valid as long as
/// the job; "" for NULL.
PGSINK_EXPORT const char* pgsink_job_ticket(const pgsink_job* job);

/// pgsink_job_epoch is the number of this write; 0 for NULL.
PGSINK_EXPORT uint64_t pgsink_job_epoch(const pgsink_job* job);

/// pgsink_job_committed is 1 if the epoch is known to be committed: then parts need not write.
PGSINK_EXPORT int pgsink_job_committed(const pgsink_job* job);

/// pgsink_job_number gives a job that was opened with epoch 0 its number and host, for engines that
/// say them only when a write ends. pgsink_job_commit() finds whether the epoch is committed, and
/// fails if another host numbers them. It does not connect. `host` may be NULL.
PGSINK_EXPORT int pgsink_job_number(pgsink_job* job, uint64_t epoch, const char* host,
                                    pgsink_error* error);

/// pgsink_job_commit makes the rows of these parts visible, all or none: the tokens of all
/// partitions, one for each. Calling it again, also in another process, does nothing more.
/// `*report`, unless `report` is NULL, is a JSON object: epoch, rows, changed, rejected, repeated.
PGSINK_EXPORT int pgsink_job_commit(pgsink_job* job, const char* const* tokens, size_t count,
                                    char** report, pgsink_error* error);

/// pgsink_job_abort drops what the parts have staged.
PGSINK_EXPORT int pgsink_job_abort(pgsink_job* job, pgsink_error* error);

/// pgsink_job_free frees the driver's side; the job can still be resumed. NULL is ignored.
PGSINK_EXPORT void pgsink_job_free(pgsink_job* job);

/// pgsink_part_open opens a sink that writes one partition of a job. The schema, which is moved in,
/// has the columns of pgsink_job_open(); NULL: there are no rows. Thread-safe.
PGSINK_EXPORT int pgsink_part_open(const pgsink_option* options, size_t count, const char* ticket,
                                   uint32_t partition, struct ArrowSchema* schema,
                                   const pgsink_callbacks* callbacks, pgsink_sink** part,
                                   pgsink_error* error);

/// pgsink_part_finish closes the sink of a part and hands out its token.
PGSINK_EXPORT int pgsink_part_finish(pgsink_sink* part, char** token, pgsink_error* error);

#ifdef __cplusplus
}  // extern "C"
#endif

// NOLINTEND(modernize-use-using,readability-identifier-naming)
