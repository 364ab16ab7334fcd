/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_order: the entries of a `mem` part in order of hash (of equal hashes, possible for bytes keys only, in order of key): the
 * order that a part_writer takes them in, where part_next() gives them as their slots lie.
 *
 * Partitions are ranges of hashes, in order; within one, slots are as good as shuffled. So the hashes of one slice, a partition or
 * an equal share of its hashes, are collected and sorted at a time: memory is bounded by the slice, at the price of one pass
 * over the partition's slots a slice. Nothing is believed of a part beyond what part_open() checked: sorting takes no longer
 * for forged hashes.
 *
 * Threads: one at a time. Memory: 16 bytes an entry of the longest slice. Internal to format.
 * Errors: -EBADMSG for a record outside the part or of a wrong length, -ENOMEM.
 */
#ifndef FKV_FORMAT_PART_ORDER_H
#define FKV_FORMAT_PART_ORDER_H

#include "format/part.h"

#include <stddef.h>

struct part_order_key {
    uint64_t hash;
    uint32_t slot;
};

struct part_order {
    const struct part *part;
    size_t slice_len; /* entries, about */
    uint32_t partition;
    uint32_t slice;    /* of the partition, the one that is sorted next */
    uint32_t n_slices; /* 0: the partition has not been begun */
    struct part_order_key *keys;
    size_t n;
    size_t cap;
    size_t i;
    uint64_t collision; /* the next one */
};

/* slice_len: about how many entries may be sorted at a time, at least PART_ORDER_SLICE_MIN. */
enum { PART_ORDER_SLICE_MIN = 1024 };
void part_order_init(struct part_order *order, const struct part *part, size_t slice_len);
void part_order_release(struct part_order *order);

/* 1 with an entry, whose pointers live as long as the part's memory; 0 at the end. */
int part_order_next(struct part_order *order, struct part_entry *entry);

#endif
