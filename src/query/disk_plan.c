/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_plan.h"

#include <string.h>

void disk_plan_begin(struct disk_plan *plan, const struct disk_table *table,
                     const struct disk_keys *keys, uint32_t n, const struct disk_sayer *sayer)
{
    bool is_bytes = table->schema.key_type == KEY_BYTES;
    plan->n_todo = 0;
    memset(plan->levels, (int)table->n_levels, n);
    for (uint32_t key = 0; key < n; key++) {
        if (is_bytes && keys->len[key] == 0)
            sayer->say(sayer->context, key, false);
        else
            plan->todo[plan->n_todo++] = key;
    }
}

static uint32_t part_number(const struct disk_table *table, uint32_t level, uint64_t hash)
{
    return level * table->schema.n_shards + schema_shard(&table->schema, hash);
}

/* ---- blk ---- */

/* Gathers those that may be in the level; the others stay in todo. */
static void open_level(struct disk_plan *plan, const struct disk_keys *keys, uint32_t level)
{
    uint32_t n_kept = 0;
    plan->n_open = 0;
    for (uint32_t i = 0; i < plan->n_todo; i++) {
        uint32_t key = plan->todo[i];
        if (plan->levels[key] > level) {
            plan->sought[plan->n_open] = keys->hash[key];
            plan->open[plan->n_open++] = key;
        } else {
            plan->todo[n_kept++] = key;
        }
    }
    plan->n_todo = n_kept;
}

void disk_plan_blk(struct disk_plan *plan, const struct disk_table *table,
                   const struct disk_keys *keys, const struct disk_sayer *sayer)
{
    uint32_t n_shards = table->schema.n_shards;
    plan->n_wants = 0;
    for (uint32_t level = table->n_levels; level-- > 0 && plan->n_todo;) {
        open_level(plan, keys, level);
        blk_locate(table->blks + (size_t)level * n_shards, n_shards, plan->sought, plan->n_open,
                   plan->places);
        for (uint32_t i = 0; i < plan->n_open; i++) {
            uint32_t key = plan->open[i];
            if (plan->places[i].n_pages) {
                plan->levels[key] = (uint8_t)level;
                disk_plan_want(plan, part_number(table, level, plan->sought[i]), plan->places[i],
                               key);
            } else if (level) {
                plan->todo[plan->n_todo++] = key;
            } else {
                sayer->say(sayer->context, key, false);
            }
        }
    }
    plan->n_todo = 0;
}

/* ---- idx ---- */

/* Moves todo to open, in order of shard. */
static void open_by_shard(struct disk_plan *plan, const struct schema *schema,
                          const struct disk_keys *keys)
{
    uint32_t *begins = plan->shard_begins;
    memset(begins, 0, (schema->n_shards + 1) * sizeof *begins);
    for (uint32_t i = 0; i < plan->n_todo; i++)
        begins[schema_shard(schema, keys->hash[plan->todo[i]]) + 1]++;
    for (uint32_t shard = 0; shard < schema->n_shards; shard++)
        begins[shard + 1] += begins[shard];
    for (uint32_t i = 0; i < plan->n_todo; i++) {
        uint32_t key = plan->todo[i];
        plan->open[begins[schema_shard(schema, keys->hash[key])]++] = key;
    }
    plan->n_open = plan->n_todo;
    plan->n_todo = 0;
}

/* The end of the run of keys of one shard that begins at first. */
static uint32_t run_end(const struct disk_plan *plan, const struct schema *schema,
                        const struct disk_keys *keys, uint32_t first)
{
    uint32_t shard = schema_shard(schema, keys->hash[plan->open[first]]);
    uint32_t end = first + 1;
    while (end < plan->n_open && schema_shard(schema, keys->hash[plan->open[end]]) == shard)
        end++;
    return end;
}

/* The tail does not hold together there. */
#define RANK_BAD (IDX_NONE - 1)

static void search_u64(struct disk_plan *plan, const struct idx *idx, const struct disk_keys *keys,
                       uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        plan->sought[i] = keys->u64[plan->open[i]];
    idx_find_u64(idx, plan->sought + first, n, plan->ranks + first);
}

/* Asks the filters of a level; search_bytes() passes over those that they deny. */
static void ask_filters(struct disk_plan *plan, const struct disk_table *table,
                        const struct disk_keys *keys, uint32_t level)
{
    uint32_t n_shards = table->schema.n_shards;
    for (uint32_t i = 0; i < plan->n_open; i++)
        plan->sought[i] = keys->hash[plan->open[i]];
    idx_filter(table->idxs + (size_t)level * n_shards, n_shards, plan->sought, plan->n_open,
               plan->ranks);
}

static void search_bytes(struct disk_plan *plan, const struct idx *idx,
                         const struct disk_keys *keys, uint32_t first, uint32_t end)
{
    uint32_t asked[DISK_SEARCHES];
    for (uint32_t i = first; i < end;) {
        uint32_t n = 0;
        for (; i < end && n < DISK_SEARCHES; i++) {
            uint32_t key = plan->open[i];
            if (plan->ranks[i] == IDX_NONE)
                continue;
            plan->searches[n] =
                (struct fc_search){.key = keys->bytes.data + keys->off[key], .len = keys->len[key]};
            asked[n++] = i;
        }
        idx_search_bytes(idx, plan->searches, n);
        for (uint32_t j = 0; j < n; j++) {
            const struct fc_search *search = &plan->searches[j];
            plan->ranks[asked[j]] = search->ret        ? RANK_BAD
                                    : search->is_equal ? search->rank
                                                       : IDX_NONE;
        }
    }
}

/* What a part's tail says of a key. True: the key's way ends here. */
static bool settle(struct disk_plan *plan, const struct disk_table *table, uint32_t part,
                   uint32_t key, uint64_t rank, const struct disk_sayer *sayer)
{
    const struct idx *idx = table->idxs[part];
    struct idx_place place = {0};
    if (rank == IDX_NONE)
        return false;
    if (rank == RANK_BAD || idx_place(idx, rank, &place)) {
        disk_part_report(table, table->parts[part], place.block.page, true);
        sayer->say(sayer->context, key, true);
    } else if (idx_is_tombstone(idx, rank)) {
        sayer->say(sayer->context, key, false);
    } else {
        plan->entry[key] = place.entry;
        disk_plan_want(plan, part, place.block, key);
    }
    return true;
}

/* Asks one part for the keys open[first, end), and keeps those it does not have from open[n_kept] on;
 * returns how many are kept then. */
static uint32_t plan_part(struct disk_plan *plan, const struct disk_table *table,
                          const struct disk_keys *keys, uint32_t part, uint32_t first, uint32_t end,
                          uint32_t n_kept, const struct disk_sayer *sayer)
{
    const struct idx *idx = table->idxs[part];
    if (table->schema.key_type == KEY_U64)
        search_u64(plan, idx, keys, first, end - first);
    else
        search_bytes(plan, idx, keys, first, end);
    for (uint32_t i = first; i < end; i++)
        if (!settle(plan, table, part, plan->open[i], plan->ranks[i], sayer))
            plan->open[n_kept++] = plan->open[i];
    return n_kept;
}

void disk_plan_idx(struct disk_plan *plan, const struct disk_table *table,
                   const struct disk_keys *keys, const struct disk_sayer *sayer)
{
    plan->n_wants = 0;
    open_by_shard(plan, &table->schema, keys);
    for (uint32_t level = table->n_levels; level-- > 0 && plan->n_open;) {
        uint32_t n_kept = 0;
        if (table->schema.key_type == KEY_BYTES)
            ask_filters(plan, table, keys, level);
        for (uint32_t first = 0; first < plan->n_open;) {
            uint32_t end = run_end(plan, &table->schema, keys, first);
            uint32_t part = part_number(table, level, keys->hash[plan->open[first]]);
            n_kept = plan_part(plan, table, keys, part, first, end, n_kept, sayer);
            first = end;
        }
        plan->n_open = n_kept;
    }
    for (uint32_t i = 0; i < plan->n_open; i++)
        sayer->say(sayer->context, plan->open[i], false);
    plan->n_open = 0;
}
