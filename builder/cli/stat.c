/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/stat.h"

#include "base/scope.h"
#include "builder/part_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int read_at(struct store_reader *reader, uint64_t off, void *data, size_t len,
                   const char *path, struct err *err)
{
    size_t n = 0;
    int rc = store_reader_read(reader, off, data, len, &n, err);
    if (!rc && n != len)
        rc = err_set(err, -EBADMSG, "%s: expected %zu bytes at %" PRIu64 ", found %zu", path, len,
                     off, n);
    return rc;
}

/* Is it the part that version.json describes? */
static int check(const struct version_desc *desc, const struct part_desc *part,
                 const struct part_space *space, const char *path, struct err *err)
{
    if (space->kind == desc->schema.kind && space->info.shard == part->shard &&
        space->info.level == part->level && space->info.n_keys == part->n_keys &&
        space->info.n_tombstones == part->n_tombstones)
        return 0;
    return err_set(err, -EBADMSG,
                   "%s: expected level %u, shard %u with %" PRIu64
                   " keys as version.json says, found "
                   "level %u, shard %u with %" PRIu64,
                   path, part->level, part->shard, part->n_keys, space->info.level,
                   space->info.shard, space->info.n_keys);
}

static int measure(struct store_reader *reader, uint64_t len, const char *path,
                   struct part_space *out, struct err *err)
{
    uint8_t footer[PART_FOOTER_LEN];
    if (len < sizeof footer)
        return err_set(err, -EBADMSG, "%s: %" PRIu64 " bytes are no part", path, len);
    int rc = read_at(reader, len - sizeof footer, footer, sizeof footer, path, err);
    if (!rc)
        rc = part_space_measure(footer, len, path, out, err);
    if (rc || !out->directory_len)
        return rc;
    scope_free void *directory = malloc(out->directory_len);
    if (!directory)
        return err_sys(err, -ENOMEM, "%s", path);
    rc = read_at(reader, out->directory_off, directory, out->directory_len, path, err);
    return rc ? rc : part_space_add_heaps(out, directory, path, err);
}

static int read_part(struct store *store, const char *dir, const struct version_desc *desc,
                     const struct part_desc *part, struct part_space *out, struct err *err)
{
    char path[PART_PATH_MAX];
    struct store_reader *reader = NULL;
    int rc = part_file_path(dir, part, path, err);
    if (!rc)
        rc = store_reader_open(store, path, &reader, err);
    if (rc)
        return rc;
    if (store_reader_len(reader) != part->len)
        rc = err_set(err, -EBADMSG, "%s: expected %" PRIu64 " bytes, found %" PRIu64, path,
                     part->len, store_reader_len(reader));
    if (!rc)
        rc = measure(reader, part->len, path, out, err);
    store_reader_close(reader);
    return rc ? rc : check(desc, part, out, path, err);
}

static void add(struct stat_sum *sum, const struct part_desc *part, const struct part_space *space)
{
    if (!sum->n_parts || part->len < sum->part_min)
        sum->part_min = part->len;
    if (part->len > sum->part_max)
        sum->part_max = part->len;
    sum->n_parts++;
    sum->n_keys += part->n_keys;
    sum->n_tombstones += part->n_tombstones;
    sum->bytes += part->len;
    sum->memory += space->memory;
    sum->values_len += part->values_len;
    sum->n_untold += !part->values_len && part->n_keys;
    for (int i = 0; i < SPACE_N; i++)
        sum->len[i] += space->len[i];
}

/* A checkpoint holds each live key once, at what a key costs now on average. */
static uint64_t saved_by_checkpoint(const struct stat_version *stat)
{
    uint64_t n = stat->all.n_keys + stat->all.n_tombstones;
    if (stat->desc->n_levels < 2 || !n || stat->desc->n_keys >= n)
        return 0;
    return (uint64_t)((double)stat->all.bytes * (double)(n - stat->desc->n_keys) / (double)n);
}

int stat_read(struct store *store, const char *dir, const struct version_desc *desc,
              struct stat_version *out, struct err *err)
{
    *out =
        (struct stat_version){.desc = desc, .parts = calloc(desc->n_parts + 1, sizeof *out->parts)};
    int rc = out->parts ? 0 : err_sys(err, -ENOMEM, "%zu parts", desc->n_parts);
    for (size_t i = 0; !rc && i < desc->n_parts; i++) {
        const struct part_desc *part = &desc->parts[i];
        rc = read_part(store, dir, desc, part, &out->parts[i], err);
        if (rc)
            break;
        add(&out->levels[part->level], part, &out->parts[i]);
        add(&out->all, part, &out->parts[i]);
        out->compressed = out->compressed || out->parts[i].compression;
        out->values_hold_keys = out->values_hold_keys || out->parts[i].values_hold_keys;
    }
    if (rc)
        stat_release(out);
    else
        out->saves = saved_by_checkpoint(out);
    return rc;
}

void stat_release(struct stat_version *stat)
{
    free(stat->parts);
    *stat = (struct stat_version){0};
}
