/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/answer.h"

#include "fuse/guard.h"
#include "query/disk_batch.h"

#include <errno.h>
#include <time.h>

_Static_assert(BATCH_FOUND == FKV_STATUS_FOUND && BATCH_ABSENT == FKV_STATUS_ABSENT &&
                   BATCH_FAILED == FKV_STATUS_FAILED,
               "query and protocol agree on a key's status");
_Static_assert(BATCH_AS_STORED == FKV_FORM_STORED && BATCH_AS_F32 == FKV_FORM_F32,
               "query and protocol agree on forms");
_Static_assert(BATCH_KEYS_MAX == FKV_KEYS_MAX, "query and protocol agree on a batch's limit");

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct answer_access answer_access_now(struct table *table)
{
    struct answer_access access;
    uint32_t mode = 0;
    table_access(table, &access.uid, &access.gid, &mode);
    access.read_bits = mode & 0444;
    return access;
}

/* A file stays open when versions change. One answers when everybody may read it, or when its owner,
 * group and mode are those by which the kernel decided at open (nobody's, without a version then). */
static bool may_answer(const struct answer_access *opened, const struct version *version)
{
    uid_t uid = 0;
    gid_t gid = 0;
    uint32_t mode = 0;
    version_access(version, &uid, &gid, &mode);
    if ((mode & 0444) == 0444)
        return true;
    return uid == opened->uid && gid == opened->gid && (mode & 0444) == opened->read_bits;
}

/* An exact version other than the current one: the previous one, mostly, which stays loaded after a
 * switch. */
static int pin_exact(struct table *table, uint64_t id, struct version **out)
{
    struct version *version = table_pin_version(table, id);
    if (!version)
        return -ESTALE;
    if (!version_is_loaded(version)) {
        version_unpin(version);
        return -ESTALE;
    }
    *out = version;
    return 0;
}

/* Pins the version that may answer. */
static int choose_version(const struct answer_source *source, const struct wire_request *request,
                          struct version **out)
{
    uint32_t want = request->flags & FKV_WANT_MASK;
    if (source->pinned) {
        uint64_t id = version_id(source->pinned);
        if (want == FKV_WANT_EXACT && id != request->version)
            return -ESTALE;
        if (want == FKV_WANT_AT_LEAST && id < request->version)
            return -EAGAIN;
        version_pin(source->pinned);
        *out = source->pinned;
        return 0;
    }
    struct version *version = table_pin_current(source->table);
    uint64_t id = version ? version_id(version) : 0;
    int ret = version ? 0 : -ENOENT;
    if (want == FKV_WANT_EXACT && id != request->version) {
        struct version *exact = NULL;
        ret = pin_exact(source->table, request->version, &exact);
        version_unpin(version);
        version = exact;
    } else if (want == FKV_WANT_AT_LEAST && id < request->version) {
        version_unpin(version);
        version = NULL;
        ret = -EAGAIN;
    }
    if (!ret && !may_answer(&source->opened_under, version)) {
        version_unpin(version);
        ret = -EACCES;
    }
    if (!ret)
        *out = version;
    return ret;
}

struct batch_call {
    const struct mem_table *mem;
    const struct disk_table *table; /* when there is no mem */
    struct disk_worker *worker;
    const struct batch_request *request;
    bool is_scan;
    void *out;
    size_t out_cap;
    struct batch_result result;
    bool has_more;
    int ret;
};

static void call_batch(void *context)
{
    struct batch_call *call = context;
    if (call->mem)
        call->ret = batch_run(call->mem, call->request, call->out, call->out_cap, &call->result);
    else if (call->is_scan)
        call->ret = disk_scan_run(call->table, call->worker, call->request, call->out,
                                  call->out_cap, &call->result, &call->has_more);
    else
        call->ret = disk_batch_run(call->table, call->worker, call->request, call->out,
                                   call->out_cap, &call->result);
}

static int guard_batch(const struct answer_space *space, struct batch_call *call)
{
    int ret = 0;
    if (space->guard)
        ret = guard_run(space->guard, space->guard_len, call_batch, call);
    else
        call_batch(call);
    if (ret && call->worker)
        disk_worker_leave(call->worker); /* it was left in its middle */
    return ret ? ret : call->ret;
}

static int run_batch(const struct version *version, const struct wire_request *request,
                     const struct answer_space *space, const struct answer_disk *disk,
                     struct batch_call *call)
{
    const struct batch_request batch = {
        .n_keys = request->n_keys,
        .keys = space->keys,
        .keys_len = request->keys_len,
        .form = (enum batch_form)(request->flags & FKV_FORM_MASK),
        .deadline_ns = request->deadline_ns,
    };
    *call = (struct batch_call){
        .mem = version_mem(version),
        .table = version_disk(version),
        .worker = disk ? disk->worker : NULL,
        .request = &batch,
        .is_scan = request->flags & FKV_SCAN,
        .out = space->out,
        .out_cap = space->out_cap,
    };
    if (!call->mem && !call->table)
        return -ESTALE;
    if (call->is_scan && (call->mem || !call->table->idxs))
        return -ENOTSUP;
    if (!call->mem && !disk)
        return DISK_NEEDED;
    int ret = guard_batch(space, call);
    call->request = NULL;
    return ret;
}

/* Bytes of each value of a table whose values all have the same. */
static uint32_t value_len(const struct schema *schema, const struct wire_request *request)
{
    bool as_f32 = (request->flags & FKV_FORM_MASK) == FKV_FORM_F32;
    return as_f32 ? (uint32_t)sizeof(float) * schema->dim : schema->value_len;
}

static int answer_from(const struct version *version, const struct wire_request *request,
                       const struct answer_space *space, const struct answer_disk *disk,
                       struct batch_stats *stats, struct wire_reply *reply)
{
    const struct schema *schema = version_schema(version);
    struct batch_call call;
    if ((uint32_t)schema->key_type != request->key_type)
        return -EINVAL;
    int ret = run_batch(version, request, space, disk, &call);
    const struct batch_result *result = &call.result;
    if (ret == -ENOSPC)
        reply->body_len = result->len;
    if (ret)
        return ret;
    reply->n_found = result->n_found;
    reply->values_off = result->values_off;
    reply->locs_off = result->locs_off;
    reply->stride = result->stride;
    reply->has_more = call.has_more;
    if (result->stride)
        reply->value_len = value_len(schema, request);
    reply->body_len = result->len;
    /* A scan's records are all "found", those too that could not be read. */
    stats->n_keys = call.is_scan ? result->n_found : request->n_keys;
    stats->n_found = call.is_scan ? result->n_found - result->n_failed : result->n_found;
    stats->n_failed = result->n_failed;
    stats->is_on_disk = !call.mem;
    return 0;
}

void answer_batch(const struct answer_source *source, const struct wire_request *request,
                  const struct answer_space *space, const struct answer_disk *disk,
                  struct wire_reply *reply)
{
    uint64_t begun = now_ns();
    struct version *version = NULL;
    struct batch_stats stats = {0};
    *reply = (struct wire_reply){0};
    if (request->deadline_ns && begun >= request->deadline_ns)
        reply->error = -ETIMEDOUT;
    else
        reply->error = choose_version(source, request, &version);
    if (version) {
        reply->served = version_id(version);
        reply->error = answer_from(version, request, space, disk, &stats, reply);
        version_unpin(version);
    }
    if (reply->error == -ENOSPC || reply->error == DISK_NEEDED)
        return; /* the caller comes again, with more room or from elsewhere */
    stats.bytes = reply->body_len;
    stats.ns = now_ns() - (disk ? disk->since_ns : begun);
    stats.error = reply->error;
    table_stats_add(source->stats, &stats);
}
