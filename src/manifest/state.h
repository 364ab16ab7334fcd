/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: what the log says now: the fold of all its records. Pure data, no I/O.
 *
 * Invariant: state_apply() either takes a whole record or leaves the state as it was.
 *
 * Threads: one at a time, or many readers. Memory: state_release().
 * Errors: -EPERM when a rule refuses an op (err says which), -ENOENT for an unknown table or version, -EEXIST, -ESTALE
 * (delta whose base is no longer the newest), -EBADMSG for a record out of sequence.
 */
#ifndef FKV_MANIFEST_STATE_H
#define FKV_MANIFEST_STATE_H

#include "manifest/record.h"

#include <stdbool.h>

enum version_state {
    VERSION_CANDIDATE, /* published, never current */
    VERSION_CURRENT,
    VERSION_FORMER,    /* was current */
    VERSION_RETIRED,   /* gc may remove it */
    VERSION_FORGOTTEN, /* its files are gone */
};

struct version_entry {
    uint64_t version;
    enum version_state state;
    bool quarantined;
    uint64_t base;
    uint64_t n_keys;
    uint64_t len;
    struct digest digest;
    int64_t published_ns;
    int64_t
        activated_ns; /* last time it became current, made to ascend within the table; 0: never */
};

/*
 * A canary pin tries a version out on some nodes. It counts while its version is ahead of the current one, or until the switch
 * that overtakes it takes effect: so activating the version promotes it, without a moment between. It ends with that, and when
 * the version is no longer good, so quarantining the version aborts the trial.
 */
struct pin_entry {
    char name[NODE_NAME_MAX + 1];
    uint64_t version;
    bool canary;
};
struct tag_entry {
    char name[TAG_NAME_MAX + 1];
    uint64_t version;
};

struct table_state {
    char name[TABLE_NAME_MAX + 1];
    struct version_entry *versions; /* ascending by number */
    size_t n_versions;
    uint64_t current; /* 0: none yet */
    uint64_t
        previous; /* the good former version that was current last: rollback's default; 0: none */
    int64_t effective_ns; /* when current takes effect; 0: at once */
    uint64_t before;      /* the version served until effective_ns */
    uint32_t keep;        /* former versions kept; KEEP_DEFAULT unless an op said otherwise */
    struct pin_entry *pins;
    size_t n_pins;
    struct tag_entry *tags;
    size_t n_tags;
};

enum {
    KEEP_DEFAULT = 3,
    /* Of the forgotten versions of a table that no other lies on, the newest so many stay in the state; it must not grow for ever. */
    FORGOTTEN_KEPT = 64,
};

struct state {
    uint64_t seq;               /* last record folded in; 0: none */
    struct table_state *tables; /* ascending by name */
    size_t n_tables;
};

/* "candidate", "current", "former", "retired", "forgotten". */
const char *version_state_name(enum version_state state);

void state_release(struct state *state);
int state_copy(const struct state *state, struct state *out);
int state_apply(struct state *state, const struct record *record, struct err *err);
/* Would state_apply() take it? Changes nothing. */
int state_check(const struct state *state, const struct record *record, struct err *err);

struct table_state *state_find_table(const struct state *state, const char *table);
struct version_entry *table_state_find(const struct table_state *table, uint64_t version);
/*
 * The first quarantined one of version, its base, that one's base and so on; NULL: none. What is quarantined lives on in the
 * deltas above it, so a version is good only when it is neither retired nor forgotten and this finds none.
 */
const struct version_entry *table_state_find_bad(const struct table_state *table,
                                                 const struct version_entry *version);
/* The newest good version; 0: none. A delta must lie on it. */
uint64_t table_state_newest(const struct table_state *table);
/* A version number, or a tag, or "current" / "previous"; -ENOENT. */
int table_state_resolve(const struct table_state *table, const char *text, uint64_t *out,
                        struct err *err);
/* Does the pin hold anybody at time now? Only a canary pin may not. */
bool table_state_pin_counts(const struct table_state *table, const struct pin_entry *pin,
                            int64_t now_ns);
/* The newest version that canary pins try out, which `promote` activates and `abort` quarantines; 0: none. Its pins are those with
 * `canary` and that version. */
uint64_t table_state_canary(const struct table_state *table);
/* What a node of that name should serve at time now: its pin, if that counts, or that of its first label with one that does, or
 * current by effective_ns. */
uint64_t table_state_wanted(const struct table_state *table, const char *node,
                            const char *const *labels, size_t n_labels, int64_t now_ns);
/*
 * Which versions gc must keep: current, previous, the one served until a switch takes effect, the last keep good
 * former ones, good candidates that are not passed over (older than current), pinned and
 * tagged ones, and the bases that those name.
 */
bool table_state_is_kept(const struct table_state *table, const struct version_entry *version);

enum { STATE_JSON_MAX = 256 << 20 };

/* Snapshot: the state as one sealed JSON document. decode checks every invariant above. */
int state_encode(const struct state *state, struct buf *out, struct err *err);
int state_decode(const void *text, size_t len, const char *name, struct state *out,
                 struct err *err);

#endif
