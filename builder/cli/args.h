/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args: words of the command line as numbers.
 *
 * Threads: pure functions. Memory: none. Errors: 0 or -EINVAL, and the caller tells argp.
 */
#ifndef FKV_CLI_ARGS_H
#define FKV_CLI_ARGS_H

#include "manifest/name.h"

#include <argp.h>
#include <stdint.h>

int arg_u64(const char *text, uint64_t *out);
/* A percentage with or without its sign. */
int arg_percent(const char *text, double *out);

/* As above, and on a mistake tells the user and exits: "--memory: expected bytes like 512M or 2G, found 'x'". */
uint64_t arg_need_u64(struct argp_state *state, const char *flag, const char *text);
/* Within [min, max] too. */
uint32_t arg_need_u32(struct argp_state *state, const char *flag, const char *text, uint32_t min,
                      uint32_t max);
uint64_t arg_need_size(struct argp_state *state, const char *flag, const char *text);
int64_t arg_need_duration(struct argp_state *state, const char *flag, const char *text);
double arg_need_percent(struct argp_state *state, const char *flag, const char *text);

/* "TABLE=REST" cut at the first '='; rest is NULL when there is none. */
struct arg_pair {
    /* one byte more than a good name, so that a bad one stays bad */
    char table[TABLE_NAME_MAX + 2];
    const char *rest;
};
void arg_split_pair(const char *text, struct arg_pair *out);

#endif
