/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part_fit.h"

#include <errno.h>

int part_fit(const struct schema *schema, const struct part_info *info, uint32_t level,
             uint32_t shard, struct err *err)
{
    if (info->key_type != schema->key_type || info->value_len != schema->value_len ||
        info->n_shards != schema->n_shards || info->hash_seed != schema->hash_seed)
        return err_set(err, -EBADMSG,
                       "part of level %u, shard %u: it was built for another schema: %s keys, "
                       "values of %u bytes, %u shards",
                       level, shard, key_type_name(info->key_type), info->value_len,
                       info->n_shards);
    if (info->level != level || info->shard != shard)
        return err_set(err, -EBADMSG,
                       "expected the part of level %u, shard %u, found that of level %u, shard %u",
                       level, shard, info->level, info->shard);
    return 0;
}
