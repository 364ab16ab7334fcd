/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/task_release.h"

#include "builder/checkpoint.h"
#include "builder/checkpoint_policy.h"
#include "builder/cli/release.h"
#include "builder/sealed.h"
#include "builder/task_seal.h"
#include "builder/task_work.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct releasing {
    struct session *session;
    const struct task *task;
    const struct task_spec *spec;
    struct task_work *work;
    struct release_options options;
    uint64_t version;
    uint64_t checkpoint; /* the version that its chain was merged into; 0: none */
};

static uint64_t published_as(const struct releasing *r, const char *task)
{
    const struct job *job = &r->spec->job;
    const struct table_state *table =
        state_find_table(manifest_state(r->session->manifest), job->table);
    return sealed_published_as(r->session->store, table, job->table, task);
}

/* Publishes, and activates when that is asked for. */
static int release_new(struct releasing *r, struct err *err)
{
    /* Every shard's marker says that it was read back just after it was written. */
    struct publish_item item = {
        .table = r->spec->job.table, .task = r->task->name, .is_read_back = true};
    scope_json json_t *json = NULL;
    struct err why = {0};
    int ret = release_run(r->session, &item, 1, &r->options, true, &json, &why);
    /* Also when the nodes were not ready in time: the record is there. */
    r->version = published_as(r, r->task->name);
    if (ret && r->version)
        return err_set(err, ret, "published as version %" PRIu64 ": %s", r->version,
                       err_text(&why, ret));
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

/* A try long after the first must not take the table back from what was activated meanwhile. */
static int release_delta(struct releasing *r, struct err *err)
{
    r->version = published_as(r, r->task->name);
    if (!r->version)
        return release_new(r, err);
    task_work_say(r->work, "published already, as version %" PRIu64, r->version);
    if (r->options.no_activate)
        return 0;
    const struct table_state *table =
        state_find_table(manifest_state(r->session->manifest), r->spec->job.table);
    if (table && table->current > r->version) {
        task_work_say(r->work, "version %" PRIu64 " is current, and newer: it stays",
                      table->current);
        r->options.no_activate = true; /* and what is recorded says so */
        return 0;
    }
    return release_activate(r->session, r->spec->job.table, r->version, &r->options, true, err);
}

/* ---- the chain ---- */

static int is_due(const struct releasing *r, bool *out, struct err *err)
{
    const struct job *job = &r->spec->job;
    const struct table_state *table =
        state_find_table(manifest_state(r->session->manifest), job->table);
    const struct version_entry *entry = table ? table_state_find(table, r->version) : NULL;
    struct version_desc desc = {0};
    char dir[LAYOUT_PATH_MAX];
    *out = false;
    /* Whoever published after us has the longer chain, and merges it when it is time. */
    if (!entry || table_state_newest(table) != r->version)
        return 0;
    layout_version_dir(job->table, r->version, dir);
    int ret = version_desc_read(r->session->store, dir, &entry->digest, &desc, err);
    if (ret)
        return ret;
    *out = checkpoint_is_due(&desc, &r->spec->checkpoint);
    version_desc_release(&desc);
    return 0;
}

/* Anybody may have given a build the name of ours: only a checkpoint of our version is ours. */
static int checkpoint_check(const struct releasing *r, const char *name, const char *dir,
                            const struct digest *digest, struct err *err)
{
    const char *table = r->spec->job.table;
    struct version_desc desc = {0};
    char found[64] = "another build";
    int ret = version_desc_read(r->session->store, dir, digest, &desc, err);
    if (ret)
        return ret;
    uint64_t of = desc.checkpoint_of;
    version_desc_release(&desc);
    if (of == r->version)
        return 0;
    if (of)
        snprintf(found, sizeof found, "one of version %" PRIu64, of);
    return err_set(err, -EEXIST,
                   "build %s of table %s: expected a checkpoint of version %" PRIu64
                   ", found %s in %s/%s: it is left alone; merge the chain with fkv checkpoint %s "
                   "--publish",
                   name, table, r->version, found, store_url(r->session->store), dir, table);
}

/* *version is 0 when nothing of that name is published, and when -EEXIST says that it is something else. */
static int checkpoint_published(const struct releasing *r, const char *name, uint64_t *version,
                                struct err *err)
{
    const struct table_state *table =
        state_find_table(manifest_state(r->session->manifest), r->spec->job.table);
    char dir[LAYOUT_PATH_MAX];
    uint64_t found = published_as(r, name);
    const struct version_entry *entry = found ? table_state_find(table, found) : NULL;
    *version = 0;
    if (!entry)
        return 0;
    layout_version_dir(r->spec->job.table, found, dir);
    int ret = checkpoint_check(r, name, dir, &entry->digest, err);
    *version = ret ? 0 : found;
    return ret;
}

/* One that is sealed already, by a try that died, is as good. */
static int checkpoint_build(struct releasing *r, const char *name, struct err *err)
{
    const struct job *job = &r->spec->job;
    struct checkpoint_params params = {.table = job->table,
                                       .version = r->version,
                                       .memory = job->memory,
                                       .n_threads = job->n_threads,
                                       .scratch = job->scratch,
                                       .task = name,
                                       .author = job->author,
                                       .compress_level = job->compress_level};
    /* Whoever runs this ticks the worker's meter already: merging has one that nobody looks at. */
    struct build_hooks hooks = r->work->hooks;
    struct build_result result;
    struct err why = {0};
    char dir[LAYOUT_PATH_MAX];
    hooks.progress = NULL;
    int ret = checkpoint_run(r->session->store, manifest_state(r->session->manifest), &params,
                             &hooks, &result, &why);
    layout_staging_dir(job->table, name, dir);
    if (ret == -EEXIST)
        return checkpoint_check(r, name, dir, NULL, err);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int checkpoint_release(struct releasing *r, struct err *err)
{
    char name[TASK_NAME_MAX + 1];
    scope_json json_t *json = NULL;
    bool due = false;
    struct err taken = {0};
    task_checkpoint_name(r->task, name);
    int ret = manifest_refresh(r->session->manifest, NULL, err);
    if (ret)
        return ret;
    int looked = checkpoint_published(r, name, &r->checkpoint, &taken);
    if (r->checkpoint)
        return 0;
    ret = is_due(r, &due, err);
    if (ret || !due)
        return ret;
    if (looked)
        return err_set(err, looked, "%s", err_text(&taken, looked));
    task_work_say(r->work, "merging the chain of version %" PRIu64, r->version);
    ret = checkpoint_build(r, name, err);
    if (ret)
        return ret;
    struct publish_item item = {.table = r->spec->job.table, .task = name, .is_read_back = true};
    ret = release_run(r->session, &item, 1, &r->options, true, &json, err);
    checkpoint_published(r, name, &r->checkpoint, NULL);
    return ret;
}

static int release_it(void *context, struct err *err)
{
    struct releasing *r = context;
    struct err why = {0};
    int ret = manifest_refresh(r->session->manifest, NULL, err);
    if (!ret)
        ret = task_has(r->task, "cancelled.json", err);
    if (ret)
        return ret < 0 ? ret : err_set(err, -ECANCELED, "cancelled");
    ret = release_delta(r, err);
    if (ret)
        return ret;
    ret = checkpoint_release(r, &why);
    if (ret == -ESTALE) {
        task_work_say(r->work, "no checkpoint: %s", err_text(&why, ret));
        return 0;
    }
    if (ret)
        return err_set(err, ret,
                       "published as version %" PRIu64 ", but its chain was not merged: %s",
                       r->version, err_text(&why, ret));
    return 0;
}

static int put_published(const struct releasing *r, struct err *err)
{
    json_t *doc = task_work_stamp(r->work);
    if (doc && (json_put_u64(doc, "version", r->version) ||
                json_put_bool(doc, "active", !r->options.no_activate) ||
                (r->checkpoint && json_put_u64(doc, "checkpoint", r->checkpoint)))) {
        json_decref(doc);
        doc = NULL;
    }
    struct err why = {0};
    int ret = task_put_new(r->task, "published.json", doc, &why);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static bool is_released(void *context)
{
    const struct releasing *r = context;
    return task_has(r->task, "published.json", NULL) == 1;
}

int task_release(struct session *session, const struct task *task, const struct task_spec *spec,
                 const atomic_bool *cancel, struct err *err)
{
    struct task_work work;
    struct err why = {0};
    if (spec->then == TASK_STOP)
        return 0;
    int ret = task_has(task, "published.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    task_work_begin(&work, task, STAGE_SEAL, 0, cancel);
    struct releasing r = {.session = session,
                          .task = task,
                          .spec = spec,
                          .work = &work,
                          .options = {.limits = spec->limits,
                                      .no_activate = spec->then == TASK_PUBLISH,
                                      .quorum = spec->quorum,
                                      .timeout_ns = spec->timeout_ns,
                                      .reason = spec->reason,
                                      .cancel = &work.is_cancelled}};
    r.options.limits.memory = spec->job.memory;
    r.options.limits.scratch = spec->job.scratch;
    work.is_done = is_released;
    work.done_context = &r;
    ret = task_work_run(&work, release_it, &r, &why);
    if (!ret)
        ret = put_published(&r, &why);
    if (!ret)
        task_work_say(&work, "published as version %" PRIu64 "%s", r.version,
                      r.options.no_activate ? "" : ", and active");
    if (!ret && r.checkpoint)
        task_work_say(&work, "its chain is merged as version %" PRIu64, r.checkpoint);
    ret = task_work_end(&work, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}
