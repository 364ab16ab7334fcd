/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/version_reader.h"

#include "base/scope.h"
#include "builder/part_file.h"
#include "format/part_fit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct version_reader {
    struct version_desc desc;
    struct part_memory *memories; /* as desc.parts */
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

/* Is this part what belongs there? Parts of a level of `mem` are cut alike, too. */
static int part_check(const struct version_reader *reader, size_t i, struct err *err)
{
    const struct version_desc *desc = &reader->desc;
    const struct part_desc *part = &desc->parts[i];
    const struct any_part *loaded = reader->memories[i].part;
    const struct part_info *info = any_part_info(loaded);
    const struct part_info *first = any_part_info(reader->memories[i - part->shard].part);
    char name[PART_FILE_NAME_MAX];
    part_file_name(part, name);
    int ret = part_fit(&desc->schema, info, part->level, part->shard, err);
    if (!ret && any_part_kind(loaded) != desc->schema.kind)
        ret = err_set(err, -EBADMSG, "expected a part of kind %s, found %s",
                      table_kind_name(desc->schema.kind), table_kind_name(any_part_kind(loaded)));
    if (!ret && desc->schema.kind == KIND_MEM && info->n_partitions != first->n_partitions)
        ret = err_set(err, -EBADMSG, "expected %u partitions as shard 0 has, found %u",
                      first->n_partitions, info->n_partitions);
    return ret ? err_wrap(err, ret, "%s", name) : 0;
}

static int reader_load(struct version_reader *reader, struct store *store, const char *dir,
                       uint64_t memory, const char *scratch_dir, struct err *err)
{
    const struct version_desc *desc = &reader->desc;
    reader->memories = calloc(desc->n_parts + 1, sizeof *reader->memories);
    uint64_t heap_max = heap_max_of(desc, memory);
    if (!reader->memories)
        return err_sys(err, -ENOMEM, "%s: %zu parts", dir, desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++) {
        int ret = part_memory_load(&reader->memories[i], store, dir, &desc->parts[i], heap_max,
                                   scratch_dir, err);
        if (ret)
            return ret;
        ret = part_check(reader, i, err);
        if (ret)
            return err_wrap(err, ret, "%s", dir);
    }
    return 0;
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
    for (size_t i = 0; reader->memories && i < reader->desc.n_parts; i++)
        part_memory_release(&reader->memories[i]);
    free(reader->memories);
    version_desc_release(&reader->desc);
    free(reader);
}

const struct version_desc *version_reader_desc(const struct version_reader *reader)
{
    return &reader->desc;
}

const struct any_part *version_reader_part(const struct version_reader *reader, uint32_t level,
                                           uint32_t shard)
{
    return reader->memories[(size_t)level * reader->desc.schema.n_shards + shard].part;
}

/* ---- looking up ---- */

/* The newest level below `end` that knows the key, and what it has; wanted->hash is known. */
static int level_find(const struct version_reader *reader, uint32_t end, uint32_t begin,
                      const struct part_entry *wanted, struct part_entry *found, uint32_t *level)
{
    uint32_t shard = schema_shard(&reader->desc.schema, wanted->hash);
    for (uint32_t i = end; i-- > begin;) {
        int has = any_part_find(version_reader_part(reader, i, shard), wanted, found);
        *level = i;
        if (has)
            return has;
    }
    return 0;
}

static int find(const struct version_reader *reader, const struct part_entry *wanted,
                struct part_entry *found, uint32_t *level)
{
    const struct schema *schema = &reader->desc.schema;
    struct part_entry hashed = *wanted;
    if (schema->key_type == KEY_BYTES && (!wanted->key_bytes || wanted->key_len == 0))
        return 0;
    hashed.hash = schema->key_type == KEY_U64
                      ? schema_hash_u64(schema, wanted->key)
                      : schema_hash_bytes(schema, wanted->key_bytes, wanted->key_len);
    int has = level_find(reader, reader->desc.n_levels, 0, &hashed, found, level);
    return has == 1 && found->tombstone ? 0 : has;
}

int version_reader_find_stored(const struct version_reader *reader, const struct part_entry *wanted,
                               struct part_entry *found)
{
    uint32_t level = 0;
    return find(reader, wanted, found, &level);
}

int version_reader_find(const struct version_reader *reader, const struct part_entry *wanted,
                        struct value_room *room, struct part_entry *found)
{
    uint32_t level = 0;
    int has = find(reader, wanted, found, &level);
    if (has != 1)
        return has;
    uint32_t shard = schema_shard(&reader->desc.schema, found->hash);
    int ret = value_room_unpack(room, version_reader_part(reader, level, shard), found);
    return ret ? ret : 1;
}

/* ---- walking ---- */

void version_cursor_release(struct version_cursor *cursor)
{
    value_room_release(&cursor->room);
    *cursor = (struct version_cursor){0};
}

/* Is the cursor's entry alive: no tombstone, and no level above has its key, alive or deleted? */
static int is_live(const struct version_reader *reader, const struct version_cursor *cursor)
{
    struct part_entry found;
    uint32_t level = 0;
    if (cursor->stored.tombstone)
        return 0;
    int has = level_find(reader, reader->desc.n_levels, cursor->level + 1, &cursor->stored, &found,
                         &level);
    return has < 0 ? has : !has;
}

static void next_part(const struct version_reader *reader, struct version_cursor *cursor)
{
    cursor->at = (struct any_cursor){0};
    if (++cursor->level == reader->desc.n_levels) {
        cursor->level = 0;
        cursor->shard++;
    }
}

int version_reader_next(const struct version_reader *reader, struct version_cursor *cursor,
                        struct part_entry *entry)
{
    while (cursor->shard < reader->desc.schema.n_shards) {
        const struct any_part *part = version_reader_part(reader, cursor->level, cursor->shard);
        int got = any_part_next(part, &cursor->at, &cursor->stored);
        if (got < 0)
            return got;
        if (got == 0) {
            next_part(reader, cursor);
            continue;
        }
        int live = is_live(reader, cursor);
        if (live < 0)
            return live;
        if (!live)
            continue;
        *entry = cursor->stored;
        int ret = value_room_unpack(&cursor->room, part, entry);
        return ret ? ret : 1;
    }
    return 0;
}
