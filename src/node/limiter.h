/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limiter: a rate that several threads share.
 *
 * Each asks before it sends, and is told from when on it may. What was not used is not saved up, but
 * for a moment's worth, so that the rate holds over any short time too.
 *
 * Threads: any; one lock, held for a few instructions. Memory: plain data, limiter_release().
 * Errors: none.
 */
#ifndef FKV_NODE_LIMITER_H
#define FKV_NODE_LIMITER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct limiter {
    uint64_t rate; /* bytes a second; 0: no limit */
    pthread_mutex_t lock;
    int64_t next_ns; /* from when on more may be sent; any clock that only goes forward */
};

void limiter_init(struct limiter *limiter, uint64_t rate);
void limiter_release(struct limiter *limiter);

/* How much to send at a time, at most max: what the rate sends in some milliseconds, in whole 64
 * KiB. */
size_t limiter_slice(const struct limiter *limiter, size_t max);

/* Books len bytes; they may be sent from the instant returned on, which may have passed. */
int64_t limiter_book(struct limiter *limiter, size_t len, int64_t now_ns);
/* Gives back what was booked and will not be sent. */
void limiter_return(struct limiter *limiter, size_t len);
/* How many chunks of that length to fetch at once, at most max: no more than a second lets pass. */
unsigned limiter_threads(const struct limiter *limiter, size_t chunk, unsigned max);

#endif
