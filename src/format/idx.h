/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idx: one shard of one level of an `idx` table: all its keys in order, in memory. docs/FORMAT.md
 * is normative.
 *
 * A key's rank is its number in the order of keys (u64 by value, bytes by memcmp(), a prefix
 * first). Keys give ranks, ranks give blocks: values lie in blocks in order of rank, so that
 * neighbours come with one read. An absent key costs no read, nor does a tombstone.
 *
 *   idx_find_u64(): keys -> ranks      idx_place(): rank -> pages      block_open(), block_value()
 *
 * u64 keys take about 2.3 bits more than the logarithm of their mean distance, bytes keys what
 * front coding leaves. idx_open() checks the numbers that lookups rely on, so a view is total.
 *
 * Threads: a view is immutable and may be shared; a cursor belongs to one thread. Memory: the view
 * points into the tail, which must outlive it. Errors: -EBADMSG with the part's name and what is
 * wrong, -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_IDX_H
#define FKV_FORMAT_IDX_H

#include "format/elias_fano.h"
#include "format/front_coded.h"
#include "format/paged.h"

struct idx;

/* As blk_open(). */
int idx_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
             struct idx **out, struct err *err);
void idx_free(struct idx *idx);

const struct paged_info *idx_info(const struct idx *idx);
struct paged_bytes idx_dictionary(const struct idx *idx);

/* Keys and tombstones: ranks are below. */
uint64_t idx_n(const struct idx *idx);

/* Bytes in memory: of the keys, and of what leads from ranks to blocks (tombstone bits too). */
uint64_t idx_keys_len(const struct idx *idx);
uint64_t idx_places_len(const struct idx *idx);
/* And of the filter; 0 without one. */
uint64_t idx_filter_len(const struct idx *idx);

#define IDX_NONE EF_NONE

/*
 * What the filters of a level's shards say of n placement hashes, which saves a search of most absent
 * keys: ranks[i] is IDX_NONE for a key that is not there, 0 for one to look for. A part without a
 * filter denies none.
 */
void idx_filter(const struct idx *const *parts, uint32_t n_shards, const uint64_t *hashes,
                uint32_t n, uint64_t *ranks);

/* The ranks of n u64 keys, IDX_NONE for an absent one. Misses of memory overlap, so give many. */
void idx_find_u64(const struct idx *idx, const uint64_t *keys, uint32_t n, uint64_t *ranks);

/* The rank of a bytes key, or IDX_NONE. */
int idx_find_bytes(const struct idx *idx, const void *key, size_t len, uint64_t *rank);

/* The same for many keys, of 1 to KEY_BYTES_MAX bytes each: rank is theirs when ret is 0 and
 * is_equal is true. */
void idx_search_bytes(const struct idx *idx, struct fc_search *searches, uint32_t n);

bool idx_is_tombstone(const struct idx *idx, uint64_t rank);

/* Where a value is: a block, and the entry there. */
struct idx_place {
    struct block_place block;
    uint32_t entry;
};

/* The place of rank < idx_n(). -EBADMSG when the starts of blocks do not hold together. */
int idx_place(const struct idx *idx, uint64_t rank, struct idx_place *place);

/* ---- in order ---- */

struct idx_cursor {
    const struct idx *idx;
    struct ef_cursor u64;
    struct fc_cursor bytes;
    /* The key that idx_next() came to. */
    uint64_t rank;
    uint64_t key;             /* KEY_U64 */
    const uint8_t *key_bytes; /* KEY_BYTES: within the cursor, until the next call */
    uint8_t key_len;
};

/* Before the first key that is not below; before the first of all with key_len 0. */
int idx_seek_u64(const struct idx *idx, uint64_t key, struct idx_cursor *cursor);
int idx_seek_bytes(const struct idx *idx, const void *key, size_t key_len,
                   struct idx_cursor *cursor);

/* 1 with the next key (perhaps a tombstone's), 0 at the end, -EBADMSG. */
int idx_next(struct idx_cursor *cursor);

/* Whether the cursor's bytes key begins so: keys with a prefix follow one another from
 * idx_seek_bytes(prefix) on. */
bool idx_has_prefix(const struct idx_cursor *cursor, const void *prefix, size_t len);

#endif
