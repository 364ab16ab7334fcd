/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_fixture: a store in memory, inputs in a directory of the test's own, and builds made from them.
 *
 * Threads: one. Memory: build_fixture_release(). Failures abort.
 */
#ifndef FKV_TESTS_BUILD_FIXTURE_H
#define FKV_TESTS_BUILD_FIXTURE_H

#include "builder/build.h"
#include "builder/sealed.h"
#include "builder/version_reader.h"
#include "memory_backend.h"
#include "table_fixture.h"
#include "temp_dir.h"

struct build_fixture {
    struct backend *memory; /* the store's */
    struct store *store;
    struct state state;
    uint64_t n_versions;
    char dir[TEMP_DIR_MAX];
    char *inputs[64];
    size_t n_inputs;
};

/* Of the tables that jobs are for. */
static enum table_kind build_fixture_kind = KIND_MEM;

static inline void build_fixture_init(struct build_fixture *f)
{
    *f = (struct build_fixture){.memory = memory_backend_new()};
    FIXTURE_MUST(store_open_backend(f->memory, "memory:", &f->store, NULL) == 0);
    FIXTURE_MUST(manifest_init_store(f->store, NULL) == 0);
    temp_dir_make(f->dir);
}

/* Forgets the inputs added so far; their files stay. */
static inline void build_fixture_no_inputs(struct build_fixture *f)
{
    while (f->n_inputs)
        free(f->inputs[--f->n_inputs]);
}

static inline void build_fixture_release(struct build_fixture *f)
{
    build_fixture_no_inputs(f);
    state_release(&f->state);
    store_close(f->store);
    temp_dir_remove(f->dir);
}

/* Writes an input file and adds it to the list. */
static inline const char *build_fixture_input(struct build_fixture *f, const char *name,
                                              const void *data, size_t len)
{
    char path[TEMP_DIR_MAX + 100];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    FILE *file = fopen(path, "wb");
    FIXTURE_MUST(file && fwrite(data, 1, len, file) == len && fclose(file) == 0);
    FIXTURE_MUST(f->n_inputs < 64);
    return f->inputs[f->n_inputs++] = strdup(path);
}

static inline const char *build_fixture_text(struct build_fixture *f, const char *name,
                                             const char *text)
{
    return build_fixture_input(f, name, text, strlen(text));
}

/* A job over all inputs added. */
static inline struct job build_fixture_job(const struct build_fixture *f, enum key_type key,
                                           const char *value)
{
    struct job job = {.table = "t",
                      .inputs = (const char *const *)f->inputs,
                      .n_inputs = f->n_inputs,
                      .schema = fixture_schema(key, value, 1),
                      .memory = JOB_MEMORY_MIN,
                      .n_threads = 2,
                      .scratch = f->dir,
                      .author = "test@host"};
    job.schema.n_shards = 0;
    job.schema.kind = build_fixture_kind;
    return job;
}

static inline int build_fixture_run(struct build_fixture *f, const struct job *job,
                                    struct build_result *result, struct err *err)
{
    return build_run(f->store, &f->state, job, NULL, result, err);
}

/* Does what a publisher does with a sealed build: numbers it, moves it, tells the state. */
static inline uint64_t build_fixture_publish(struct build_fixture *f,
                                             const struct build_result *result)
{
    char staged[STORE_PATH_MAX];
    char path[STORE_PATH_MAX + 16];
    char to[STORE_PATH_MAX];
    struct version_desc desc = {0};
    struct buf text = {0};
    uint64_t version = ++f->n_versions;
    snprintf(staged, sizeof staged, "tables/t/staging/%s", result->task);
    snprintf(path, sizeof path, "%s/version.json", staged);
    snprintf(to, sizeof to, "tables/t/v/%llu", (unsigned long long)version);
    FIXTURE_MUST(version_desc_read(f->store, staged, NULL, &desc, NULL) == 0);
    desc.version = version;
    FIXTURE_MUST(version_desc_encode(&desc, &text, NULL) == 0);
    FIXTURE_MUST(store_put(f->store, path, text.data, text.len, NULL) == 0);
    FIXTURE_MUST(store_mkdir(f->store, "tables/t/v", NULL) == 0);
    FIXTURE_MUST(store_rename(f->store, staged, to, NULL) == 0);
    struct op op = {.kind = OP_PUBLISH,
                    .table = "t",
                    .version = version,
                    .base = desc.base,
                    .n_keys = desc.n_keys,
                    .len = version_desc_len(&desc)};
    struct record record = {.seq = f->state.seq + 1,
                            .time_ns = 1,
                            .nonce = "00000000000000000000000000000000",
                            .author = (char *)(uintptr_t) "test@host",
                            .reason = (char *)(uintptr_t) "",
                            .ops = &op,
                            .n_ops = 1};
    digest_of(text.data, text.len, &op.digest);
    FIXTURE_MUST(state_apply(&f->state, &record, NULL) == 0);
    buf_release(&text);
    version_desc_release(&desc);
    return version;
}

/* Opens a staged or published version. */
static inline struct version_reader *build_fixture_open(struct build_fixture *f, const char *dir)
{
    struct version_reader *reader = NULL;
    struct err err = {0};
    if (version_reader_open(f->store, dir, NULL, &reader, &err)) {
        fprintf(stderr, "fixture: %s\n", err.text);
        abort();
    }
    return reader;
}

static inline struct version_reader *build_fixture_open_task(struct build_fixture *f,
                                                             const struct build_result *result)
{
    char dir[STORE_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    return build_fixture_open(f, dir);
}

/* Looks a key up; *value is a copy that lives until the next call. 1, 0, -EBADMSG. */
static inline int build_fixture_find(const struct version_reader *reader,
                                     const struct part_entry *wanted, const uint8_t **value,
                                     uint32_t *len)
{
    static uint8_t copy[1 << 20];
    struct value_room room = {0};
    struct part_entry found;
    int has = version_reader_find(reader, wanted, &room, &found);
    if (has == 1) {
        FIXTURE_MUST(found.value_len <= sizeof copy);
        if (found.value_len)
            memcpy(copy, found.value, found.value_len);
        *value = copy;
        *len = found.value_len;
    }
    value_room_release(&room);
    return has;
}

static inline int build_fixture_find_u64(const struct version_reader *reader, uint64_t key,
                                         const uint8_t **value, uint32_t *len)
{
    return build_fixture_find(reader, &(struct part_entry){.key = key}, value, len);
}

static inline int build_fixture_find_bytes(const struct version_reader *reader, const char *key,
                                           const uint8_t **value, uint32_t *len)
{
    struct part_entry wanted = {.key_bytes = (const uint8_t *)key, .key_len = (uint8_t)strlen(key)};
    return build_fixture_find(reader, &wanted, value, len);
}

/* The build that was sealed last; -ENOENT. */
static inline int build_fixture_sealed(struct store *store, char task[TASK_NAME_MAX + 1])
{
    struct state empty = {0};
    struct sealed sealed = {0};
    int ret = sealed_find(store, &empty, "t", NULL, &sealed, NULL);
    snprintf(task, TASK_NAME_MAX + 1, "%s", sealed.task);
    return ret;
}

#endif
