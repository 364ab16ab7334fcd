/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification walks what is stored and asks the index for each entry. So it sees an entry that
 * cannot be found, and one that is found in another place; that the index leads to nothing else
 * follows from the counts.
 */
#include "format/any_part_view.h"

#include "base/hash.h"
#include "format/mph.h"

#include <errno.h>
#include <string.h>

/* What a walk has counted, against what the footer says. */
struct tally {
    uint64_t n_keys;
    uint64_t n_tombstones;
    uint64_t n_blocks;
    uint64_t records_len;
};

static void tally_entry(struct tally *tally, bool is_tombstone)
{
    tally->n_keys += !is_tombstone;
    tally->n_tombstones += is_tombstone;
}

static int tally_check(const struct any_part *part, const struct tally *tally, struct err *err)
{
    const struct part_info *info = any_part_info(part);
    const struct paged_info *paged = any_part_paged(part);
    if (tally->n_keys != info->n_keys || tally->n_tombstones != info->n_tombstones)
        return err_set(err, -EBADMSG, "expected %llu keys and %llu tombstones, found %llu and %llu",
                       (unsigned long long)info->n_keys, (unsigned long long)info->n_tombstones,
                       (unsigned long long)tally->n_keys, (unsigned long long)tally->n_tombstones);
    if (paged && (tally->n_blocks != paged->n_blocks || tally->records_len != paged->records_len))
        return err_set(err, -EBADMSG,
                       "expected %llu blocks with records of %llu bytes, found %llu and %llu",
                       (unsigned long long)paged->n_blocks, (unsigned long long)paged->records_len,
                       (unsigned long long)tally->n_blocks, (unsigned long long)tally->records_len);
    return 0;
}

/* ---- mem ---- */

static int mem_check(const struct any_part *part, struct tally *tally, struct err *err)
{
    struct part_entry entry;
    struct part_entry found;
    uint64_t cursor = 0;
    uint64_t n = 0;
    int got;
    while ((got = part_next(part->mem, &cursor, &entry)) > 0) {
        /* The same bytes, not just equal ones: a key has one place. */
        if (part_find(part->mem, &entry, &found) != 1 || found.tombstone != entry.tombstone ||
            found.value != entry.value || found.value_len != entry.value_len)
            return err_set(err, -EBADMSG, "entry %llu (hash %016llx) is not found by a lookup",
                           (unsigned long long)n, (unsigned long long)entry.hash);
        tally_entry(tally, entry.tombstone);
        n++;
    }
    return got ? err_set(err, got, "entry %llu is corrupt", (unsigned long long)n) : 0;
}

/* ---- blk, idx ---- */

static void tally_block(struct tally *tally, const struct block *block)
{
    tally->n_blocks++;
    for (uint32_t i = 0; i < block->n; i++) {
        const uint8_t *record = NULL;
        uint32_t len = 0;
        if (block_record(block, i, &record, &len) == 0)
            tally->records_len += len;
    }
}

static int blk_check_all(const struct any_part *part, struct tally *tally, struct err *err)
{
    struct block_place place = blk_block_at(part->blk, 0);
    uint64_t last = 0;
    for (; place.n_pages; place = blk_block_at(part->blk, place.page + place.n_pages)) {
        struct block block;
        int ret = any_block_open(part, place, &block, err);
        if (ret || (ret = blk_check(part->blk, place, &block, err)))
            return ret;
        if (tally->n_blocks && block_hash(&block, 0) <= last)
            return err_set(err, -EBADMSG, "block at page %u: its hashes are not above those before",
                           place.page);
        last = block_hash(&block, block.n - 1);
        tally_block(tally, &block);
        for (uint32_t i = 0; i < block.n; i++)
            tally_entry(tally, block_is_tombstone(&block, i));
    }
    return 0;
}

/* A walk over the keys of an `idx` part, and the block that the last one was in. */
struct walk {
    struct idx_cursor cursor;
    struct block_place place;
    struct block block;
    uint32_t i; /* the entry that follows in it */
    uint64_t key;
    uint8_t key_bytes[KEY_BYTES_MAX];
    uint8_t key_len;
    bool has_prev; /* the last key is in the members above */
};

static int no_rank(const struct walk *walk, const char *what, struct err *err)
{
    return err_set(err, -EBADMSG, "key %llu: %s", (unsigned long long)walk->cursor.rank, what);
}

/* Keys ascend, belong to the shard, and lead to their rank. */
static int key_check(const struct any_part *part, struct walk *walk, struct err *err)
{
    const struct part_info *info = any_part_info(part);
    const struct idx_cursor *cursor = &walk->cursor;
    const struct idx *parts[1] = {part->idx};
    uint64_t rank = IDX_NONE;
    uint64_t admitted = 0;
    uint64_t hash = 0;
    bool ascends = true;
    int ret = 0;
    if (info->key_type == KEY_U64) {
        ascends = !walk->has_prev || cursor->key > walk->key;
        walk->key = cursor->key;
        hash = hash_u64(cursor->key, info->hash_seed);
        idx_find_u64(part->idx, &cursor->key, 1, &rank);
    } else {
        struct part_entry prev = {.key_bytes = walk->key_bytes, .key_len = walk->key_len};
        struct part_entry key = {.key_bytes = cursor->key_bytes, .key_len = cursor->key_len};
        ascends = !walk->has_prev || paged_key_order(&prev, &key) < 0;
        memcpy(walk->key_bytes, key.key_bytes, key.key_len);
        walk->key_len = key.key_len;
        hash = hash_bytes(key.key_bytes, key.key_len, info->hash_seed);
        ret = idx_find_bytes(part->idx, key.key_bytes, key.key_len, &rank);
    }
    walk->has_prev = true;
    if (!ascends)
        return no_rank(walk, "it is not above the one before", err);
    if (ret || rank != cursor->rank)
        return no_rank(walk, "it is not found by a lookup", err);
    if (mph_partition(hash, info->n_shards) != info->shard)
        return no_rank(walk, "it belongs to another shard", err);
    idx_filter(parts, 1, &hash, 1, &admitted);
    if (admitted == IDX_NONE)
        return no_rank(walk, "the filter denies it", err);
    return 0;
}

/* Entries follow one another, and so do blocks. */
static int place_check(const struct any_part *part, struct walk *walk, struct tally *tally,
                       struct err *err)
{
    struct idx_place place = {0};
    struct probe_value value = {0};
    if (idx_place(part->idx, walk->cursor.rank, &place))
        return no_rank(walk, "the starts of blocks do not hold together", err);
    if (tally->n_blocks == 0 || walk->i == walk->block.n) {
        struct block_place next = {walk->place.page + walk->place.n_pages, place.block.n_pages};
        if (place.block.page != next.page)
            return no_rank(walk, "its block does not follow the one before", err);
        int ret = any_block_open(part, next, &walk->block, err);
        if (ret)
            return ret;
        walk->place = next;
        walk->i = 0;
        tally_block(tally, &walk->block);
    }
    if (place.block.page != walk->place.page || place.block.n_pages != walk->place.n_pages ||
        place.entry != walk->i)
        return no_rank(walk, "the index leads to another entry", err);
    walk->i++;
    bool is_tombstone = idx_is_tombstone(part->idx, walk->cursor.rank);
    if (!is_tombstone && block_value(&walk->block, place.entry, &value))
        return no_rank(walk, "its record lies outside its block, or is of a wrong length", err);
    tally_entry(tally, is_tombstone);
    return 0;
}

static int idx_check_all(const struct any_part *part, struct tally *tally, struct err *err)
{
    struct walk walk = {0};
    int ret = any_part_info(part)->key_type == KEY_U64
                  ? idx_seek_u64(part->idx, 0, &walk.cursor)
                  : idx_seek_bytes(part->idx, NULL, 0, &walk.cursor);
    if (ret)
        return err_set(err, ret, "the first key cannot be found");
    while ((ret = idx_next(&walk.cursor)) > 0)
        if ((ret = key_check(part, &walk, err)) || (ret = place_check(part, &walk, tally, err)))
            return ret;
    if (ret)
        return no_rank(&walk, "it cannot be decoded", err);
    if (walk.place.page + walk.place.n_pages != idx_info(part->idx)->n_pages ||
        walk.i != walk.block.n)
        return err_set(err, -EBADMSG, "block at page %u: not all is some key's behind it",
                       walk.place.page);
    return 0;
}

int any_part_check(const struct any_part *part, struct err *err)
{
    struct tally tally = {0};
    int ret = part->mem   ? mem_check(part, &tally, err)
              : part->blk ? blk_check_all(part, &tally, err)
                          : idx_check_all(part, &tally, err);
    return ret ? ret : tally_check(part, &tally, err);
}
