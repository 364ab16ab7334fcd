/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/stat.h"
#include "builder/cli/text.h"

#include <inttypes.h>

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static double ratio(uint64_t bytes, uint64_t n)
{
    return n ? (double)bytes / (double)n : 0;
}

/* What is where on a node: `mem` has all of it in memory. */
static const char *place_of(enum table_kind kind, enum space space)
{
    static const bool in_idx[SPACE_N] = {[SPACE_KEYS] = true, [SPACE_TOMBSTONES] = true};
    bool in_memory = space == SPACE_INDEX || space == SPACE_FILTER || space == SPACE_DICTIONARY ||
                     space == SPACE_FOOTER || (kind == KIND_IDX && in_idx[space]);
    if (kind == KIND_MEM || in_memory)
        return "memory";
    return "disk";
}

static const char *label_of(const struct stat_version *stat, enum space space)
{
    if (space == SPACE_VALUES && stat->values_hold_keys)
        return "keys and values";
    if (space == SPACE_KEYS && stat->values_hold_keys)
        return "hashes of keys";
    return space == SPACE_HEADS ? "heads of blocks" : space_name(space);
}

static void print_compression(const struct stat_version *stat)
{
    char plain[TEXT_MAX], stored[TEXT_MAX];
    const struct stat_sum *all = &stat->all;
    if (!stat->compressed)
        return;
    text_size(all->values_len, plain);
    text_size(all->len[SPACE_VALUES], stored);
    if (!all->values_len || all->n_untold)
        printf("  compressed  with zstd\n");
    else if (stat->values_hold_keys)
        printf("  compressed  with zstd: %s of values, and their keys, into %s\n", plain, stored);
    else
        printf("  compressed  with zstd: %s of values into %s (%.1f %%)\n", plain, stored,
               percent(all->len[SPACE_VALUES], all->values_len));
}

static void print_facts(const struct stat_version *stat)
{
    char a[TEXT_MAX], b[TEXT_MAX];
    const struct version_desc *desc = stat->desc;
    const struct stat_sum *all = &stat->all;
    text_count(desc->n_keys, a);
    printf("  keys        %s", a);
    if (desc->n_levels > 1) {
        text_count(all->n_keys, a);
        text_count(all->n_tombstones, b);
        printf("; %s and %s deletions in %u levels", a, b, desc->n_levels);
    }
    text_size(all->bytes, a);
    printf("\n  on disk     %s, %.1f bytes a key\n", a, ratio(all->bytes, desc->n_keys));
    text_size(all->memory, a);
    printf("  in memory   %s of a node that serves it, %.2f bytes a key\n", a,
           ratio(all->memory, desc->n_keys));
    print_compression(stat);
    if (desc->n_levels > 1 && stat->saves) {
        text_size(stat->saves, a);
        printf("  checkpoint  would save about %s, %.0f %%\n", a, percent(stat->saves, all->bytes));
    } else if (desc->n_levels > 1) {
        printf("  checkpoint  would save next to nothing\n");
    }
}

static void print_spaces(const struct stat_version *stat)
{
    static const char *const headers[] = {"WHAT", ">SIZE", ">SHARE", ">A KEY", "WHERE", NULL};
    struct grid grid;
    char size[TEXT_MAX];
    grid_init(&grid, headers);
    for (enum space i = 0; i < SPACE_N; i++) {
        uint64_t len = stat->all.len[i];
        if (!len)
            continue;
        text_size(len, size);
        grid_add(&grid, "%s", label_of(stat, i));
        grid_add(&grid, "%s", size);
        grid_add(&grid, "%.1f %%", percent(len, stat->all.bytes));
        grid_add(&grid, "%.2f B", ratio(len, stat->desc->n_keys));
        grid_add(&grid, "%s", place_of(stat->desc->schema.kind, i));
    }
    printf("\n");
    grid_print(&grid, stdout);
}

static void add_row(struct grid *grid, const struct stat_sum *sum)
{
    static const enum space shown[] = {SPACE_KEYS, SPACE_INDEX, SPACE_FILTER, SPACE_VALUES,
                                       SPACE_PADDING};
    char text[TEXT_MAX];
    text_count(sum->n_keys, text);
    grid_add(grid, "%s", text);
    text_count(sum->n_tombstones, text);
    grid_add(grid, "%s", text);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        text_size(sum->len[shown[i]], text);
        grid_add(grid, "%s", text);
    }
    text_size(sum->bytes, text);
    grid_add(grid, "%s", text);
    text_size(sum->memory, text);
    grid_add(grid, "%s", text);
}

static void print_levels(const struct stat_version *stat)
{
    static const char *const headers[] = {
        ">LEVEL",  ">PARTS",   ">KEYS", ">DELETED", ">KEY BYTES",     ">INDEX",   ">FILTER",
        ">VALUES", ">PADDING", ">SIZE", ">MEMORY",  ">SHORTEST PART", ">LONGEST", NULL};
    struct grid grid;
    char text[TEXT_MAX];
    grid_init(&grid, headers);
    for (uint32_t level = 0; level < stat->desc->n_levels; level++) {
        const struct stat_sum *sum = &stat->levels[level];
        grid_add(&grid, "%u", level);
        grid_add(&grid, "%zu", sum->n_parts);
        add_row(&grid, sum);
        text_size(sum->part_min, text);
        grid_add(&grid, "%s", text);
        text_size(sum->part_max, text);
        grid_add(&grid, "%s", text);
    }
    printf("\n");
    grid_print(&grid, stdout);
}

static struct stat_sum one(const struct part_desc *part, const struct part_space *space)
{
    struct stat_sum sum = {.n_parts = 1,
                           .n_keys = part->n_keys,
                           .n_tombstones = part->n_tombstones,
                           .bytes = part->len,
                           .memory = space->memory,
                           .values_len = part->values_len,
                           .n_untold = !part->values_len && part->n_keys};
    for (int i = 0; i < SPACE_N; i++)
        sum.len[i] = space->len[i];
    return sum;
}

static void print_shards(const struct stat_version *stat)
{
    static const char *const headers[] = {">LEVEL",     ">SHARD", ">KEYS",   ">DELETED",
                                          ">KEY BYTES", ">INDEX", ">FILTER", ">VALUES",
                                          ">PADDING",   ">SIZE",  ">MEMORY", NULL};
    struct grid grid;
    grid_init(&grid, headers);
    for (size_t i = 0; i < stat->desc->n_parts; i++) {
        struct stat_sum sum = one(&stat->desc->parts[i], &stat->parts[i]);
        grid_add(&grid, "%u", stat->desc->parts[i].level);
        grid_add(&grid, "%u", stat->desc->parts[i].shard);
        add_row(&grid, &sum);
    }
    printf("\n");
    grid_print(&grid, stdout);
}

void stat_print(const struct stat_version *stat, const char *table, bool with_shards)
{
    char value[VALUE_TEXT_MAX];
    const struct schema *schema = &stat->desc->schema;
    schema_value_text(schema, value);
    if (stat->desc->version)
        printf("%s version %" PRIu64, table, stat->desc->version);
    else
        printf("%s build %s", table, stat->desc->task);
    printf(": %s, %s -> %s, %u shard%s, %u level%s\n", table_kind_name(schema->kind),
           key_type_name(schema->key_type), value, schema->n_shards,
           schema->n_shards == 1 ? "" : "s", stat->desc->n_levels,
           stat->desc->n_levels == 1 ? "" : "s");
    print_facts(stat);
    print_spaces(stat);
    print_levels(stat);
    if (with_shards)
        print_shards(stat);
}

static void put_sum(json_t *out, const struct stat_sum *sum)
{
    json_t *bytes = json_object();
    json_put_u64(out, "n_keys", sum->n_keys);
    json_put_u64(out, "n_tombstones", sum->n_tombstones);
    json_put_u64(out, "bytes", sum->bytes);
    json_put_u64(out, "memory_bytes", sum->memory);
    json_put(out, "values_bytes",
             sum->n_untold ? json_null() : json_integer((json_int_t)sum->values_len));
    for (enum space i = 0; i < SPACE_N; i++)
        json_put_u64(bytes, space_name(i), sum->len[i]);
    json_put(out, "where", bytes);
}

static json_t *levels_json(const struct stat_version *stat)
{
    json_t *list = json_array();
    for (uint32_t level = 0; level < stat->desc->n_levels; level++) {
        json_t *one_level = json_object();
        json_put_u64(one_level, "level", level);
        json_put_u64(one_level, "n_parts", stat->levels[level].n_parts);
        put_sum(one_level, &stat->levels[level]);
        json_put_u64(one_level, "part_bytes_min", stat->levels[level].part_min);
        json_put_u64(one_level, "part_bytes_max", stat->levels[level].part_max);
        json_append(list, one_level);
    }
    return list;
}

static json_t *parts_json(const struct stat_version *stat)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stat->desc->n_parts; i++) {
        const struct part_desc *part = &stat->desc->parts[i];
        struct stat_sum sum = one(part, &stat->parts[i]);
        json_t *entry = json_object();
        json_put_u64(entry, "level", part->level);
        json_put_u64(entry, "shard", part->shard);
        put_sum(entry, &sum);
        json_put_string(entry, "compression", stat->parts[i].compression ? "zstd" : "none");
        json_put_u64(entry, "n_blocks", stat->parts[i].n_blocks);
        json_put_u64(entry, "n_slots", stat->parts[i].n_slots);
        json_append(list, entry);
    }
    return list;
}

json_t *stat_json(const struct stat_version *stat, const char *table, bool with_shards)
{
    char value[VALUE_TEXT_MAX];
    const struct version_desc *desc = stat->desc;
    json_t *out = json_object();
    json_t *sum = json_object();
    schema_value_text(&desc->schema, value);
    json_put_string(out, "table", table);
    json_put_u64(out, "version", desc->version);
    json_put_string(out, "task", desc->task);
    json_put_string(out, "kind", table_kind_name(desc->schema.kind));
    json_put_string(out, "key", key_type_name(desc->schema.key_type));
    json_put_string(out, "value", value);
    json_put_u64(out, "n_shards", desc->schema.n_shards);
    json_put_u64(out, "n_levels", desc->n_levels);
    json_put_u64(out, "n_live_keys", desc->n_keys);
    json_put_bool(out, "compressed", stat->compressed);
    json_put_bool(out, "values_hold_keys", stat->values_hold_keys);
    json_put_u64(out, "checkpoint_saves_bytes", stat->saves);
    put_sum(sum, &stat->all);
    json_put(out, "all", sum);
    json_put(out, "levels", levels_json(stat));
    if (with_shards)
        json_put(out, "parts", parts_json(stat));
    return out;
}
