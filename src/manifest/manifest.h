/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest: the log on a store: open, follow, append.
 *
 *   log/0000000001.json …           one record a file, created by put-if-absent, never rewritten
 *   log/snapshot-0000000100.json    the state up to a record, every SNAPSHOT_EVERY records; the two newest stay
 *
 * Opening costs a few dozen requests however long the log is: its end is searched for, and the newest snapshot folded from.
 *
 * Threads: a struct manifest belongs to one thread at a time.
 * Memory: manifest_state() lives until the next refresh or append.
 * Errors: those of store, record and state. A record that cannot be read stops the fold before it: the state stays
 * at the last good one and the error says so.
 */
#ifndef FKV_MANIFEST_MANIFEST_H
#define FKV_MANIFEST_MANIFEST_H

#include "manifest/state.h"
#include "store/store.h"

enum { SNAPSHOT_EVERY = 100 };

struct manifest;

/* Makes log/, tables/, tasks/, nodes/ and last store.json, where there are none. Also mends a store half made. */
int manifest_init_store(struct store *store, struct err *err);

/* Folds the log from the newest good snapshot. The store must be initialised (-ENOENT says how). -EBADMSG: also for a record
 * that is missing while later ones exist. */
int manifest_open(struct store *store, struct manifest **out, struct err *err);
void manifest_close(struct manifest *manifest);

/*
 * Folds records that came since; *n_new (may be NULL) says how many, also when a later one could not be folded.
 * With nothing new: one small request.
 */
int manifest_refresh(struct manifest *manifest, size_t *n_new, struct err *err);

/*
 * Nanoseconds since 1970 by the store's clock, which is what records, heartbeats and effective_ns are in. Asks the store at the
 * first call and then once a minute; a store that cannot be asked leaves the last answer, or else this host's own clock.
 */
int64_t manifest_now_ns(struct manifest *manifest);
/* The same, for those whom a guess does not help: fails while the store's clock was never read. *out is set all the same. */
int manifest_read_clock(struct manifest *manifest, int64_t *out, struct err *err);
/* The store was away, and may have another clock now: the next look at the time asks it. */
void manifest_doubt_clock(struct manifest *manifest);
/* When it was seen that the store's clock had been set, by that clock; 0: never. */
int64_t manifest_clock_set_ns(const struct manifest *manifest);
/* What a write to the store takes, as far as was seen; 0: nothing was. */
int64_t manifest_write_cost_ns(const struct manifest *manifest);

const struct state *manifest_state(const struct manifest *manifest);
/* 32 hex digits, as long as the manifest. */
const char *manifest_store_id(const struct manifest *manifest);

/*
 * Appends one record: build makes its operations from the newest state, they are checked against it, and the next number
 * is tried. When another writer was first, his record is folded and build is called again. A lost reply is
 * recognised by the nonce. build returns 0, or refuses with an error that ends the attempt.
 * The operations stay build's: they must live until its next call or the return of manifest_append().
 * reason may be NULL; control characters in it become spaces. *seq (may be NULL) is the record's number.
 *
 * Errors besides those of build and state: when the store failed and the record is not there on reading back, the store's
 * error; -EAGAIN when others were first APPEND_TRIES times.
 */
enum { APPEND_TRIES = 1000 };
struct op_list {
    struct op *ops;
    size_t n_ops;
};
typedef int (*manifest_build_fn)(void *context, const struct state *state, struct op_list *ops,
                                 struct err *err);
int manifest_append(struct manifest *manifest, const char *reason, manifest_build_fn build,
                    void *context, uint64_t *seq, struct err *err);

/* Reads record seq for `fkv log`; -ENOENT past the end. Changes nothing in the manifest. */
int manifest_read_record(struct manifest *manifest, uint64_t seq, struct record *out,
                         struct err *err);

#endif
