/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PASSED_MAX = 4096 }; /* deleted keys passed over at once */

static int bytes_order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Whether part a's key comes first; of equal keys, that of the newer level. */
static bool is_before(const struct disk_merge *merge, uint32_t a, uint32_t b)
{
    const struct idx_cursor *x = &merge->cursors[a];
    const struct idx_cursor *y = &merge->cursors[b];
    int order = (x->key > y->key) - (x->key < y->key);
    if (merge->table->schema.key_type == KEY_BYTES)
        order = bytes_order(x->key_bytes, x->key_len, y->key_bytes, y->key_len);
    return order < 0 || (order == 0 && a > b);
}

static void sift_down(struct disk_merge *merge, uint32_t i)
{
    uint32_t part = merge->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= merge->n_heap)
            break;
        if (child + 1 < merge->n_heap &&
            is_before(merge, merge->heap[child + 1], merge->heap[child]))
            child++;
        if (!is_before(merge, merge->heap[child], part))
            break;
        merge->heap[i] = merge->heap[child];
        i = child;
    }
    merge->heap[i] = part;
}

/* Moves the first part's cursor on. */
static int advance(struct disk_merge *merge)
{
    uint32_t part = merge->heap[0];
    int ret = idx_next(&merge->cursors[part]);
    if (ret < 0) {
        merge->part = part;
        return ret;
    }
    if (ret == 0)
        merge->heap[0] = merge->heap[--merge->n_heap];
    if (merge->n_heap)
        sift_down(merge, 0);
    return 0;
}

static int seek(struct disk_merge *merge, uint32_t part, const struct disk_bound *from)
{
    const struct idx *idx = merge->table->idxs[part];
    struct idx_cursor *cursor = &merge->cursors[part];
    int ret = merge->table->schema.key_type == KEY_U64
                  ? idx_seek_u64(idx, from->key, cursor)
                  : idx_seek_bytes(idx, from->bytes, from->len, cursor);
    return ret ? ret : idx_next(cursor);
}

int disk_merge_new(const struct disk_table *table, const struct disk_bound *from,
                   struct disk_merge **out, uint32_t *bad_part)
{
    uint32_t n = table->n_levels * table->schema.n_shards;
    struct disk_merge *merge = calloc(1, sizeof *merge);
    int ret = 0;
    if (!merge)
        return -ENOMEM;
    merge->table = table;
    merge->cursors = calloc(n, sizeof *merge->cursors);
    merge->heap = calloc(n, sizeof *merge->heap);
    if (!merge->cursors || !merge->heap)
        ret = -ENOMEM;
    for (uint32_t part = 0; part < n && ret >= 0; part++) {
        ret = seek(merge, part, from);
        if (ret < 0)
            *bad_part = part;
        else if (ret)
            merge->heap[merge->n_heap++] = part;
    }
    if (ret < 0) {
        disk_merge_free(merge);
        return ret;
    }
    for (uint32_t i = merge->n_heap / 2; i-- > 0;)
        sift_down(merge, i);
    *out = merge;
    return 0;
}

void disk_merge_free(struct disk_merge *merge)
{
    if (!merge)
        return;
    free(merge->cursors);
    free(merge->heap);
    free(merge);
}

static void take_key(struct disk_merge *merge)
{
    const struct idx_cursor *cursor = &merge->cursors[merge->heap[0]];
    merge->part = merge->heap[0];
    merge->rank = cursor->rank;
    merge->key = cursor->key;
    merge->key_len = cursor->key_len;
    if (cursor->key_len)
        memcpy(merge->key_bytes, cursor->key_bytes, cursor->key_len);
}

static bool is_taken_key(const struct disk_merge *merge)
{
    const struct idx_cursor *cursor = &merge->cursors[merge->heap[0]];
    return cursor->key == merge->key && cursor->key_len == merge->key_len &&
           (merge->key_len == 0 ||
            memcmp(cursor->key_bytes, merge->key_bytes, merge->key_len) == 0);
}

int disk_merge_next(struct disk_merge *merge)
{
    for (uint32_t n_passed = 0; merge->n_heap; n_passed++) {
        if (n_passed == PASSED_MAX)
            return -EAGAIN;
        take_key(merge);
        uint32_t part = merge->part;
        int ret = advance(merge);
        while (!ret && merge->n_heap && is_taken_key(merge))
            ret = advance(merge);
        if (ret)
            return ret;
        if (!idx_is_tombstone(merge->table->idxs[part], merge->rank))
            return 1;
    }
    return 0;
}
