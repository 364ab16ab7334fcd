/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/version_reader.h"

#include "base/scope.h"
#include "builder/part_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct version_reader {
    struct version_desc desc;
    struct part_memory *memories; /* as desc.parts */
    const struct part **parts;
    struct mem_table *table;
};

int version_desc_read(struct store *store, const char *dir, const struct digest *digest,
                      struct version_desc *out, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    if (snprintf(path, sizeof path, "%s/version.json", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    int ret = store_get(store, path, VERSION_JSON_MAX, &text, err);
    if (!ret && digest) {
        struct digest found;
        char expected_hex[DIGEST_HEX_LEN + 1];
        char found_hex[DIGEST_HEX_LEN + 1];
        digest_of(text.data, text.len, &found);
        digest_to_hex(digest, expected_hex);
        digest_to_hex(&found, found_hex);
        if (!digest_equal(&found, digest))
            ret = err_set(err, -EBADMSG, "%s: expected the digest %s (manifest), found %s", path,
                          expected_hex, found_hex);
    }
    if (!ret)
        ret = version_desc_decode(text.data, text.len, path, out, err);
    buf_release(&text);
    return ret;
}

/* How long a part may be to be kept in memory: any, unless the whole takes more than half of the host's. */
static uint64_t heap_max_of(const struct version_desc *desc, uint64_t memory)
{
    if (memory && version_desc_len(desc) > memory)
        return 0;
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_len = sysconf(_SC_PAGESIZE);
    if (pages < 0 || page_len < 0)
        return UINT64_MAX;
    return version_desc_len(desc) > (uint64_t)pages * (uint64_t)page_len / 2 ? 0 : UINT64_MAX;
}

static int reader_load(struct version_reader *reader, struct store *store, const char *dir,
                       uint64_t memory, const char *scratch_dir, struct err *err)
{
    const struct version_desc *desc = &reader->desc;
    reader->memories = calloc(desc->n_parts + 1, sizeof *reader->memories);
    reader->parts = calloc(desc->n_parts + 1, sizeof *reader->parts);
    uint64_t heap_max = heap_max_of(desc, memory);
    if (!reader->memories || !reader->parts)
        return err_sys(err, -ENOMEM, "%s: %zu parts", dir, desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++) {
        int ret = part_memory_load(&reader->memories[i], store, dir, &desc->parts[i], heap_max,
                                   scratch_dir, err);
        if (ret)
            return ret;
        reader->parts[i] = reader->memories[i].part;
    }
    int ret = mem_table_new(&desc->schema, desc->n_levels, reader->parts, &reader->table, err);
    return ret ? err_wrap(err, ret, "%s", dir) : 0;
}

int version_reader_open(struct store *store, const char *dir, const struct digest *digest,
                        struct version_reader **out, struct err *err)
{
    return version_reader_open_within(store, dir, digest, 0, NULL, out, err);
}

int version_reader_open_within(struct store *store, const char *dir, const struct digest *digest,
                               uint64_t memory, const char *scratch_dir,
                               struct version_reader **out, struct err *err)
{
    struct version_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return err_sys(err, -ENOMEM, "%s", dir);
    int ret = version_desc_read(store, dir, digest, &reader->desc, err);
    if (!ret)
        ret = reader_load(reader, store, dir, memory, scratch_dir, err);
    if (ret) {
        version_reader_close(reader);
        return ret;
    }
    *out = reader;
    return 0;
}

void version_reader_close(struct version_reader *reader)
{
    if (!reader)
        return;
    mem_table_free(reader->table);
    for (size_t i = 0; reader->memories && i < reader->desc.n_parts; i++)
        part_memory_release(&reader->memories[i]);
    free(reader->memories);
    free(reader->parts);
    version_desc_release(&reader->desc);
    free(reader);
}

const struct version_desc *version_reader_desc(const struct version_reader *reader)
{
    return &reader->desc;
}

const struct mem_table *version_reader_table(const struct version_reader *reader)
{
    return reader->table;
}

const struct part *version_reader_part(const struct version_reader *reader, uint32_t level,
                                       uint32_t shard)
{
    return reader->parts[(size_t)level * reader->desc.schema.n_shards + shard];
}

/* Does a level above have this key, alive or deleted? */
static int is_shadowed(const struct version_reader *reader, uint32_t level, uint32_t shard,
                       const struct part_entry *entry)
{
    for (uint32_t above = reader->desc.n_levels; --above > level;) {
        struct part_entry found;
        int has = part_find(version_reader_part(reader, above, shard), entry, &found);
        if (has)
            return has;
    }
    return 0;
}

int version_reader_next(const struct version_reader *reader, struct version_cursor *cursor,
                        struct part_entry *entry)
{
    const struct version_desc *desc = &reader->desc;
    while (cursor->shard < desc->schema.n_shards) {
        const struct part *part = version_reader_part(reader, cursor->level, cursor->shard);
        int got = part_next(part, &cursor->slot, entry);
        if (got < 0)
            return got;
        if (got == 0) {
            cursor->slot = 0;
            if (++cursor->level == desc->n_levels) {
                cursor->level = 0;
                cursor->shard++;
            }
            continue;
        }
        int shadowed =
            entry->tombstone ? 1 : is_shadowed(reader, cursor->level, cursor->shard, entry);
        if (shadowed < 0)
            return shadowed;
        if (!shadowed)
            return 1;
    }
    return 0;
}
