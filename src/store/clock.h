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

/*
 * Which reading to go by. One is as good as its round trip was short, and what is carried on from it gets worse with age. So a new
 * one replaces the old when it is closer, or when the two cannot both be right: then the store's clock was set. `old` was read age_ns
 * before `read`; what is returned has the error of now.
 */
struct store_clock store_clock_better(const struct store_clock *old, int64_t age_ns,
                                      const struct store_clock *read);

/* The time as one goes by it, reading after reading. Begins as zeros. */
struct store_time {
    struct store_clock clock;
    int64_t
        read_ns; /* CLOCK_MONOTONIC: when clock had its error; 0: never read, and clock says nothing */
    bool is_stores; /* clock was read from the store, and is not this host's own */
    bool
        was_set; /* the last reading cannot be right if the one before was: the store's clock was set */
    int64_t cost_ns; /* what the quickest of the last readings took */
};
/*
 * Reads a few times if the first took long: it may have waited behind a large write. On failure what was read before goes on; without
 * any, this host's clock is gone by.
 */
int store_time_read(struct store_time *time, struct store *store, const char *dir, struct err *err);

#endif
