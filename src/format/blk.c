/* SPDX-License-Identifier: Apache-2.0 */
#include "format/blk.h"

#include "base/hash.h"
#include "format/blk_index.h"
#include "format/paged_view.h"

#include <errno.h>
#include <stdlib.h>

enum { GROUP = 32, COUNTED = 64 };

struct blk {
    struct paged_info info;
    uint32_t n_total;      /* buckets of all shards, were all as this */
    uint32_t first_bucket; /* of them, this shard's first */
    uint32_t n_buckets;
    uint32_t n_pages;
    const uint8_t *buckets; /* le32, one more than there are; they ascend, up to n_pages */
    const uint8_t *fences;  /* le16 a page */
    struct filter filter;
    struct paged_bytes dictionary;
    uint64_t filter_len;
};

/* ---- open ---- */

static int buckets_check(const struct blk *blk, const char *name, struct err *err)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i <= blk->n_buckets; i++) {
        uint32_t page = load_le32(blk->buckets + 4 * (size_t)i);
        if (page < before || page > blk->n_pages)
            return err_set(err, -EBADMSG, "%s: bucket %u: page %u after page %u of %u", name, i,
                           page, before, blk->n_pages);
        before = page;
    }
    if (before != blk->n_pages)
        return err_set(err, -EBADMSG, "%s: buckets: expected %u pages, found %u", name,
                       blk->n_pages, before);
    return 0;
}

static int index_decode(const struct paged_tail *tail, struct blk *blk, struct err *err)
{
    const struct part_info *part = &tail->info.part;
    uint32_t n_buckets = load_le32(&tail->footer->n_buckets);
    if (n_buckets == 0 || (uint64_t)n_buckets * part->n_shards > UINT32_MAX)
        return err_set(err, -EBADMSG, "%s: footer: %u buckets are out of range", tail->name,
                       n_buckets);
    blk->info = tail->info;
    blk->n_total = n_buckets * part->n_shards;
    blk->first_bucket = n_buckets * part->shard;
    blk->n_buckets = n_buckets;
    blk->n_pages = (uint32_t)tail->info.n_pages;
    int ret = paged_section_of(tail, BLK_BUCKETS, "buckets", 4 * ((uint64_t)n_buckets + 1),
                               &blk->buckets, err);
    if (ret ||
        (ret = paged_section_of(tail, BLK_FENCES, "fences", 2 * tail->info.n_pages, &blk->fences,
                                err)) ||
        (ret = paged_section(tail, PAGED_DICTIONARY, "dictionary", &blk->dictionary, err)) ||
        (ret = buckets_check(blk, tail->name, err)))
        return ret;
    return paged_filter_open(tail, &blk->filter, &blk->filter_len, err);
}

int blk_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
             struct blk **out, struct err *err)
{
    struct paged_tail tail = {0};
    int ret = paged_tail_open(memory, tail_len, part_len, name, PAGED_BLK, &tail, err);
    if (ret)
        return ret;
    struct blk *blk = calloc(1, sizeof *blk);
    if (!blk)
        return err_sys(err, -ENOMEM, "%s", name);
    ret = index_decode(&tail, blk, err);
    if (ret)
        blk_free(blk);
    else
        *out = blk;
    return ret;
}

void blk_free(struct blk *blk)
{
    if (!blk)
        return;
    filter_release(&blk->filter);
    free(blk);
}

const struct paged_info *blk_info(const struct blk *blk)
{
    return &blk->info;
}

struct paged_bytes blk_dictionary(const struct blk *blk)
{
    return blk->dictionary;
}

uint64_t blk_index_len(const struct blk *blk)
{
    return 4 * ((uint64_t)blk->n_buckets + 1) + 2 * (uint64_t)blk->n_pages;
}

uint64_t blk_filter_len(const struct blk *blk)
{
    return blk->filter_len;
}

/* ---- lookups ---- */

static inline uint16_t fence_at(const struct blk *blk, uint32_t page)
{
    return load_le16(blk->fences + 2 * (size_t)page);
}

static inline bool is_continued(const struct blk *blk, uint32_t page)
{
    return page < blk->n_pages && (fence_at(blk, page) & 1);
}

/* The block that `page` is one of. */
static struct block_place block_around(const struct blk *blk, uint32_t page)
{
    uint32_t end = page + 1;
    while (page > 0 && end - page < BLOCK_PAGES_MAX && is_continued(blk, page))
        page--;
    while (end - page < BLOCK_PAGES_MAX && is_continued(blk, end))
        end++;
    return (struct block_place){page, end - page};
}

/* A lookup under way. */
struct lane {
    const struct blk *blk;
    struct blk_step step; /* its bucket within the shard; n_buckets: not of this shard */
    uint32_t low;         /* pages of the bucket's blocks */
    uint32_t high;
    struct filter_probe probe;
};

/* Pass 1: the part, the bucket, the filter's bytes. */
static inline void lane_aim(struct lane *lane, const struct blk *blk, uint64_t hash)
{
    lane->blk = blk;
    lane->step = blk_step_of(hash, blk->n_total);
    lane->step.bucket -= blk->first_bucket;
    if (lane->step.bucket >= blk->n_buckets)
        lane->step = (struct blk_step){blk->n_buckets - 1, (1 << BLK_FENCE_BITS) - 1};
    __builtin_prefetch(blk->buckets + 4 * (size_t)lane->step.bucket);
    if (blk->filter.places)
        lane->probe = filter_aim(&blk->filter, hash);
}

/* Pass 2: what the filter says, and the bucket's fences. False: the key is not there. */
static inline bool lane_narrow(struct lane *lane)
{
    const struct blk *blk = lane->blk;
    if (blk->filter.places && !filter_may_have(&lane->probe))
        return false;
    const uint8_t *bucket = blk->buckets + 4 * (size_t)lane->step.bucket;
    lane->low = load_le32(bucket);
    lane->high = load_le32(bucket + 4);
    __builtin_prefetch(blk->fences + 2 * (size_t)lane->low);
    __builtin_prefetch(blk->fences + 2 * (size_t)lane->high);
    return true;
}

/* Pass 3: counts the fences that are not above. They ascend within a bucket, so a long one (a
 * bucket of many pages) is halved first. */
static inline struct block_place lane_find(const struct lane *lane)
{
    const struct blk *blk = lane->blk;
    uint16_t most = (uint16_t)(lane->step.fence << 1 | 1);
    uint32_t low = lane->low;
    uint32_t high = lane->high;
    while (high - low > COUNTED) {
        uint32_t mid = low + (high - low) / 2;
        if (fence_at(blk, mid) <= most)
            low = mid;
        else
            high = mid;
    }
    uint16_t n = 0; /* as narrow as a fence, so that compilers compare eight at once */
    for (uint32_t page = low; page < high; page++)
        n = (uint16_t)(n + (fence_at(blk, page) <= most));
    uint32_t end = low + n;
    if (end == 0)
        return (struct block_place){0};
    if (blk->info.pages_max == 1)
        return (struct block_place){end - 1, 1};
    return block_around(blk, end - 1);
}

void blk_locate(const struct blk *const *parts, uint32_t n_shards, const uint64_t *hashes,
                uint32_t n, struct block_place *places)
{
    struct lane lanes[GROUP];
    bool is_there[GROUP];
    for (uint32_t first = 0; first < n; first += GROUP) {
        uint32_t n_group = n - first < GROUP ? n - first : GROUP;
        for (uint32_t i = 0; i < n_group; i++) {
            uint64_t hash = hashes[first + i];
            lane_aim(&lanes[i], parts[mph_partition(hash, n_shards)], hash);
        }
        for (uint32_t i = 0; i < n_group; i++)
            is_there[i] = lane_narrow(&lanes[i]);
        for (uint32_t i = 0; i < n_group; i++)
            places[first + i] = is_there[i] ? lane_find(&lanes[i]) : (struct block_place){0};
    }
}

/* ---- walking ---- */

struct block_place blk_block_at(const struct blk *blk, uint32_t page)
{
    uint32_t end = page + 1;
    if (page >= blk->n_pages)
        return (struct block_place){0};
    while (end - page < BLOCK_PAGES_MAX && is_continued(blk, end))
        end++;
    return (struct block_place){page, end - page};
}

int blk_entry(const struct blk *blk, const struct block *block, uint32_t i,
              struct part_entry *entry)
{
    const struct part_info *part = &blk->info.part;
    struct probe_value value = {0};
    struct part_entry made = {.hash = block_hash(block, i),
                              .tombstone = block_is_tombstone(block, i)};
    if (block_value(block, i, &value))
        return -EBADMSG;
    if (part->key_type == KEY_U64) {
        made.key = hash_u64_inverse(made.hash, part->hash_seed);
    } else {
        /* block_value() has checked that the record begins with a whole key. */
        uint32_t len = 0;
        block_record(block, i, &made.key_bytes, &len);
        made.key_len = *made.key_bytes++;
    }
    if (!made.tombstone) {
        made.value = value.data;
        made.value_len = value.len;
    }
    *entry = made;
    return 0;
}

int blk_check(const struct blk *blk, struct block_place place, const struct block *block,
              struct err *err)
{
    struct part_entry before = {0};
    for (uint32_t i = 0; i < block->n; i++) {
        struct part_entry entry = {0};
        struct lane lane = {0};
        if (blk_entry(blk, block, i, &entry))
            return err_set(err, -EBADMSG, "block at page %u: entry %u lies outside", place.page, i);
        bool ascends =
            i == 0 || entry.hash > before.hash ||
            (entry.hash == before.hash && entry.key_bytes && paged_key_order(&before, &entry) < 0);
        lane_aim(&lane, blk, entry.hash);
        struct block_place found = lane_narrow(&lane) ? lane_find(&lane) : (struct block_place){0};
        if (!ascends || found.page != place.page || found.n_pages != place.n_pages)
            return err_set(err, -EBADMSG,
                           "block at page %u: entry %u cannot be found: out of order, or the index "
                           "leads to page %u",
                           place.page, i, found.page);
        before = entry;
    }
    return 0;
}
