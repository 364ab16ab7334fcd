/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures: what was counted of a build, for validators and people: of one shard first, then added up.
 *
 * They describe what the build wrote (of a delta: its own level), not what lies below it.
 *
 * Invariant: counts do not depend on the order in which things were added. The moments of the norms are floating-point sums, and
 * are the same on every run when shards are merged in ascending order, each walked in the order of its part.
 *
 * Threads: plain data. Memory: about 8 KiB, no pointers. Errors: none; a sum of counts stays at FIGURES_MAX.
 */
#ifndef FKV_BUILDER_FIGURES_H
#define FKV_BUILDER_FIGURES_H

#include "format/part.h"

#include <stdbool.h>
#include <stdint.h>

#define FIGURES_MAX ((uint64_t)INT64_MAX)

/*
 * The histogram of norms has NORM_STEPS buckets an octave from 2^-NORM_OCTAVES to 2^NORM_OCTAVES, and one at either end for what
 * lies beyond. Bucket i holds the norms x with round(NORM_STEPS * log2(x)) == i - NORM_ZERO: a norm of 1 stands in the
 * middle of its bucket, so that rounding does not spread unit vectors over two.
 */
enum {
    NORM_STEPS = 16,
    NORM_OCTAVES = 32,
    NORM_ZERO = NORM_STEPS * NORM_OCTAVES + 1,
    NORM_BUCKETS = 2 * NORM_ZERO + 1,
};

/* How the L2 norms of finite vectors are distributed. */
struct norm_figures {
    uint64_t count;
    double mean;
    double m2; /* the sum of squared differences from the mean */
    double min;
    double max;
    uint64_t buckets[NORM_BUCKETS];
};

struct build_figures {
    uint64_t
        rows; /* read, bad ones included; 0 in a shard's: they are counted for the build as a whole */
    uint64_t bad_rows;
    uint64_t duplicates; /* rows dropped by the policy */
    uint64_t keys;       /* live ones written */
    uint64_t tombstones;
    uint64_t empty_values; /* of no bytes, or a vector of zeros */
    bool has_vectors;      /* the values are vectors; else what follows is 0 */
    uint64_t not_finite;   /* vectors with NaN or Inf: not in norm */
    struct norm_figures norm;
};

/* One entry as it is written, its value not compressed: fixed as schema says. */
void figures_add(struct build_figures *figures, const struct schema *schema,
                 const struct part_entry *entry);

/* sum += part. */
void figures_merge(struct build_figures *sum, const struct build_figures *part);

/* The standard deviation of the norms, of the population; 0 without any. */
double norm_deviation(const struct norm_figures *norm);

/* The norm that a share of the norms (0 to 1) is not above, as the middle of its bucket, within min and max; 0 without any. */
double norm_quantile(const struct norm_figures *norm, double share);

/*
 * The two-sample Kolmogorov-Smirnov statistic: the largest difference between the shares of both samples that are not above some
 * norm (N. Smirnov, "Table for estimating the goodness of fit of empirical distributions", Ann. Math. Statist. 19, 1948). It is
 * taken at the borders of the histogram's buckets, so it may be less than that of the norms themselves, never more.
 * 0 to 1; 0 when one of them is empty.
 */
double norm_distance(const struct norm_figures *a, const struct norm_figures *b);

#endif
