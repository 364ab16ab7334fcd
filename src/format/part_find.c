/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part_view.h"

#include <errno.h>

int part_find(const struct part *part, const struct part_entry *wanted, struct part_entry *found)
{
    const struct part_info *info = &part->info;
    uint64_t first = (uint64_t)info->shard * info->n_partitions;
    uint32_t at = mph_partition(wanted->hash, info->n_shards * info->n_partitions);
    if (at < first || at - first >= info->n_partitions)
        return 0;
    const struct place *place = &part->places[at - first];
    const struct place_more *more = &part->more[at - first];
    struct probe_value value = {0};
    enum probe probe = probe_slot(place, more, place_slot(place, wanted->hash), wanted->hash,
                                  wanted->key_bytes, wanted->key_len, &value);
    if (probe == PROBE_CORRUPT)
        return -EBADMSG;
    if (probe == PROBE_ABSENT)
        return 0;
    *found = (struct part_entry){.hash = wanted->hash,
                                 .key = wanted->key,
                                 .key_bytes = wanted->key_bytes,
                                 .key_len = wanted->key_len,
                                 .tombstone = probe == PROBE_TOMBSTONE};
    if (!found->tombstone) {
        found->value = value.data;
        found->value_len = value.len;
    }
    return 1;
}
