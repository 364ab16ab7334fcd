/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: the time by the store.
 *
 * The clocks of a fleet differ. All times that nodes and commands compare with each other (effective_at, heartbeats, records) are
 * therefore by the one clock that all of them can read: the one that stamps files on the store. It is read by making a
 * temporary file and looking at its mtime, and carried on with CLOCK_MONOTONIC, so that a step of the host's own clock
 * changes nothing. Nothing is written into the file: what counts is the moment of its making, and a sync after it would only
 * blur that.
 *
 * Threads: plain data. Memory: none. Errors: those of the store; a store that may not be written cannot be asked.
 */
#ifndef FKV_STORE_CLOCK_H
#define FKV_STORE_CLOCK_H

#include "store/store.h"

struct store_clock {
    int64_t offset_ns; /* the store's time less CLOCK_MONOTONIC */
    int64_t error_ns;  /* it may be off by so much: half the round trip, and a file system's tick */
};

/* This host's own time, for a store that cannot be asked. */
struct store_clock store_clock_local(void);
/* Asks the store, through a temporary file in dir, which must exist. A few requests. */
int store_clock_read(struct store *store, const char *dir, struct store_clock *out,
                     struct err *err);
/* Nanoseconds since 1970. */
int64_t store_clock_now_ns(const struct store_clock *clock);

#endif
