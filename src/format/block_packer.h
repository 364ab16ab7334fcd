/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_packer: gathers entries and writes them as blocks.
 *
 * The packer decides nothing: its owner says how many of the entries that wait make the next
 * block. Internal to the writers of format.
 *
 * Threads: one at a time. Memory: the entries that wait, twice while they are written.
 * Errors: -ENOMEM, -E2BIG for a block of more than BLOCK_PAGES_MAX pages, what the sink returns.
 */
#ifndef FKV_FORMAT_BLOCK_PACKER_H
#define FKV_FORMAT_BLOCK_PACKER_H

#include "format/block_layout.h"
#include "format/part_out.h"

struct block_packer {
    struct block_shape shape;
    uint64_t salt_seed;   /* set by the owner: what the salt begins with */
    uint64_t salt;        /* known once there is a block: made of the first one's content */
    uint64_t n_pages;     /* written */
    uint32_t n_pages_max; /* of the longest block written */
    uint64_t n_blocks;    /* written */
    uint64_t records_len; /* of their records */
    uint32_t n;           /* entries that wait */
    struct buf hashes;    /* le64 each */
    struct buf ends;      /* uint64_t each: where the record ends in records */
    struct buf tombs;     /* a byte each */
    struct buf records;
    struct buf image;
};

void block_packer_release(struct block_packer *packer);

/* A record of two pieces: the key (with its length) or nothing, and the value. */
int block_packer_add(struct block_packer *packer, uint64_t hash, bool is_tombstone,
                     const void *head, size_t head_len, const void *value, size_t value_len);

/* The hash of entry i of those that wait. */
uint64_t block_packer_hash(const struct block_packer *packer, uint32_t i);

/* The pages of a block of the first n entries that wait. */
uint64_t block_packer_pages(const struct block_packer *packer, uint32_t n);

/* Writes the first n > 0 entries that wait as one block. */
int block_packer_write(struct block_packer *packer, uint32_t n, struct part_out *out,
                       uint32_t *n_pages, struct err *err);

/*
 * The pages that blocks of entries of entry_len bytes (record, hash and end) are packed into,
 * unless the builder asks for another number: as few as hold an entry; more, up to 4, where more
 * than a third of each block would be padding.
 */
uint32_t block_pages_for(uint64_t entry_len);

#endif
