/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "query/disk_batch.h"

#include <errno.h>

enum { FIRST_CAP = 64 << 10 }; /* room for most values: what needs more is read again */

/* The value alone, from the body of a batch of one key. */
static int keep_value(const struct schema *schema, enum batch_form form,
                      const struct batch_result *result, struct buf *body)
{
    size_t len = form == BATCH_AS_F32 ? sizeof(float) * (size_t)schema->dim : schema->value_len;
    if (body->data[0] != BATCH_FOUND)
        return body->data[0] == BATCH_ABSENT ? -ENOENT : -EIO;
    if (result->locs_off)
        len = load_le32(body->data + result->locs_off + 4);
    memmove(body->data, body->data + result->values_off, len);
    body->len = len;
    return 0;
}

/* The key as a batch has it. */
static int add_key(const struct schema *schema, const void *key, size_t key_len, struct buf *keys)
{
    le32 end;
    if (schema->key_type == KEY_U64)
        return key_len == sizeof(uint64_t) ? buf_add(keys, key, key_len) : -EINVAL;
    if (key_len == 0 || key_len > KEY_BYTES_MAX)
        return -ENOENT;
    store_le32(&end, (uint32_t)key_len);
    int ret = buf_add(keys, &end, sizeof end);
    return ret ? ret : buf_add(keys, key, key_len);
}

int disk_single_find(const struct disk_table *table, struct disk_worker *worker, const void *key,
                     size_t key_len, struct buf *value)
{
    const struct schema *schema = &table->schema;
    enum batch_form form = schema->elem == ELEM_NONE ? BATCH_AS_STORED : BATCH_AS_F32;
    struct buf keys = {0};
    struct batch_result result = {.len = FIRST_CAP};
    int ret = add_key(schema, key, key_len, &keys);
    const struct batch_request request = {
        .n_keys = 1, .keys = keys.data, .keys_len = keys.len, .form = form};
    buf_clear(value);
    if (!ret) {
        do {
            size_t cap = result.len;
            ret = buf_reserve(value, cap);
            if (!ret)
                ret = disk_batch_run(table, worker, &request, value->data, cap, &result);
        } while (ret == -ENOSPC);
    }
    if (!ret)
        ret = keep_value(schema, form, &result, value);
    buf_release(&keys);
    return ret;
}
