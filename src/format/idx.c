/* SPDX-License-Identifier: Apache-2.0 */
#include "format/idx.h"

#include "format/paged_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { GROUP = 32 };

struct idx {
    struct paged_info info;
    uint64_t n;
    struct elias_fano u64;    /* KEY_U64 */
    struct front_coded bytes; /* KEY_BYTES */
    uint32_t per_block;       /* entries of every block but the last; 0: see starts */
    uint32_t pages_each;      /* pages of every block but the last, when per_block is not 0 */
    struct elias_fano starts; /* the rank that the block of each page begins with */
    const uint8_t *tomb_bits; /* NULL in level 0 */
    struct filter filter;
    struct paged_bytes dictionary;
    uint64_t keys_len;
    uint64_t filter_len;
    uint64_t places_len;
};

/* ---- open ---- */

static int keys_decode(const struct paged_tail *tail, struct idx *idx, struct err *err)
{
    struct paged_bytes places = {0};
    struct paged_bytes bytes = {0};
    char name[512];
    int ret = paged_section(tail, IDX_KEYS_PLACES, "keys' places", &places, err);
    if (ret || (ret = paged_section(tail, IDX_KEYS, "keys", &bytes, err)))
        return ret;
    snprintf(name, sizeof name, "%.480s: keys", tail->name);
    idx->keys_len = places.len + bytes.len;
    if (idx->info.part.key_type == KEY_U64)
        return ef_open(idx->n, places.data, places.len, bytes.data, bytes.len, name, &idx->u64,
                       err);
    return fc_open(idx->n, places.data, places.len, bytes.data, bytes.len, name, &idx->bytes, err);
}

/* Values of one length: every block but the last holds as many as fit. */
static int fixed_decode(const struct paged_tail *tail, struct idx *idx, struct err *err)
{
    const struct paged_info *info = &idx->info;
    idx->per_block = block_fixed_entries(&info->shape, info->block_pages);
    idx->pages_each = (uint32_t)block_pages(&info->shape, idx->per_block,
                                            (uint64_t)idx->per_block * info->shape.record_len);
    uint64_t n_blocks = idx->n / idx->per_block;
    uint64_t n_rest = idx->n % idx->per_block;
    uint64_t n_pages = n_blocks * idx->pages_each;
    if (n_rest)
        n_pages += block_pages(&info->shape, n_rest, n_rest * info->shape.record_len);
    if (n_pages != info->n_pages)
        return err_set(err, -EBADMSG, "%s: footer: expected %llu pages, found %llu", tail->name,
                       (unsigned long long)n_pages, (unsigned long long)info->n_pages);
    return 0;
}

static int starts_decode(const struct paged_tail *tail, struct idx *idx, struct err *err)
{
    struct paged_bytes places = {0};
    struct paged_bytes bytes = {0};
    char name[512];
    int ret = paged_section(tail, IDX_STARTS_PLACES, "starts' places", &places, err);
    if (ret || (ret = paged_section(tail, IDX_STARTS, "starts", &bytes, err)))
        return ret;
    snprintf(name, sizeof name, "%.480s: starts", tail->name);
    idx->places_len = places.len + bytes.len;
    if (idx->info.shape.record_len)
        return fixed_decode(tail, idx, err);
    return ef_open(idx->info.n_pages, places.data, places.len, bytes.data, bytes.len, name,
                   &idx->starts, err);
}

static int index_decode(const struct paged_tail *tail, struct idx *idx, struct err *err)
{
    idx->info = tail->info;
    idx->n = tail->info.part.n_keys + tail->info.part.n_tombstones;
    uint64_t n_tomb_bytes = idx->info.part.level ? (idx->n + 7) / 8 : 0;
    const uint8_t *tomb_bits = NULL;
    int ret =
        paged_section_of(tail, IDX_TOMBSTONES, "tombstone bits", n_tomb_bytes, &tomb_bits, err);
    if (ret || (ret = paged_section(tail, PAGED_DICTIONARY, "dictionary", &idx->dictionary, err)) ||
        (ret = keys_decode(tail, idx, err)) || (ret = starts_decode(tail, idx, err)) ||
        (ret = paged_filter_open(tail, &idx->filter, &idx->filter_len, err)))
        return ret;
    idx->tomb_bits = idx->info.part.level ? tomb_bits : NULL;
    idx->places_len += n_tomb_bytes;
    return 0;
}

int idx_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
             struct idx **out, struct err *err)
{
    struct paged_tail tail = {0};
    int ret = paged_tail_open(memory, tail_len, part_len, name, PAGED_IDX, &tail, err);
    if (ret)
        return ret;
    struct idx *idx = calloc(1, sizeof *idx);
    if (!idx)
        return err_sys(err, -ENOMEM, "%s", name);
    ret = index_decode(&tail, idx, err);
    if (ret)
        idx_free(idx);
    else
        *out = idx;
    return ret;
}

void idx_free(struct idx *idx)
{
    if (!idx)
        return;
    filter_release(&idx->filter);
    free(idx);
}

const struct paged_info *idx_info(const struct idx *idx)
{
    return &idx->info;
}

struct paged_bytes idx_dictionary(const struct idx *idx)
{
    return idx->dictionary;
}

uint64_t idx_n(const struct idx *idx)
{
    return idx->n;
}

uint64_t idx_keys_len(const struct idx *idx)
{
    return idx->keys_len;
}

uint64_t idx_places_len(const struct idx *idx)
{
    return idx->places_len;
}

uint64_t idx_filter_len(const struct idx *idx)
{
    return idx->filter_len;
}

/* ---- lookups ---- */

void idx_filter(const struct idx *const *parts, uint32_t n_shards, const uint64_t *hashes,
                uint32_t n, uint64_t *ranks)
{
    struct filter_probe probes[GROUP];
    bool has_filter[GROUP];
    for (uint32_t first = 0; first < n; first += GROUP) {
        uint32_t n_group = n - first < GROUP ? n - first : GROUP;
        for (uint32_t i = 0; i < n_group; i++) {
            uint64_t hash = hashes[first + i];
            const struct filter *filter = &parts[mph_partition(hash, n_shards)]->filter;
            has_filter[i] = filter->places;
            if (has_filter[i])
                probes[i] = filter_aim(filter, hash);
        }
        for (uint32_t i = 0; i < n_group; i++)
            ranks[first + i] = has_filter[i] && !filter_may_have(&probes[i]) ? IDX_NONE : 0;
    }
}

void idx_find_u64(const struct idx *idx, const uint64_t *keys, uint32_t n, uint64_t *ranks)
{
    ef_find(&idx->u64, keys, n, ranks);
}

int idx_find_bytes(const struct idx *idx, const void *key, size_t len, uint64_t *rank)
{
    bool is_equal = false;
    uint64_t found = 0;
    if (len < 1 || len > KEY_BYTES_MAX) {
        *rank = IDX_NONE;
        return 0;
    }
    int ret = fc_lower_bound(&idx->bytes, key, len, &found, &is_equal);
    if (!ret)
        *rank = is_equal ? found : IDX_NONE;
    return ret;
}

void idx_search_bytes(const struct idx *idx, struct fc_search *searches, uint32_t n)
{
    fc_search(&idx->bytes, searches, n);
}

bool idx_is_tombstone(const struct idx *idx, uint64_t rank)
{
    return idx->tomb_bits && (idx->tomb_bits[rank / 8] >> (rank % 8) & 1);
}

static void fixed_place(const struct idx *idx, uint64_t rank, struct idx_place *place)
{
    uint64_t page = rank / idx->per_block * idx->pages_each;
    uint64_t left = idx->info.n_pages - page;
    *place = (struct idx_place){
        .block = {(uint32_t)page, left < idx->pages_each ? (uint32_t)left : idx->pages_each},
        .entry = (uint32_t)(rank % idx->per_block)};
}

int idx_place(const struct idx *idx, uint64_t rank, struct idx_place *place)
{
    if (rank >= idx->n)
        return -EBADMSG;
    if (idx->per_block) {
        fixed_place(idx, rank, place);
        return 0;
    }
    uint64_t start = 0;
    uint64_t end = ef_floor(&idx->starts, rank, &start);
    if (end == 0)
        return -EBADMSG;
    /* The pages of one block have the same start. */
    uint64_t begin = idx->info.pages_max == 1 ? end - 1 : ef_lower_bound(&idx->starts, start);
    if (begin >= end || end - begin > BLOCK_PAGES_MAX || rank - start > UINT32_MAX)
        return -EBADMSG;
    *place = (struct idx_place){.block = {(uint32_t)begin, (uint32_t)(end - begin)},
                                .entry = (uint32_t)(rank - start)};
    return 0;
}

/* ---- in order ---- */

int idx_seek_u64(const struct idx *idx, uint64_t key, struct idx_cursor *cursor)
{
    *cursor = (struct idx_cursor){.idx = idx};
    ef_seek(&idx->u64, ef_lower_bound(&idx->u64, key), &cursor->u64);
    return 0;
}

int idx_seek_bytes(const struct idx *idx, const void *key, size_t key_len,
                   struct idx_cursor *cursor)
{
    uint64_t rank = 0;
    bool is_equal = false;
    int ret = key_len ? fc_lower_bound(&idx->bytes, key, key_len, &rank, &is_equal) : 0;
    if (ret)
        return ret;
    *cursor = (struct idx_cursor){.idx = idx};
    return fc_seek(&idx->bytes, rank, &cursor->bytes);
}

int idx_next(struct idx_cursor *cursor)
{
    if (cursor->idx->info.part.key_type == KEY_U64) {
        cursor->rank = cursor->u64.next;
        return ef_next(&cursor->u64, &cursor->key);
    }
    cursor->rank = cursor->bytes.next;
    int ret = fc_next(&cursor->bytes);
    cursor->key_bytes = cursor->bytes.key;
    cursor->key_len = cursor->bytes.key_len;
    return ret;
}

bool idx_has_prefix(const struct idx_cursor *cursor, const void *prefix, size_t len)
{
    return cursor->key_len >= len && (len == 0 || memcmp(cursor->key_bytes, prefix, len) == 0);
}
