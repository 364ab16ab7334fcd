/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/task_release.h"

#include "builder/cli/release.h"
#include "builder/sealed.h"
#include "builder/task_seal.h"
#include "builder/task_work.h"

#include <errno.h>
#include <inttypes.h>

struct releasing {
    struct session *session;
    const struct task *task;
    const struct task_spec *spec;
    struct task_work *work;
    struct release_options options;
    uint64_t version;
};

static uint64_t published_as(const struct releasing *r)
{
    const struct job *job = &r->spec->job;
    const struct table_state *table =
        state_find_table(manifest_state(r->session->manifest), job->table);
    return sealed_published_as(r->session->store, table, job->table, r->task->name);
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
    r->version = published_as(r);
    if (ret && r->version)
        return err_set(err, ret, "published as version %" PRIu64 ": %s", r->version,
                       err_text(&why, ret));
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int release_it(void *context, struct err *err)
{
    struct releasing *r = context;
    int ret = manifest_refresh(r->session->manifest, NULL, err);
    if (!ret)
        ret = task_has(r->task, "cancelled.json", err);
    if (ret)
        return ret < 0 ? ret : err_set(err, -ECANCELED, "cancelled");
    r->version = published_as(r);
    if (!r->version)
        return release_new(r, err);
    task_work_say(r->work, "published already, as version %" PRIu64, r->version);
    if (r->options.no_activate)
        return 0;
    return release_activate(r->session, r->spec->job.table, r->version, &r->options, true, err);
}

static int put_published(const struct releasing *r, struct err *err)
{
    json_t *doc = task_work_stamp(r->work);
    if (doc && (json_put_u64(doc, "version", r->version) ||
                json_put_bool(doc, "active", !r->options.no_activate))) {
        json_decref(doc);
        doc = NULL;
    }
    struct err why = {0};
    int ret = task_put_new(r->task, "published.json", doc, &why);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
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
    ret = task_work_run(&work, release_it, &r, &why);
    if (!ret)
        ret = put_published(&r, &why);
    if (!ret)
        task_work_say(&work, "published as version %" PRIu64 "%s", r.version,
                      r.options.no_activate ? "" : ", and active");
    ret = task_work_end(&work, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}
