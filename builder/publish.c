/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of one build on its way:
 *
 *   staged     staging/<task>, version.json says 0 (or a number of an earlier try: it is not looked at)
 *   claimed    v/<id>, no record: an orphan while nobody works on it
 *   published  v/<id> and a record with the digest of its version.json
 *
 * A step is one atomic call of the store, so a publisher killed anywhere leaves one of these states. Versions are numbered
 * above every number in the manifest and every directory in v/, so a number that somebody holds is never used twice; if
 * a faster publisher passes our number, we move our directory to a higher one before we append: readers rely on newer
 * versions having higher numbers.
 */
#include "builder/publish.h"

#include "base/scope.h"
#include "builder/canary.h"
#include "builder/figures_json.h"
#include "builder/sealed.h"
#include "builder/validation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Renumbering ends when nobody is faster; this many rounds mean something else is wrong. */
enum { ROUNDS_MAX = 1000 };

struct claim {
    struct sealed from;
    struct version_desc desc;
    uint64_t number; /* of the directory it holds now; 0: not claimed yet */
    struct digest digest;
    struct publish_version *out;
};

struct publishing {
    struct store *store;
    struct manifest *manifest;
    const struct publish_request *request;
    struct claim *claims;
    size_t n_claims;
    struct op *ops;
    bool passed_by; /* a number of ours is no longer above all others */
};

static int check_request(const struct publish_request *request, struct err *err)
{
    const struct publish_item *items = request->items;
    size_t n_items = request->n_items;
    if (!n_items || n_items > PUBLISH_ITEMS_MAX)
        return err_set(err, -EINVAL, "one record publishes 1 to %d tables, not %zu",
                       PUBLISH_ITEMS_MAX, n_items);
    if (request->n_canaries >= RECORD_OPS_MAX ||
        n_items * (1 + request->n_canaries) > RECORD_OPS_MAX)
        return err_set(err, -EINVAL,
                       "one record has at most %d operations: %zu tables with %zu canary pins each "
                       "are too many; use a label",
                       RECORD_OPS_MAX, n_items, request->n_canaries);
    for (size_t i = 0; i < n_items; i++) {
        int rc = table_name_check(items[i].table, err);
        if (!rc && items[i].task)
            rc = task_name_check(items[i].task, err);
        if (rc)
            return rc;
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(items[i].table, items[j].table))
                return err_set(err, -EINVAL,
                               "table %s is named twice; one record publishes one "
                               "version of a table",
                               items[i].table);
        }
    }
    return 0;
}

static uint64_t newest_of(const struct state *state, const char *table)
{
    const struct table_state *t = state_find_table(state, table);
    return t ? table_state_newest(t) : 0;
}

/* What was made of a version is published on it or nowhere: a delta must not lie on another, and a checkpoint must not undo a
 * later one. */
static int check_fence(const struct state *state, const char *table,
                       const struct version_desc *desc, struct err *err)
{
    uint64_t newest = newest_of(state, table);
    if (desc->base && newest != desc->base)
        return err_set(
            err, -ESTALE,
            "table %s: this delta lies on version %" PRIu64 ", but the newest is %" PRIu64
            "; a delta is not merged: build it again on the newest with fkv build %s --delta",
            table, desc->base, newest, table);
    if (desc->checkpoint_of && newest != desc->checkpoint_of)
        return err_set(err, -ESTALE,
                       "table %s: this is a checkpoint of version %" PRIu64
                       ", but the table moved on to %" PRIu64
                       ", which it would undo; checkpoint again with fkv checkpoint %s",
                       table, desc->checkpoint_of, newest, table);
    return 0;
}

static int refuse(const char *table, const char *task, const struct validate_report *report,
                  struct err *err)
{
    char why[ERR_TEXT_MAX] = "";
    size_t len = 0;
    for (size_t i = 0; i < report->n_findings && len < sizeof why; i++) {
        if (report->findings[i].verdict == VALIDATE_FAILED)
            len += (size_t)snprintf(why + len, sizeof why - len, "%s%s", len ? "; " : "",
                                    report->findings[i].text);
    }
    return err_set(err, -EPERM, "table %s: build %s is refused: %s", table, task, why);
}

/* Keeps a copy of the description after the reader, and all its parts' memory, is gone. */
static int copy_desc(const struct version_desc *desc, struct version_desc *out, struct err *err)
{
    struct buf text = {0};
    int rc = version_desc_encode(desc, &text, err);
    if (!rc)
        rc = version_desc_decode(text.data, text.len, "version.json", out, err);
    buf_release(&text);
    return rc;
}

static int gone(const struct claim *claim, struct err *err)
{
    return err_set(err, -EEXIST,
                   "table %s: build %s is gone: another publisher or gc took it meanwhile; see: "
                   "fkv ls %s",
                   claim->out->table, claim->from.task, claim->out->table);
}

static int check_canary(const struct publish_request *request, const struct state *state,
                        const char *table, struct err *err)
{
    if (!request->n_canaries)
        return 0;
    return canary_check(state_find_table(state, table), request->canaries, request->n_canaries,
                        err);
}

/* When and by whom. */
static int keep_report(struct publishing *p, const struct claim *claim, const char *dir,
                       struct err *err)
{
    scope_free struct validation *validation = calloc(1, sizeof *validation);
    if (!validation)
        return err_sys(err, -ENOMEM, "keeping what the validators found");
    snprintf(validation->table, sizeof validation->table, "%s", claim->out->table);
    snprintf(validation->task, sizeof validation->task, "%s", claim->from.task);
    author_current(validation->author);
    validation->time_ns = manifest_now_ns(p->manifest);
    validation->report = claim->out->report;
    return validation_write(p->store, dir, validation, err);
}

/* A refused build says why where it lies. In an orphan it would be in the way of another who publishes it. */
static void keep_refusal(struct publishing *p, const struct claim *claim)
{
    if (!claim->from.orphan)
        keep_report(p, claim, claim->from.dir, NULL);
}

static int judge(struct publishing *p, struct validate_input *input, struct claim *claim,
                 struct err *err)
{
    const struct state *state = manifest_state(p->manifest);
    struct publish_version *out = claim->out;
    scope_free struct build_figures *figures = calloc(1, sizeof *figures);
    if (!figures)
        return err_sys(err, -ENOMEM, "validating");
    input->table = out->table;
    input->task = claim->from.task;
    input->dir = claim->from.dir;
    input->cancel = p->request->cancel;
    input->state = state_find_table(state, out->table);
    out->base = input->desc->base;
    out->n_keys = input->desc->n_keys;
    out->len = version_desc_len(input->desc);
    int rc = check_fence(state, out->table, input->desc, err);
    if (!rc && !input->figures) {
        struct err why = {0};
        int read = figures_read(p->store, claim->from.dir, figures, &why);
        if (!read)
            input->figures = figures;
        else if (read != -ENOENT)
            rc = err_set(err, read, "%s", err_text(&why, read));
    }
    if (!rc)
        rc = validate_run(p->store, input, p->request->limits, &out->report, err);
    out->validated = !rc;
    if (rc || out->report.passed)
        return rc;
    keep_refusal(p, claim);
    return refuse(out->table, claim->from.task, &out->report, err);
}

/* Opens the build, all of it or, when it was just read back, its description alone. */
static int open_and_judge(struct publishing *p, const struct publish_item *item,
                          struct claim *claim, struct err *err)
{
    const struct validate_limits *limits = p->request->limits;
    struct validate_input input = {.is_read_back = item->is_read_back, .figures = item->figures};
    struct version_reader *build = NULL;
    if (item->is_read_back) {
        int rc = version_desc_read(p->store, claim->from.dir, NULL, &claim->desc, err);
        input.desc = &claim->desc;
        return rc ? rc : judge(p, &input, claim, err);
    }
    int rc = version_reader_open_within(p->store, claim->from.dir, NULL, limits->memory,
                                        limits->scratch, &build, err);
    if (rc)
        return err_wrap(err, rc, "build %s of table %s", claim->from.task, item->table);
    input.build = build;
    input.desc = version_reader_desc(build);
    rc = judge(p, &input, claim, err);
    if (!rc)
        rc = copy_desc(input.desc, &claim->desc, err);
    version_reader_close(build);
    return rc;
}

static int validate_one(struct publishing *p, const struct publish_item *item, struct claim *claim,
                        struct err *err)
{
    const struct state *state = manifest_state(p->manifest);
    struct publish_version *out = claim->out;
    snprintf(out->table, sizeof out->table, "%s", item->table);
    int rc = check_canary(p->request, state, item->table, err);
    if (!rc)
        rc = sealed_find(p->store, state, item->table, item->task, &claim->from, err);
    if (rc)
        return rc;
    snprintf(out->task, sizeof out->task, "%s", claim->from.task);
    struct err why = {0};
    rc = layout_mark(p->store, claim->from.dir, &why);
    if (rc)
        return rc == -ENOENT ? gone(claim, err) : err_set(err, rc, "%s", err_text(&why, rc));
    return open_and_judge(p, item, claim, err);
}

static uint64_t highest_in_manifest(const struct state *state, const char *table)
{
    const struct table_state *t = state_find_table(state, table);
    return t && t->n_versions ? t->versions[t->n_versions - 1].version : 0;
}

static int taken(const struct claim *claim, struct err *err)
{
    return err_set(err, -EEXIST,
                   "table %s: another publisher has published build %s, as version %" PRIu64,
                   claim->out->table, claim->from.task, claim->number);
}

/* Moves the claim's directory, wherever it is, to the next free number. */
static int take_number(struct publishing *p, struct claim *claim, struct err *err)
{
    const char *table = claim->out->table;
    char from[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX];
    struct layout_versions dirs = {0};
    int rc = layout_list_versions(p->store, table, &dirs, err);
    if (rc)
        return rc;
    uint64_t number = highest_in_manifest(manifest_state(p->manifest), table);
    if (dirs.n && dirs.ids[dirs.n - 1] > number)
        number = dirs.ids[dirs.n - 1];
    free(dirs.ids);
    if (claim->number)
        layout_version_dir(table, claim->number, from);
    else
        snprintf(from, sizeof from, "%s", claim->from.dir);
    snprintf(to, sizeof to, "tables/%s/v", table);
    rc = store_mkdir(p->store, to, err);
    struct err why = {0};
    for (int i = 0; !rc && i < ROUNDS_MAX; i++) {
        layout_version_dir(table, ++number, to);
        rc = store_rename(p->store, from, to, &why);
        if (rc != -EEXIST)
            break;
        rc = 0;
    }
    if (rc == -ENOENT)
        return gone(claim, err);
    if (rc)
        return err_set(err, rc, "%s", err_text(&why, rc));
    claim->number = number;
    return 0;
}

/* What is written into the claimed directory: what the validators found, and version.json with the number. */
static int write_number(struct publishing *p, struct claim *claim, struct err *err)
{
    char dir[LAYOUT_PATH_MAX], path[LAYOUT_PATH_MAX];
    struct buf text = {0};
    claim->desc.version = claim->number;
    layout_version_dir(claim->out->table, claim->number, dir);
    layout_version_json(dir, path);
    int rc = keep_report(p, claim, dir, err);
    if (!rc)
        rc = version_desc_encode(&claim->desc, &text, err);
    if (!rc)
        rc = store_put(p->store, path, text.data, text.len, err);
    if (!rc)
        digest_of(text.data, text.len, &claim->digest);
    buf_release(&text);
    layout_unmark(p->store, dir);
    return rc;
}

/*
 * Sees to it that the claim holds a directory numbered above all others. One that is passed by can never be published any
 * more, by nobody, so it may be moved; one that a record names must stay where it is.
 */
static int number_one(struct publishing *p, struct claim *claim, struct err *err)
{
    const struct state *state = manifest_state(p->manifest);
    int rc = 0;
    if (!claim->number && claim->from.orphan)
        claim->number = claim->from.orphan;
    if (claim->number && layout_is_recorded(state, claim->out->table, claim->number))
        return taken(claim, err);
    if (claim->number <= highest_in_manifest(state, claim->out->table))
        rc = take_number(p, claim, err);
    if (!rc)
        rc = write_number(p, claim, err);
    if (!rc)
        claim->out->version = claim->number;
    return rc;
}

/* What must still hold when the record is about to be written. */
static int check_claim(struct publishing *p, const struct claim *claim, const struct state *state,
                       struct err *err)
{
    const char *table = claim->out->table;
    if (layout_is_recorded(state, table, claim->number))
        return taken(claim, err);
    int rc = check_fence(state, table, &claim->desc, err);
    if (!rc)
        rc = check_canary(p->request, state, table, err);
    if (rc)
        return rc;
    if (claim->number <= highest_in_manifest(state, table)) {
        p->passed_by = true;
        return err_set(err, -EAGAIN, "table %s: version %" PRIu64 " has been passed", table,
                       claim->number);
    }
    char dir[LAYOUT_PATH_MAX], path[LAYOUT_PATH_MAX];
    layout_version_dir(table, claim->number, dir);
    layout_version_json(dir, path);
    rc = layout_exists(p->store, path, err);
    if (rc == 0)
        return gone(claim, err);
    return rc < 0 ? rc : 0;
}

/* The operations of one claim: the version, and its canary pins. Returns how many. */
static size_t claim_ops(const struct publishing *p, const struct claim *claim, struct op *ops)
{
    const struct publish_request *request = p->request;
    ops[0] = (struct op){.kind = OP_PUBLISH,
                         .version = claim->number,
                         .base = claim->desc.base,
                         .n_keys = claim->desc.n_keys,
                         .len = version_desc_len(&claim->desc),
                         .digest = claim->digest};
    for (size_t i = 0; i < request->n_canaries; i++) {
        struct op *op = &ops[1 + i];
        *op = (struct op){.kind = OP_PIN, .version = claim->number, .canary = true};
        snprintf(op->name, sizeof op->name, "%s", request->canaries[i]);
    }
    for (size_t i = 0; i <= request->n_canaries; i++)
        snprintf(ops[i].table, sizeof ops[i].table, "%s", claim->out->table);
    return 1 + request->n_canaries;
}

static int build_ops(void *context, const struct state *state, struct op_list *ops, struct err *err)
{
    struct publishing *p = context;
    size_t n = 0;
    for (size_t i = 0; i < p->n_claims; i++) {
        int rc = check_claim(p, &p->claims[i], state, err);
        if (rc)
            return rc;
        n += claim_ops(p, &p->claims[i], &p->ops[n]);
    }
    *ops = (struct op_list){.ops = p->ops, .n_ops = n};
    return 0;
}

static int claim_and_append(struct publishing *p, const char *reason, uint64_t *seq,
                            struct err *err)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int rc = manifest_refresh(p->manifest, NULL, err);
        for (size_t i = 0; !rc && i < p->n_claims; i++)
            rc = number_one(p, &p->claims[i], err);
        p->passed_by = false;
        if (!rc)
            rc = manifest_append(p->manifest, reason, build_ops, p, seq, err);
        if (rc != -EAGAIN || !p->passed_by)
            return rc;
    }
    return err_set(err, -EBUSY, "gave up numbering after %d rounds: other publishers are faster",
                   ROUNDS_MAX);
}

/* Does the directory hold the version now? 1, or 0. */
static int is_in_place(struct publishing *p, const struct claim *claim, const char *dir,
                       struct err *err)
{
    char path[LAYOUT_PATH_MAX];
    layout_version_json(dir, path);
    int rc = layout_exists(p->store, path, err);
    return rc < 0 ? err_wrap(err, rc, "table %s version %" PRIu64, claim->out->table, claim->number)
                  : rc;
}

/*
 * The record is in the log, so the directory must be there. A gc that took it for an orphan puts it back when it sees the
 * record; one that was killed in between does not.
 */
static int see_in_place(struct publishing *p, const struct claim *claim, struct err *err)
{
    const char *table = claim->out->table;
    char dir[LAYOUT_PATH_MAX], away[LAYOUT_PATH_MAX];
    layout_version_dir(table, claim->number, dir);
    snprintf(away, sizeof away, "tables/%s/staging/.gc-%" PRIu64, table, claim->number);
    int rc = is_in_place(p, claim, dir, err);
    if (rc)
        return rc < 0 ? rc : 0;
    store_rename(p->store, away, dir, NULL);
    rc = is_in_place(p, claim, dir, err);
    if (rc)
        return rc < 0 ? rc : 0;
    return err_set(err, -EBADMSG,
                   "table %s: version %" PRIu64
                   " is published, but its directory %s is gone: expected it where it was when the "
                   "record was written. Do not activate it: fkv retire %s %" PRIu64
                   ", then build and publish again",
                   table, claim->number, dir, table, claim->number);
}

int publish_run(struct store *store, struct manifest *manifest,
                const struct publish_request *request, struct publish_version *versions,
                uint64_t *seq, struct err *err)
{
    size_t n_items = request->n_items;
    int rc = check_request(request, err);
    if (rc)
        return rc;
    scope_free struct claim *claims = calloc(n_items, sizeof *claims);
    scope_free struct op *ops = calloc(n_items * (1 + request->n_canaries), sizeof *ops);
    if (!claims || !ops)
        return err_sys(err, -ENOMEM, "publishing %zu tables", n_items);
    struct publishing p = {store, manifest, request, claims, n_items, ops, false};
    memset(versions, 0, n_items * sizeof *versions);
    for (size_t i = 0; i < n_items; i++)
        claims[i].out = &versions[i];
    rc = manifest_refresh(manifest, NULL, err);
    for (size_t i = 0; !rc && i < n_items; i++)
        rc = validate_one(&p, &request->items[i], &claims[i], err);
    if (!rc)
        rc = claim_and_append(&p, request->reason, seq, err);
    for (size_t i = 0; !rc && i < n_items; i++)
        rc = see_in_place(&p, &claims[i], err);
    for (size_t i = 0; i < n_items; i++)
        version_desc_release(&claims[i].desc);
    return rc;
}
