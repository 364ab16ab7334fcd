/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_cached.h"

enum { GROUP = 32 };

/* Whether any value of the table may be kept. */
static bool is_on(const struct disk_table *table)
{
    return table->shared->values && table->schema.value_len <= VALUE_CACHE_LEN_MAX;
}

static struct value_key key_of(const struct disk_table *table, const struct disk_keys *keys,
                               uint32_t key)
{
    struct value_key made = {.owner = table->number, .hash = keys->hash[key]};
    if (table->schema.key_type == KEY_BYTES) {
        made.bytes = keys->bytes.data + keys->off[key];
        made.len = keys->len[key];
    }
    return made;
}

/* Looks for the keys of n wants; returns how many are still wanted, moved to wants[0 …). */
static uint32_t find_group(const struct disk_table *table, const struct disk_keys *keys,
                           const struct disk_want *from, uint32_t n, struct disk_want *wants,
                           const struct disk_finder *finder)
{
    struct value_cache *values = table->shared->values;
    uint32_t wanted_len = table->schema.value_len;
    struct value_key sought[GROUP];
    uint32_t n_left = 0;
    for (uint32_t i = 0; i < n; i++) {
        sought[i] = key_of(table, keys, from[i].key);
        value_cache_prefetch(values, &sought[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        value_cache_prefetch_value(values, &sought[i]);
    for (uint32_t i = 0; i < n; i++) {
        struct disk_want want = from[i];
        uint8_t value[VALUE_CACHE_LEN_MAX];
        uint32_t len = 0;
        if (value_cache_find(values, &sought[i], value, &len) &&
            (wanted_len == 0 || len == wanted_len))
            finder->found(finder->context, want.key, value, len);
        else
            wants[n_left++] = want;
    }
    return n_left;
}

void disk_cached_find(struct disk_plan *plan, const struct disk_table *table,
                      const struct disk_keys *keys, const struct disk_finder *finder)
{
    uint32_t n = plan->n_wants;
    uint32_t n_left = 0;
    if (!is_on(table) || n == 0)
        return;
    for (uint32_t i = 0; i < n; i += GROUP)
        n_left += find_group(table, keys, plan->wants + i, n - i < GROUP ? n - i : GROUP,
                             plan->wants + n_left, finder);
    plan->n_wants = n_left;
    value_cache_count(table->shared->values, n - n_left, n_left);
}

void disk_cached_offer(const struct disk_table *table, const struct disk_keys *keys, uint32_t key,
                       const uint8_t *value, uint32_t len)
{
    if (!is_on(table) || len > VALUE_CACHE_LEN_MAX)
        return;
    const struct value_key offered = key_of(table, keys, key);
    value_cache_insert(table->shared->values, &offered, value, len);
}
