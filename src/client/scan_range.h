/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan_range: what a scan has still to walk, from <= key < to, and its bounds on the wire.
 *
 * Threads: one at a time. Memory: none; bounds are copied.
 * Errors: -EINVAL for bounds that do not fit the table's keys, -EPROTO for a key out of order.
 */
#ifndef FKV_CLIENT_SCAN_RANGE_H
#define FKV_CLIENT_SCAN_RANGE_H

#include "base/err.h"
#include "client/fkv.h"

#include <stdbool.h>

enum {
    SCAN_BOUND_MAX = 256, /* the longest key and a NUL: what comes right behind it */
    SCAN_BOUNDS_LEN_MAX = 8 + 2 * SCAN_BOUND_MAX,
};

struct scan_range {
    uint32_t key_type; /* FKV_KEY_* */
    bool is_over;      /* nothing can follow the last key */
    uint64_t from_u64;
    uint64_t to_u64; /* 0: no end */
    uint32_t from_len;
    uint32_t to_len; /* 0: no end */
    uint8_t from[SCAN_BOUND_MAX];
    uint8_t to[SCAN_BOUND_MAX];
};

int scan_range_init(struct scan_range *range, const struct fkv_range *wish, uint32_t key_type,
                    struct err *err);

/* Writes the bounds as the protocol carries them and returns their bytes. */
size_t scan_range_write(const struct scan_range *range, uint8_t out[SCAN_BOUNDS_LEN_MAX]);

/* A key was given (u64: 8 bytes): the range begins right behind it. -EPROTO when it was not in it. */
int scan_range_pass(struct scan_range *range, const uint8_t *key, uint8_t len, struct err *err);

static inline bool scan_range_is_over(const struct scan_range *range)
{
    return range->is_over;
}

#endif
