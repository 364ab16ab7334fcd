/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only the next free instant is kept: who books gets it, and moves it on by the time that the bytes
 * take at this rate.
 */
#include "node/limiter.h"

#include "base/scope.h"

#define SECOND_NS 1000000000LL
/* What may be made up for after a pause: threads do not wake to the microsecond. */
#define BURST_NS (10 * 1000000LL)

enum { SLICES_A_SECOND = 128, SLICE_UNIT = 64 << 10 };

void limiter_init(struct limiter *limiter, uint64_t rate)
{
    *limiter = (struct limiter){.rate = rate};
    pthread_mutex_init(&limiter->lock, NULL);
}

void limiter_release(struct limiter *limiter)
{
    pthread_mutex_destroy(&limiter->lock);
}

size_t limiter_slice(const struct limiter *limiter, size_t max)
{
    uint64_t units = limiter->rate / SLICES_A_SECOND / SLICE_UNIT;
    if (!limiter->rate || units > max / SLICE_UNIT)
        return max;
    return (units ? units : 1) * SLICE_UNIT;
}

unsigned limiter_threads(const struct limiter *limiter, size_t chunk, unsigned max)
{
    uint64_t n = limiter->rate / chunk;
    if (!limiter->rate || n > max)
        return max;
    return n ? (unsigned)n : 1;
}

static int64_t takes_ns(const struct limiter *limiter, size_t len)
{
    return (int64_t)((double)len * (double)SECOND_NS / (double)limiter->rate);
}

int64_t limiter_book(struct limiter *limiter, size_t len, int64_t now_ns)
{
    if (!limiter->rate)
        return now_ns;
    scope_lock(&limiter->lock);
    if (limiter->next_ns < now_ns - BURST_NS)
        limiter->next_ns = now_ns - BURST_NS;
    int64_t from_ns = limiter->next_ns;
    limiter->next_ns += takes_ns(limiter, len);
    return from_ns;
}

void limiter_return(struct limiter *limiter, size_t len)
{
    if (!limiter->rate)
        return;
    scope_lock(&limiter->lock);
    limiter->next_ns -= takes_ns(limiter, len);
}
