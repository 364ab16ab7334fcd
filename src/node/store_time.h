/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_time: which reading of the store's clock to go by.
 *
 * One reading is as good as its round trip was short, and what is carried on from it gets worse with
 * age. So a new one replaces the old when it is closer, or when the two cannot both be right: then
 * the store's clock was set.
 *
 * Threads: a pure function. Memory, Errors: none.
 */
#ifndef FKV_NODE_STORE_TIME_H
#define FKV_NODE_STORE_TIME_H

#include "store/clock.h"

/* `old` was read age_ns before `read`. What is returned has the error of now. */
struct store_clock clock_better(const struct store_clock *old, int64_t age_ns,
                                const struct store_clock *read);

#endif
