/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_fixture: `blk` and `idx` tables in files of a temporary directory, made from lists of entries.
 *
 * Threads: one. Memory and files: disk_fixture_release(). Failures abort: a test that cannot make its
 * table has nothing to say.
 */
#ifndef FKV_TESTS_DISK_FIXTURE_H
#define FKV_TESTS_DISK_FIXTURE_H

#include "node/disk_table.h"
#include "paged_fixture.h"
#include "temp_dir.h"

#include <fcntl.h>
#include <unistd.h>

struct disk_fixture {
    struct schema schema; /* kind, keys, values, shards: set by the test */
    struct zstd_encoder *encoder;
    struct buf dictionary; /* with it: values are compressed */
    bool has_filter;
    uint32_t block_pages;
    uint32_t n_levels;
    uint32_t n_parts;
    char dir[TEMP_DIR_MAX];
    struct paged_fixture made[FIXTURE_PARTS_MAX];
    struct disk_part *parts[FIXTURE_PARTS_MAX];
    struct disk_shared shared;
    struct disk_table *table;
};

static inline void disk_fixture_path(const struct disk_fixture *fixture, uint32_t part,
                                     char out[TEMP_DIR_MAX + 32])
{
    snprintf(out, TEMP_DIR_MAX + 32, "%s/part-%u", fixture->dir, part);
}

/* Values of tables that are made from now on are compressed, with this dictionary or none. */
static inline void disk_fixture_compress(struct disk_fixture *fixture, const void *dictionary,
                                         size_t len)
{
    FIXTURE_MUST(buf_add(&fixture->dictionary, dictionary, len) == 0);
    FIXTURE_MUST(zstd_encoder_new(1, dictionary, len, &fixture->encoder, NULL) == 0);
}

/* The entries with values as they are stored; *room holds those. */
static inline void disk_fixture_encode(struct disk_fixture *fixture, struct part_entry *entries,
                                       size_t n, struct buf *room)
{
    struct buf one = {0};
    size_t *offs = calloc(n + 1, sizeof *offs);
    FIXTURE_MUST(offs);
    for (size_t i = 0; i < n; i++) {
        offs[i] = room->len;
        if (entries[i].tombstone)
            continue;
        FIXTURE_MUST(
            zstd_value_encode(fixture->encoder, entries[i].value, entries[i].value_len, &one) == 0);
        FIXTURE_MUST(buf_add(room, one.data, one.len) == 0);
        entries[i].value_len = (uint32_t)one.len;
    }
    for (size_t i = 0; i < n; i++)
        if (!entries[i].tombstone)
            entries[i].value = room->data + offs[i];
    free(offs);
    buf_release(&one);
}

static inline void disk_fixture_file(struct disk_fixture *fixture, uint32_t number)
{
    struct paged_fixture *made = &fixture->made[number];
    struct disk_part *part = calloc(1, sizeof *part);
    char path[TEMP_DIR_MAX + 32];
    disk_fixture_path(fixture, number, path);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    FIXTURE_MUST(part && fd >= 0);
    for (size_t done = 0; done < made->bytes.len;) {
        ssize_t n = write(fd, made->bytes.data + done, made->bytes.len - done);
        FIXTURE_MUST(n > 0);
        done += (size_t)n;
    }
    close(fd);
    FIXTURE_MUST(reader_file_open(path, &part->file, NULL) == 0);
    part->blk = made->blk;
    part->idx = made->idx;
    part->serial = 1 + number;
    struct paged_bytes dictionary =
        made->blk ? blk_dictionary(made->blk) : idx_dictionary(made->idx);
    FIXTURE_MUST(zstd_dictionary_new(dictionary.data, dictionary.len, &part->dictionary, NULL) ==
                 0);
    fixture->parts[number] = part;
}

/* Adds a level; the first is the base. Entries are put in order, and compressed ones replaced. */
static inline void disk_fixture_add_level(struct disk_fixture *fixture, struct part_entry *entries,
                                          size_t n)
{
    struct buf room = {0};
    uint64_t n_bytes = 0;
    if (!fixture->dir[0])
        temp_dir_make_fast(fixture->dir);
    if (fixture->encoder)
        disk_fixture_encode(fixture, entries, n, &room);
    for (size_t i = 0; i < n; i++)
        n_bytes += entries[i].value_len + entries[i].key_len;
    for (uint32_t shard = 0; shard < fixture->schema.n_shards; shard++) {
        uint32_t number = fixture->n_parts++;
        FIXTURE_MUST(number < FIXTURE_PARTS_MAX);
        const struct paged_params params = {
            .schema = &fixture->schema,
            .shard = shard,
            .level = fixture->n_levels,
            .n_entries = n / fixture->schema.n_shards,
            .n_bytes = n_bytes / fixture->schema.n_shards,
            .block_pages = fixture->block_pages,
            .has_filter = fixture->has_filter,
            .compression = fixture->encoder ? COMPRESSION_ZSTD : COMPRESSION_NONE,
            .dictionary = {fixture->dictionary.data, fixture->dictionary.len},
        };
        if (fixture->schema.kind == KIND_BLK)
            paged_fixture_blk(&fixture->made[number], &params, entries, n);
        else
            paged_fixture_idx(&fixture->made[number], &params, entries, n);
        disk_fixture_file(fixture, number);
        buf_release(&fixture->made[number].bytes);
    }
    fixture->n_levels++;
    buf_release(&room);
}

static inline const struct disk_table *disk_fixture_table(struct disk_fixture *fixture)
{
    struct err err = {0};
    int ret = disk_table_new(&fixture->schema, fixture->n_levels, fixture->parts, &fixture->shared,
                             &fixture->table, &err);
    if (ret)
        fprintf(stderr, "%s\n", err.text);
    FIXTURE_MUST(ret == 0);
    return fixture->table;
}

static inline void disk_fixture_release(struct disk_fixture *fixture)
{
    disk_table_free(fixture->table);
    for (uint32_t i = 0; i < fixture->n_parts; i++) {
        close(fixture->parts[i]->file.fd);
        zstd_dictionary_free(fixture->parts[i]->dictionary);
        free(fixture->parts[i]);
        paged_fixture_release(&fixture->made[i]);
    }
    block_cache_free(fixture->shared.cache);
    value_cache_free(fixture->shared.values);
    zstd_encoder_free(fixture->encoder);
    buf_release(&fixture->dictionary);
    if (fixture->dir[0])
        temp_dir_remove(fixture->dir);
}

/* Changes a byte of a part's file. */
static inline void disk_fixture_flip(const struct disk_fixture *fixture, uint32_t part,
                                     uint64_t off)
{
    char path[TEMP_DIR_MAX + 32];
    uint8_t byte = 0;
    disk_fixture_path(fixture, part, path);
    int fd = open(path, O_RDWR);
    FIXTURE_MUST(fd >= 0 && pread(fd, &byte, 1, (off_t)off) == 1);
    byte ^= 1;
    FIXTURE_MUST(pwrite(fd, &byte, 1, (off_t)off) == 1 && fsync(fd) == 0);
    close(fd);
}

#endif
