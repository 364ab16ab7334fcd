/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_sample: some of the values that go by while mapping, to train a dictionary on and to see what compression would save.
 *
 * The sample is the rows of the lowest (hash, seq), up to the one with which their lengths reach SAMPLE_LEN. Hashes are as good as
 * random, and which rows those are depends on the input alone: each worker keeps the lowest of its own, and the lowest of all
 * are among them.
 *
 * Threads: one at a time. Memory: SAMPLE_LEN and one value.
 * Errors: -ENOMEM.
 */
#ifndef FKV_BUILDER_VALUE_SAMPLE_H
#define FKV_BUILDER_VALUE_SAMPLE_H

#include "format/part.h"

enum {
    SAMPLE_LEN = 100 * (16 << 10), /* a hundred times a dictionary */
    SAMPLE_VALUE_MAX = 64 << 10,   /* of a longer value, its beginning */
    SAMPLE_ITEM_COST =
        64, /* a value counts as so much more, so that short ones are not countless */
};

struct sampled_value {
    uint64_t hash;
    uint64_t seq;
    uint32_t len;      /* of data */
    uint32_t full_len; /* of the value */
    uint8_t *data;
};

struct value_sample {
    struct sampled_value *values; /* a heap, the highest first, until value_sample_sort() */
    size_t n;
    size_t cap;
    uint64_t cost;
};

int value_sample_add(struct value_sample *sample, const struct part_entry *entry, uint64_t seq);
/* The same of a value sampled elsewhere; its data is copied. */
int value_sample_put(struct value_sample *sample, const struct sampled_value *value);
/* Moves what belongs there from `from`, which is left empty. */
int value_sample_merge(struct value_sample *sample, struct value_sample *from);
/* Puts values in order of (hash, seq); nothing is added any more. */
void value_sample_sort(struct value_sample *sample);
void value_sample_release(struct value_sample *sample);

#endif
