/* SPDX-License-Identifier: Apache-2.0 */
#include "query/lanes.h"

#include <errno.h>

int key_cursor_init(struct key_cursor *cursor, const struct batch_request *request)
{
    uint64_t ends_len = 4 * (uint64_t)request->n_keys;
    *cursor = (struct key_cursor){0};
    if (request->keys_len < ends_len)
        return -EPROTO;
    if (request->keys_len == 0)
        return 0; /* keys may be NULL */
    *cursor = (struct key_cursor){
        .ends = request->keys,
        .bytes = request->keys + ends_len,
        .bytes_len = request->keys_len - ends_len,
    };
    return 0;
}

/* The compiler may not read the memory again instead of keeping the value. */
static inline uint32_t read_once_le32(const uint8_t *p)
{
    uint32_t v = load_le32(p);
    __asm__ volatile("" : "+r"(v));
    return v;
}

int lanes_read_bytes(struct lanes *lanes, struct lane_keys *keys, struct key_cursor *cursor,
                     uint64_t seed)
{
    const uint8_t *bytes = cursor->bytes + cursor->start;
    uint32_t start = cursor->start;
    uint32_t n_copied = 0;
    bool has_long = false;
    for (uint32_t i = 0; i < lanes->n; i++) {
        uint32_t end = read_once_le32(cursor->ends + 4 * (size_t)i);
        if (end < start || end > cursor->bytes_len)
            return -EPROTO;
        keys->len[i] = end - start;
        has_long |= end - start > KEY_BYTES_MAX;
        start = end;
    }
    /* Keys follow each other, so one copy takes them all, unless a long one is to be left out. */
    if (!has_long)
        memcpy(keys->bytes, bytes, start - cursor->start);
    for (uint32_t i = 0; i < lanes->n; i++) {
        uint32_t len = keys->len[i];
        if (has_long && len <= KEY_BYTES_MAX)
            memcpy(keys->bytes + n_copied, bytes, len);
        bytes += len;
        keys->len[i] = len <= KEY_BYTES_MAX ? len : 0;
        keys->off[i] = n_copied;
        lanes->hash[i] = hash_bytes(keys->bytes + n_copied, keys->len[i], seed);
        n_copied += keys->len[i];
    }
    cursor->ends += 4 * (size_t)lanes->n;
    cursor->start = start;
    return 0;
}
