/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/ordered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ordered_range_end_prefix(struct ordered_range *range)
{
    buf_clear(&range->to);
    int rc = buf_add(&range->to, range->from.data, range->from.len);
    if (rc)
        return rc;
    while (range->to.len && range->to.data[range->to.len - 1] == 0xff)
        range->to.len--;
    if (range->to.len)
        range->to.data[range->to.len - 1]++;
    return 0;
}

void ordered_range_release(struct ordered_range *range)
{
    buf_release(&range->from);
    buf_release(&range->to);
}

static int compare_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len ? memcmp(a, b, len) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* A u64 key has no key_bytes. */
static int compare(const void *a, const void *b)
{
    const struct part_entry *x = a, *y = b;
    if (!x->key_bytes)
        return (x->key > y->key) - (x->key < y->key);
    return compare_bytes(x->key_bytes, x->key_len, y->key_bytes, y->key_len);
}

static bool in_range(const struct ordered_range *range, const struct part_entry *entry,
                     enum key_type type)
{
    if (type == KEY_U64)
        return entry->key >= range->from_u64 && (!range->to_u64 || entry->key < range->to_u64);
    return compare_bytes(entry->key_bytes, entry->key_len, range->from.data, range->from.len) >=
               0 &&
           (!range->to.len ||
            compare_bytes(entry->key_bytes, entry->key_len, range->to.data, range->to.len) < 0);
}

static void drop_keys(struct ordered *ordered, size_t from)
{
    for (size_t i = from; i < ordered->n; i++)
        free((void *)(uintptr_t)ordered->keys[i].key_bytes);
    ordered->n = from < ordered->n ? from : ordered->n;
}

static void sort(struct ordered *ordered)
{
    if (ordered->n)
        qsort(ordered->keys, ordered->n, sizeof *ordered->keys, compare);
    if (ordered->range->limit)
        drop_keys(ordered, ordered->range->limit);
}

/* Room for one more: of a limited range, twice the limit is enough, for the rest can be sorted out. */
static int make_room(struct ordered *ordered)
{
    enum { FEWEST = 1024 };
    uint64_t limit = ordered->range->limit;
    if (ordered->n < ordered->cap)
        return 0;
    if (limit && ordered->cap >= FEWEST && ordered->cap / 2 >= limit) {
        sort(ordered);
        return 0;
    }
    size_t cap = ordered->cap ? 2 * ordered->cap : FEWEST;
    struct part_entry *keys = reallocarray(ordered->keys, cap, sizeof *keys);
    if (!keys)
        return -ENOMEM;
    ordered->keys = keys;
    ordered->cap = cap;
    return 0;
}

static int add(struct ordered *ordered, const struct part_entry *entry, enum key_type type)
{
    struct part_entry key = {.hash = entry->hash, .key = entry->key};
    int rc = make_room(ordered);
    if (rc)
        return rc;
    if (type == KEY_BYTES) {
        uint8_t *copy = malloc((size_t)entry->key_len + 1);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, entry->key_bytes, entry->key_len);
        key.key_bytes = copy;
        key.key_len = entry->key_len;
    }
    ordered->keys[ordered->n++] = key;
    return 0;
}

int ordered_init(struct ordered *ordered, const struct version_reader *reader,
                 const struct ordered_range *range, struct err *err)
{
    const struct version_desc *desc = version_reader_desc(reader);
    enum key_type type = desc->schema.key_type;
    struct version_cursor cursor = {0};
    struct part_entry entry;
    int rc;
    *ordered = (struct ordered){.reader = reader, .range = range};
    while ((rc = version_reader_next(reader, &cursor, &entry)) > 0) {
        rc = in_range(range, &entry, type) ? add(ordered, &entry, type) : 0;
        if (rc)
            break;
    }
    if (rc)
        rc = err_sys(err, rc, "reading keys: shard %u, level %u", cursor.shard, cursor.level);
    version_cursor_release(&cursor);
    if (!rc)
        sort(ordered);
    return rc;
}

int ordered_next(struct ordered *ordered, struct part_entry *entry)
{
    if (ordered->i == ordered->n)
        return 0;
    const struct part_entry *key = &ordered->keys[ordered->i];
    struct part_entry found;
    int rc = version_reader_find(ordered->reader, key, &ordered->room, &found);
    if (rc != 1)
        return rc < 0 ? rc : -EBADMSG; /* the walk has met it */
    ordered->i++;
    found.key = key->key;
    found.key_bytes = key->key_bytes;
    found.key_len = key->key_len;
    *entry = found;
    return 1;
}

void ordered_release(struct ordered *ordered)
{
    drop_keys(ordered, 0);
    free(ordered->keys);
    value_room_release(&ordered->room);
    *ordered = (struct ordered){0};
}
