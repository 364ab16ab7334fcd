/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat: where the bytes of a version went, told from the footers of its parts.
 *
 * Threads: one. Memory: stat_release(). Errors: -EBADMSG for a part that is not what version.json says, store errors.
 */
#ifndef FKV_CLI_STAT_H
#define FKV_CLI_STAT_H

#include "base/json.h"
#include "format/part_space.h"
#include "format/version.h"
#include "store/store.h"

/* Several parts together: a level, or all. */
struct stat_sum {
    size_t n_parts;
    uint64_t n_keys;
    uint64_t n_tombstones;
    uint64_t bytes; /* the parts' lengths, which len adds up to */
    uint64_t len[SPACE_N];
    uint64_t memory;
    uint64_t values_len; /* before compression; of parts that tell */
    uint64_t n_untold;   /* parts with values that do not */
    uint64_t part_min;   /* bytes of the shortest and the longest */
    uint64_t part_max;
};

struct stat_version {
    const struct version_desc *desc;
    struct part_space *parts; /* desc->n_parts, in its order */
    struct stat_sum levels[LEVELS_MAX];
    struct stat_sum all;
    bool compressed;       /* some part is */
    bool values_hold_keys; /* of some part */
    uint64_t saves;        /* bytes that a checkpoint would, about */
};

/* Reads 4 KiB of each part, and the directory of `mem` parts with heaps; desc outlives *out. */
int stat_read(struct store *store, const char *dir, const struct version_desc *desc,
              struct stat_version *out, struct err *err);
void stat_release(struct stat_version *stat);

/* Prints it for people; with_shards: a line a part too. */
void stat_print(const struct stat_version *stat, const char *table, bool with_shards);
json_t *stat_json(const struct stat_version *stat, const char *table, bool with_shards);

#endif
