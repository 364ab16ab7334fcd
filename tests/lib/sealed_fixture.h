/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed_fixture: sealed builds on a store in memory, made from a list of entries, for the tests of publish, validate and
 * collect.
 *
 * Threads: one. Memory: fixture_store_release(). Failures abort: a test that cannot make its build has nothing to say.
 */
#ifndef FKV_TESTS_SEALED_FIXTURE_H
#define FKV_TESTS_SEALED_FIXTURE_H

#include "builder/layout.h"
#include "builder/version_reader.h"
#include "faulty_backend.h"
#include "manifest/manifest.h"
#include "memory_backend.h"
#include "table_fixture.h"

#include <inttypes.h>

/* A store in memory under a backend that can go wrong. */
struct fixture_store {
    struct faulty *faulty;
    struct store *store;
    struct manifest *manifest;
};

static inline void sealed_must(int rc, const struct err *err, const char *what)
{
    if (!rc)
        return;
    fprintf(stderr, "fixture: %s: %s\n", what, err_text(err, rc));
    abort();
}

static inline void fixture_store_over(struct fixture_store *fs, struct backend *backend)
{
    struct err err = {0};
    *fs = (struct fixture_store){.faulty = faulty_new(backend, false)};
    sealed_must(store_open_backend(&fs->faulty->backend, "test:", &fs->store, &err), &err, "open");
    sealed_must(manifest_init_store(fs->store, &err), &err, "init");
    sealed_must(manifest_open(fs->store, &fs->manifest, &err), &err, "manifest");
}

static inline void fixture_store_init(struct fixture_store *fs)
{
    fixture_store_over(fs, memory_backend_new());
}

/* In a directory, for tests that kill processes. */
static inline void fixture_store_in(struct fixture_store *fs, const char *dir)
{
    struct backend *backend = NULL;
    struct err err = {0};
    sealed_must(backend_dir_open(dir, &backend, &err), &err, "directory");
    fixture_store_over(fs, backend);
}

/* As a new process would: what the old one knew is forgotten. */
static inline void fixture_store_reopen(struct fixture_store *fs)
{
    struct err err = {0};
    manifest_close(fs->manifest);
    fs->manifest = NULL;
    sealed_must(manifest_open(fs->store, &fs->manifest, &err), &err, "manifest");
}

static inline void fixture_store_release(struct fixture_store *fs)
{
    manifest_close(fs->manifest);
    store_close(fs->store);
}

/* Another process at the same store. */
static inline void fixture_store_other(const struct fixture_store *fs, struct fixture_store *out)
{
    struct err err = {0};
    *out = (struct fixture_store){.faulty = faulty_new(fs->faulty->inner, true)};
    sealed_must(store_open_backend(&out->faulty->backend, "memory:", &out->store, &err), &err,
                "open");
    sealed_must(manifest_open(out->store, &out->manifest, &err), &err, "manifest");
}

/* When the builds that are sealed from now on say they were. */
static const char *sealed_created = "2026-01-01T00:00:00Z";

struct sealed_build {
    const char *table;
    const char *task;
    struct schema schema;
    struct part_entry *entries;
    size_t n;
    uint64_t base; /* of a delta: a published version */
    uint64_t checkpoint_of;
    uint64_t n_removed; /* keys of the base that the delta deletes */
    uint64_t n_added;   /* keys it has that the base has not */
    /* Called with the bytes of each part before it is described; may forge. May be NULL. */
    void (*forge)(struct buf *part, const struct sealed_build *build);
};

static inline void sealed_describe(struct part_desc *part, const struct buf *bytes)
{
    part->len = bytes->len;
    digest_of(bytes->data, bytes->len, &part->digest);
    part->n_chunks = (uint32_t)((bytes->len + PART_CHUNK_LEN - 1) / PART_CHUNK_LEN);
    part->chunks = calloc(part->n_chunks, sizeof *part->chunks);
    FIXTURE_MUST(part->chunks);
    for (uint32_t i = 0; i < part->n_chunks; i++) {
        size_t off = (size_t)i * PART_CHUNK_LEN;
        size_t left = bytes->len - off;
        digest_of(bytes->data + off, left < PART_CHUNK_LEN ? left : PART_CHUNK_LEN,
                  &part->chunks[i]);
    }
}

/* The base's parts, linked; desc becomes the base's. */
static inline void sealed_take_base(struct fixture_store *fs, const struct sealed_build *build,
                                    const char *dir, struct version_desc *desc)
{
    char from[LAYOUT_PATH_MAX], path[STORE_PATH_MAX], to[STORE_PATH_MAX], name[PART_FILE_NAME_MAX];
    struct err err = {0};
    layout_version_dir(build->table, build->base, from);
    sealed_must(version_desc_read(fs->store, from, NULL, desc, &err), &err, "base");
    for (size_t i = 0; i < desc->n_parts; i++) {
        part_file_name(&desc->parts[i], name);
        snprintf(path, sizeof path, "%s/parts/%s", from, name);
        snprintf(to, sizeof to, "%s/parts/%s", dir, name);
        sealed_must(store_link(fs->store, path, to, &err), &err, "link");
    }
}

static inline void sealed_add_parts(struct fixture_store *fs, const struct sealed_build *build,
                                    const char *dir, struct version_desc *desc)
{
    uint32_t level = desc->n_levels++;
    desc->parts =
        realloc(desc->parts, (desc->n_parts + desc->schema.n_shards) * sizeof *desc->parts);
    FIXTURE_MUST(desc->parts);
    for (uint32_t shard = 0; shard < desc->schema.n_shards; shard++) {
        struct part_desc *part = &desc->parts[desc->n_parts++];
        struct buf bytes = {0};
        struct err err = {0};
        char name[PART_FILE_NAME_MAX], path[STORE_PATH_MAX];
        *part = (struct part_desc){.shard = shard, .level = level};
        for (size_t i = 0; i < build->n; i++) {
            if (schema_shard(&desc->schema, build->entries[i].hash) == shard)
                (*(build->entries[i].tombstone ? &part->n_tombstones : &part->n_keys))++;
        }
        sealed_must(
            fixture_write(&desc->schema, level, shard, 0, build->entries, build->n, &bytes, &err),
            &err, "part");
        if (build->forge)
            build->forge(&bytes, build);
        sealed_describe(part, &bytes);
        part_file_name(part, name);
        snprintf(path, sizeof path, "%s/parts/%s", dir, name);
        sealed_must(store_put_new(fs->store, path, bytes.data, bytes.len, &err), &err, "put");
        buf_release(&bytes);
    }
}

static inline void sealed_text(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
    FIXTURE_MUST(*text);
}

/* Leaves the build sealed in staging. */
static inline void fixture_seal(struct fixture_store *fs, const struct sealed_build *build)
{
    char dir[LAYOUT_PATH_MAX], parts[STORE_PATH_MAX], json[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    struct buf text = {0};
    struct err err = {0};
    layout_staging_dir(build->table, build->task, dir);
    snprintf(parts, sizeof parts, "%s/parts", dir);
    sealed_must(store_mkdir(fs->store, parts, &err), &err, "mkdir");
    if (build->base)
        sealed_take_base(fs, build, dir, &desc);
    else
        desc.schema = build->schema;
    sealed_add_parts(fs, build, dir, &desc);
    desc.version = 0;
    desc.base = build->base;
    desc.checkpoint_of = build->checkpoint_of;
    desc.n_entries = build->n;
    desc.n_keys = build->base ? desc.n_keys + build->n_added - build->n_removed : build->n;
    sealed_text(&desc.task, build->task);
    sealed_text(&desc.builder, "fixture");
    sealed_text(&desc.author, "test@host");
    sealed_text(&desc.created, sealed_created);
    sealed_text(&desc.source, "");
    sealed_must(version_desc_encode(&desc, &text, &err), &err, "encode");
    layout_version_json(dir, json);
    sealed_must(store_put(fs->store, json, text.data, text.len, &err), &err, "version.json");
    version_desc_release(&desc);
    buf_release(&text);
}

/* A full build of u64 keys 0 .. n - 1 with values of 8 bytes, each tag << 32 | key. */
static inline void fixture_seal_numbers(struct fixture_store *fs, const char *table,
                                        const char *task, size_t n, uint64_t tag)
{
    struct sealed_build build = {
        .table = table, .task = task, .schema = fixture_schema(KEY_U64, "bytes[8]", 2), .n = n};
    uint64_t *values = calloc(n + 1, sizeof *values);
    build.entries = calloc(n + 1, sizeof *build.entries);
    FIXTURE_MUST(values && build.entries);
    for (size_t i = 0; i < n; i++) {
        values[i] = tag << 32 | i;
        build.entries[i] = fixture_u64(&build.schema, i, &values[i], 8);
    }
    fixture_seal(fs, &build);
    free(build.entries);
    free(values);
}

/* A delta that changes key 0 to tag << 32. */
static inline void fixture_seal_delta(struct fixture_store *fs, const char *table, const char *task,
                                      uint64_t base, uint64_t tag)
{
    uint64_t value = tag << 32;
    struct sealed_build build = {.table = table,
                                 .task = task,
                                 .schema = fixture_schema(KEY_U64, "bytes[8]", 2),
                                 .n = 1,
                                 .base = base};
    struct part_entry entry = fixture_u64(&build.schema, 0, &value, 8);
    build.entries = &entry;
    fixture_seal(fs, &build);
}

/* Key 0's tag in a published version, checked down to its bytes; 0 when the version is not whole. */
static inline uint64_t fixture_tag(struct fixture_store *fs, const char *table, uint64_t version)
{
    const struct table_state *t = state_find_table(manifest_state(fs->manifest), table);
    const struct version_entry *entry = t ? table_state_find(t, version) : NULL;
    struct version_reader *reader = NULL;
    char dir[LAYOUT_PATH_MAX];
    struct err err = {0};
    struct part_entry found;
    uint64_t tag = 0;
    layout_version_dir(table, version, dir);
    if (!entry || version_reader_open(fs->store, dir, &entry->digest, &reader, &err)) {
        fprintf(stderr, "fixture: %s version %" PRIu64 ": %s\n", table, version, err.text);
        return 0;
    }
    if (version_reader_desc(reader)->version == version &&
        version_reader_find_stored(reader, &(struct part_entry){.key = 0}, &found) == 1 &&
        found.value_len == 8)
        tag = load_le64(found.value) >> 32;
    version_reader_close(reader);
    return tag;
}

/* Appends one op, as another person would. */
static inline int fixture_build_op(void *context, const struct state *state, struct op_list *ops,
                                   struct err *err)
{
    *ops = (struct op_list){.ops = context, .n_ops = 1};
    return 0;
}
static inline void fixture_record(struct fixture_store *fs, struct op op)
{
    struct err err = {0};
    sealed_must(manifest_append(fs->manifest, "", fixture_build_op, &op, NULL, &err), &err,
                "append");
}
static inline void fixture_activate(struct fixture_store *fs, const char *table, uint64_t version)
{
    struct op op = {.kind = OP_ACTIVATE, .version = version};
    snprintf(op.table, sizeof op.table, "%s", table);
    fixture_record(fs, op);
}

static inline bool fixture_exists(struct fixture_store *fs, const char *path)
{
    return layout_exists(fs->store, path, NULL) == 1;
}

#endif
