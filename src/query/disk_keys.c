/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_keys.h"

#include <errno.h>

static void read_u64(struct disk_keys *keys, uint64_t seed, const uint8_t *from, uint32_t n)
{
    disk_fence();
    memcpy(keys->u64, from, n * sizeof(uint64_t));
    for (uint32_t i = 0; i < n; i++)
        keys->hash[i] = hash_u64(keys->u64[i], seed);
}

/* The bytes of lanes' keys, appended. */
static int keep_bytes(struct disk_keys *keys, uint32_t at, const struct lanes *lanes,
                      const struct lane_keys *group)
{
    uint32_t n_before = (uint32_t)keys->bytes.len;
    uint32_t last = lanes->n - 1;
    if (buf_add(&keys->bytes, group->bytes, group->off[last] + group->len[last]))
        return -ENOMEM;
    for (uint32_t i = 0; i < lanes->n; i++) {
        keys->hash[at + i] = lanes->hash[i];
        keys->len[at + i] = (uint8_t)group->len[i];
        keys->off[at + i] = n_before + group->off[i];
    }
    return 0;
}

static int read_bytes(struct disk_keys *keys, uint64_t seed, struct key_cursor *cursor, uint32_t n)
{
    struct lane_keys group;
    struct lanes lanes;
    int ret = 0;
    buf_clear(&keys->bytes);
    for (uint32_t i = 0; i < n && !ret; i += LANES_MAX) {
        lanes.n = n - i < LANES_MAX ? n - i : LANES_MAX;
        disk_fence();
        ret = lanes_read_bytes(&lanes, &group, cursor, seed);
        if (!ret)
            ret = keep_bytes(keys, i, &lanes, &group);
    }
    return ret;
}

int disk_keys_read(struct disk_keys *keys, const struct schema *schema,
                   const struct batch_request *request, struct key_cursor *cursor, uint32_t first,
                   uint32_t n)
{
    if (schema->key_type == KEY_BYTES)
        return read_bytes(keys, schema->hash_seed, cursor, n);
    read_u64(keys, schema->hash_seed, request->keys + 8 * (size_t)first, n);
    return 0;
}
