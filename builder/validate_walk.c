/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validate_walk.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>

/* Is the entry found at the very bytes that the walk stands on? */
static void look_up(const struct version_reader *build, const struct part_entry *stored,
                    struct validate_walk *walk)
{
    struct part_entry found;
    if (version_reader_find_stored(build, stored, &found) != 1)
        walk->n_lost++;
    else if (found.value_len != stored->value_len ||
             (found.value_len && found.value != stored->value))
        walk->n_double++;
}

/* shard collects the figures of one shard; they are merged in shard order, as when they were first counted. */
static int walk_live(const struct version_reader *build, struct build_figures *shard,
                     struct validate_walk *walk)
{
    const struct version_desc *desc = version_reader_desc(build);
    struct version_cursor cursor = {0};
    struct part_entry entry;
    uint32_t number = 0;
    int rc;
    while ((rc = version_reader_next(build, &cursor, &entry)) > 0) {
        if (cursor.shard != number) {
            figures_merge(&walk->figures, shard);
            *shard = (struct build_figures){0};
            number = cursor.shard;
        }
        walk->n_live++;
        look_up(build, &cursor.stored, walk);
        if (cursor.level == desc->n_levels - 1)
            figures_add(shard, &desc->schema, &entry);
    }
    figures_merge(&walk->figures, shard);
    version_cursor_release(&cursor);
    return rc;
}

static int walk_tombstones(const struct version_reader *build, struct validate_walk *walk)
{
    const struct version_desc *desc = version_reader_desc(build);
    for (uint32_t shard = 0; shard < desc->schema.n_shards; shard++) {
        const struct any_part *part = version_reader_part(build, desc->n_levels - 1, shard);
        struct any_cursor cursor = {0};
        struct part_entry entry;
        struct part_entry found;
        int rc;
        while ((rc = any_part_next(part, &cursor, &entry)) > 0) {
            walk->figures.tombstones += entry.tombstone;
            if (entry.tombstone && version_reader_find_stored(build, &entry, &found) == 1)
                walk->n_undead++;
        }
        if (rc)
            return rc;
    }
    return 0;
}

int validate_walk_run(const struct version_reader *build, struct validate_walk *out,
                      struct err *err)
{
    scope_free struct build_figures *shard = calloc(1, sizeof *shard);
    scope_free struct validate_walk *walk = calloc(1, sizeof *walk);
    if (!shard || !walk)
        return err_sys(err, -ENOMEM, "reading every key back");
    walk->figures.has_vectors = version_reader_desc(build)->schema.elem != ELEM_NONE;
    int rc = walk_live(build, shard, walk);
    if (!rc)
        rc = walk_tombstones(build, walk);
    if (rc < 0)
        return err_set(err, rc, "reading every key back failed");
    *out = *walk;
    return 0;
}
