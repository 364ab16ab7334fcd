/* SPDX-License-Identifier: Apache-2.0 */
#include "query/single.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>

static int find_stored(const struct mem_table *table, const void *key, size_t key_len,
                       const uint8_t **stored, uint32_t *len)
{
    if (mem_table_schema(table)->key_type == KEY_BYTES)
        return mem_table_find_bytes(table, key, key_len, stored, len);
    if (key_len != sizeof(uint64_t))
        return -EINVAL;
    return mem_table_find_u64(table, load_le64(key), stored, len);
}

int single_find(const struct mem_table *table, const void *key, size_t key_len, struct single *out)
{
    const struct schema *schema = mem_table_schema(table);
    struct single found = {0};
    uint32_t stored_len = 0;
    int ret = find_stored(table, key, key_len, &found.stored, &stored_len);
    if (ret <= 0)
        return ret ? ret : -ENOENT;
    found.len = stored_len;
    if (schema->elem != ELEM_NONE && schema->elem != ELEM_F32) {
        found.dim = schema->dim;
        found.len = sizeof(float) * (size_t)schema->dim;
        found.decode = vector_decoder(schema->elem);
    }
    *out = found;
    return 0;
}

const uint8_t *single_bytes(const struct single *single, uint8_t **made)
{
    if (!single->decode)
        return single->stored;
    *made = malloc(single->len);
    if (*made)
        single->decode(single->stored, single->dim, *made);
    return *made;
}
