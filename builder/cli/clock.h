/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: how long things take. What hosts compare with each other is by manifest_now_ns().
 *
 * Threads: any. Memory: none. Errors: none.
 */
#ifndef FKV_CLI_CLOCK_H
#define FKV_CLI_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t cli_now_ns(void);

#endif
