/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_view: what part_open() made of a part. Internal to format.
 *
 * Threads: immutable. Memory: arrays are owned by the view, their pointers lead into the part's
 * memory.
 */
#ifndef FKV_FORMAT_PART_VIEW_H
#define FKV_FORMAT_PART_VIEW_H

#include "format/part.h"
#include "format/probe.h"

struct part {
    struct part_info info;
    enum part_layout layout;
    uint32_t stride;
    struct place *places;    /* info.n_partitions */
    struct place_more *more; /* as many */
    const struct part_collision *collisions;
    uint64_t n_collisions;
};

/* Checks the footer of a `mem` part and what it says of the whole. */
int part_footer_decode(const struct part_footer *footer, const char *name, struct part_info *out,
                       struct err *err);

/* The entry of a slot that a key owns, and of a collision. 1, or -EBADMSG. */
int part_slot_entry(const struct part *part, uint32_t partition, uint32_t slot,
                    struct part_entry *entry);
int part_collision_entry(const struct part *part, uint64_t i, struct part_entry *entry);

#endif
