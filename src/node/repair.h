/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair: looks after parts on disk of which a block could not be read.
 *
 * The file of such a part is read as a whole, past the page cache and a little at a time, and each
 * chunk compared with version.json. A chunk that is not as it should be is fetched from the store,
 * checked, and written over the bad one, in the very file that answers: what was good in it stays
 * the same bytes, blocks are verified at every read, and so lookups go on meanwhile. No version is
 * fetched, loaded or switched for a bad sector, and whatever happens on the way, the file is never
 * worse than it was. Until the store can be reached the part serves what is good in it.
 *
 * Threads: the work thread only. Memory: repair_release(). Errors: told as events, and in the status
 * of the versions that hold the part.
 */
#ifndef FKV_NODE_REPAIR_H
#define FKV_NODE_REPAIR_H

#include "io/load.h"
#include "io/reader.h"
#include "node/table_impl.h"
#include "store/store.h"

struct node;

/* The part that is looked at, chunk by chunk: first the one whose block failed. */
struct repair {
    struct version *version; /* pinned, which keeps the part; NULL: none is under way */
    struct table *table;
    size_t part;
    uint32_t page;  /* where the block begins that failed */
    uint32_t first; /* the chunk to begin with */
    uint32_t next;  /* how many chunks have been looked at */
    uint32_t n_bad; /* fetched again */
    struct memory chunk;
    int fd;              /* to write, once it is needed; -1 */
    struct store *store; /* its own: fetches go on meanwhile. NULL: not open */
    int64_t due_ns;      /* CLOCK_MONOTONIC: when a part is to be looked at; INT64_MAX: none */
};

void repair_init(struct repair *repair);
void repair_release(struct repair *repair);

/* A slice of the work, some tenth of a second. True when there is more to do at once. */
bool repair_step(struct node *node);

/* Under the node's lock: what is wrong with a part of the version; NULL: nothing is known. */
const char *repair_damage(const struct version *version);

#endif
