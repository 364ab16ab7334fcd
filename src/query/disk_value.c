/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_value.h"

#include <errno.h>

static bool may_have_len(const struct schema *schema, uint64_t len)
{
    return schema_value_is_fixed(schema) ? len == schema->value_len : len <= VALUE_LEN_MAX;
}

/* Into memory of ours: zstd reads back what it wrote, and a batch's output is others' to change. */
static int decompress(struct disk_worker *worker, const struct schema *schema,
                      const struct disk_part *part, struct probe_value *value)
{
    uint64_t len = 0;
    if (zstd_value_len(value->data, value->len, &len) || !may_have_len(schema, len))
        return -EBADMSG;
    if (!worker->decoder)
        worker->decoder = zstd_decoder_new();
    buf_clear(&worker->value);
    if (!worker->decoder || buf_reserve(&worker->value, len ? len : 1))
        return -ENOMEM;
    int ret = zstd_value_decode(worker->decoder, part->dictionary, value->data, value->len,
                                worker->value.data, len);
    if (!ret)
        *value = (struct probe_value){worker->value.data, (uint32_t)len};
    return ret;
}

int disk_value_decode(struct disk_worker *worker, const struct schema *schema,
                      const struct disk_part *part, struct probe_value *value)
{
    if (disk_part_info(part)->compression != COMPRESSION_NONE)
        return decompress(worker, schema, part, value);
    return may_have_len(schema, value->len) ? 0 : -EBADMSG;
}
