/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_fixture: tasks over the inputs of a build_fixture, stage by stage in this process, and whether they give what a build gives.
 *
 * Threads: one, unless a function says so. Memory: none is kept. Failures abort.
 */
#ifndef FKV_TESTS_TASK_FIXTURE_H
#define FKV_TESTS_TASK_FIXTURE_H

#include "build_fixture.h"
#include "builder/task_map.h"
#include "builder/task_plan.h"
#include "builder/task_reduce.h"
#include "builder/task_run.h"
#include "builder/task_seal.h"
#include "builder/task_shape.h"
#include "builder/task_spec_json.h"

#include <errno.h>

enum { TASK_FIXTURE_FILE_MAX = 64 << 20 };

/* A spec over all inputs added, with tiny pieces. */
static inline struct task_spec task_fixture_spec(const struct build_fixture *f, enum key_type key,
                                                 const char *value, uint64_t piece_len)
{
    struct task_spec spec;
    task_spec_default(&spec);
    spec.job = build_fixture_job(f, key, value);
    spec.job.given =
        (struct schema_given){.kind = true, .key = true, .value = true, .seed = true, .mode = true};
    spec.piece_len = piece_len;
    return spec;
}

static inline void task_fixture_shards(struct task_spec *spec, uint32_t n_shards, uint32_t n_reduce)
{
    spec->job.schema.n_shards = n_shards;
    spec->job.given.shards = n_shards != 0;
    spec->n_reduce = n_reduce;
}

static inline int task_fixture_create(struct store *store, const struct task_spec *spec,
                                      const char *name, struct task *task, struct err *err)
{
    struct buf text = {0};
    struct task_spec named = *spec;
    named.job.task = name;
    FIXTURE_MUST(task_spec_encode(&named, &text, NULL) == 0);
    int ret = task_create(store, name, text.data, text.len, "local", task, err);
    buf_release(&text);
    return ret;
}

/* What is left of all stages, in order. Any thread. */
static inline int task_fixture_stages(const struct task *task, const struct state *state,
                                      struct err *err)
{
    struct task_plan plan;
    int ret = task_plan_make(task, state, err);
    if (!ret)
        ret = task_plan_open(task, &plan, err);
    if (ret)
        return ret;
    for (uint32_t i = 0; i < plan.n_pieces && !ret; i++)
        ret = task_map(task, &plan, i, NULL, err);
    for (uint32_t i = 0; i < plan.n_groups && !ret; i++)
        ret = task_reduce(task, &plan, i, NULL, err);
    if (!ret)
        ret = task_stage_seal(task, &plan, NULL, err);
    task_plan_release(&plan);
    return ret;
}

/* Submits and runs it. */
static inline int task_fixture_run(struct build_fixture *f, const struct task_spec *spec,
                                   const char *name, struct task *task, struct err *err)
{
    int ret = task_fixture_create(f->store, spec, name, task, err);
    return ret ? ret : task_fixture_stages(task, &f->state, err);
}

static inline void task_fixture_get(struct store *store, const char *dir, const char *name,
                                    struct buf *out)
{
    char path[2 * STORE_PATH_MAX + 2];
    FIXTURE_MUST(snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path);
    buf_clear(out);
    FIXTURE_MUST(store_get(store, path, TASK_FIXTURE_FILE_MAX, out, NULL) == 0);
}

static inline size_t task_fixture_count(struct store *store, const char *dir)
{
    struct store_list list = {0};
    FIXTURE_MUST(layout_list(store, dir, &list, NULL) == 0);
    size_t n = list.n_names;
    store_list_release(&list);
    return n;
}

/* Of a worker that was overtaken while it wrote, a temporary file may stay: it means nothing to readers, and gc takes it. */
static inline size_t task_fixture_n_parts(struct store *store, const char *dir)
{
    struct store_list list = {0};
    size_t n = 0;
    FIXTURE_MUST(layout_list(store, dir, &list, NULL) == 0);
    for (size_t i = 0; i < list.n_names; i++)
        n += !store_is_temporary(list.names[i]);
    store_list_release(&list);
    return n;
}

/* Are the parts of two sealed builds of table t the same, name by name and byte by byte? */
static inline bool task_fixture_same(struct store *store, const char *one, const char *other)
{
    char dirs[2][STORE_PATH_MAX];
    struct store_list list = {0};
    struct buf text[2] = {0};
    snprintf(dirs[0], sizeof dirs[0], "tables/t/staging/%s/parts", one);
    snprintf(dirs[1], sizeof dirs[1], "tables/t/staging/%s/parts", other);
    FIXTURE_MUST(layout_list(store, dirs[0], &list, NULL) == 0);
    bool is_same = list.n_names > 0 && list.n_names == task_fixture_n_parts(store, dirs[1]);
    for (size_t i = 0; i < list.n_names && is_same; i++) {
        for (int k = 0; k < 2; k++)
            task_fixture_get(store, dirs[k], list.names[i], &text[k]);
        is_same = text[0].len == text[1].len && !memcmp(text[0].data, text[1].data, text[0].len);
    }
    store_list_release(&list);
    buf_release(&text[0]);
    buf_release(&text[1]);
    return is_same;
}

#endif
