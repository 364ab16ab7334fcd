/* SPDX-License-Identifier: Apache-2.0 */
#include "client/batch.h"

#include "client/last_error.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(FKV_FOUND == FKV_STATUS_FOUND && FKV_ABSENT == FKV_STATUS_ABSENT &&
                   FKV_FAILED == FKV_STATUS_FAILED,
               "the API's statuses are the protocol's");
_Static_assert((int)FKV_TYPE_U64 == (int)FKV_KEY_U64 && (int)FKV_TYPE_BYTES == (int)FKV_KEY_BYTES,
               "the API's key types are the protocol's");

static int connect_batch(struct fkv_batch *batch, uint64_t deadline_ns, struct err *err)
{
    if (batch->channel.fd >= 0)
        return 0;
    int r = table_connect(batch->table, &batch->channel, deadline_ns, err);
    if (!r)
        r = carrier_attach(&batch->carrier, &batch->channel, err);
    if (r)
        channel_close(&batch->channel);
    return r;
}

int fkv_batch_new(fkv_table *table, fkv_batch **out)
{
    struct err err = {0};
    struct fkv_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return last_error_set(-ENOMEM, NULL);
    batch->table = table;
    channel_init(&batch->channel, &table->place);
    carrier_init(&batch->carrier, table->options.transport);
    int r = connect_batch(batch, table_deadline_ns(table), &err);
    if (r) {
        fkv_batch_free(batch);
        return last_error_set(r, &err);
    }
    *out = batch;
    return 0;
}

void fkv_batch_free(fkv_batch *batch)
{
    if (!batch)
        return;
    channel_close(&batch->channel);
    carrier_release(&batch->carrier);
    free(batch);
}

enum fkv_transport fkv_batch_transport(const fkv_batch *batch)
{
    return batch->carrier.last;
}

uint64_t *fkv_keys_u64(fkv_batch *batch, uint32_t n)
{
    struct err err = {0};
    int r = n > FKV_KEYS_MAX
                ? err_set(&err, -E2BIG, "%u keys in one batch; at most %u", n, FKV_KEYS_MAX)
                : arena_grow(&batch->carrier.arena, 8 * (uint64_t)n + 1, &err);
    if (r) {
        last_error_set(r, &err);
        return NULL;
    }
    return (uint64_t *)(void *)batch->carrier.arena.data;
}

int batch_question(const struct fkv_batch *batch, const struct keys *keys,
                   const struct fkv_ask *ask, uint32_t flags, struct question *out, struct err *err)
{
    static const struct fkv_ask nothing;
    const struct fkv_ask *wish = ask ? ask : &nothing;
    uint64_t pinned = batch->table->place.pinned;
    uint64_t exact = wish->exact_version ? wish->exact_version : pinned;
    if (wish->exact_version && wish->at_least_version)
        return err_set(err, -EINVAL, "exact_version and at_least_version exclude each other");
    if (pinned && exact != pinned)
        return err_set(err, -ESTALE, "the table was opened at version %llu; %llu was asked for",
                       (unsigned long long)pinned, (unsigned long long)exact);
    if (pinned && wish->at_least_version > pinned)
        return err_set(err, -EAGAIN,
                       "the table was opened at version %llu; at least %llu was asked for",
                       (unsigned long long)pinned, (unsigned long long)wish->at_least_version);
    *out = (struct question){.keys = *keys, .flags = flags, .deadline_ns = wish->deadline_ns};
    if (exact) {
        out->flags |= FKV_WANT_EXACT;
        out->version = exact;
    } else if (wish->at_least_version) {
        out->flags |= FKV_WANT_AT_LEAST;
        out->version = wish->at_least_version;
    }
    if (!out->deadline_ns)
        out->deadline_ns = table_deadline_ns(batch->table);
    return keys_check(keys, err);
}

/* The daemon's refusal as a sentence. */
static int explain(struct fkv_batch *batch, const struct question *question, int code,
                   struct err *err)
{
    const char *file = batch->table->place.file;
    struct fkv_info info = {0};
    if (channel_info(&batch->channel, &info, NULL))
        info = batch->channel.info;
    unsigned long long now = info.version;
    unsigned long long asked = question->version;
    bool is_scan = question->flags & FKV_SCAN;
    switch (-code) {
    case ENOENT:
        return err_set(err, code, "%s: the table has no current version yet", file);
    case ESTALE:
        return err_set(err, code, "%s: version %llu is not served here; %llu is current", file,
                       asked, now);
    case EAGAIN:
        return err_set(err, code, "%s: version %llu is still to come; %llu is current", file, asked,
                       now);
    case ETIMEDOUT:
        return err_set(err, code, "%s: the deadline passed before %u %s were answered", file,
                       question->keys.n, is_scan ? "records" : "keys");
    case EACCES:
        return err_set(err, code, "%s: not everybody may read the version that would answer", file);
    case ENOTSUP:
        if (is_scan && (info.dim || (question->flags & FKV_FORM_MASK) != FKV_FORM_F32))
            return err_set(err, code, "%s: only tables of kind idx have an order to scan in", file);
        return err_set(err, code, "%s: the values are not vectors and cannot come as floats", file);
    case ENOSPC:
        return err_set(err, -E2BIG, "%s: a value is too long for this transport", file);
    default:
        break;
    }
    if (!is_scan && info.key_type && info.key_type != keys_type(&question->keys))
        return err_set(err, -EINVAL, "%s: the keys of this table are %s", file,
                       info.key_type == FKV_KEY_U64 ? "u64: use fkv_get_u64()"
                                                    : "bytes: use fkv_get_bytes()");
    return err_sys(err, code, "%s: the daemon refused the batch", file);
}

/* One try over a connected channel: 0, a refusal, or an error that channel_is_broken() knows. */
static int try_once(struct fkv_batch *batch, const struct question *question, struct answer *out,
                    struct err *err)
{
    int r = connect_batch(batch, question->deadline_ns, err);
    if (!r)
        r = carrier_ask(&batch->carrier, &batch->channel, question, out, err);
    if (r)
        return r;
    if (out->reply.error && !channel_is_broken(out->reply.error))
        return explain(batch, question, out->reply.error, err);
    if (out->reply.error)
        return err_sys(err, out->reply.error, "%s", batch->table->place.file);
    if (!(question->flags & FKV_SCAN) && question->keys.n && !out->reply.stride &&
        !out->reply.locs_off)
        return err_set(err, -EPROTO,
                       "the reply says neither how long values are nor where they lie");
    if ((question->flags & FKV_WANT_MASK) == FKV_WANT_EXACT &&
        out->reply.served != question->version)
        return err_set(err, -EPROTO, "version %llu was asked for and %llu answered",
                       (unsigned long long)question->version,
                       (unsigned long long)out->reply.served);
    return 0;
}

int batch_ask_until(struct fkv_batch *batch, const struct question *question, struct answer *out,
                    struct err *err)
{
    if (channel_now_ns() >= question->deadline_ns)
        return err_set(err, -ETIMEDOUT, "the deadline had passed before the batch began");
    bool reopened = false;
    for (unsigned attempt = 0;; attempt++) {
        int r = try_once(batch, question, out, err);
        if (r == -EACCES && !reopened) {
            /* Modes have changed since the file was opened: whoever opens it now is judged anew. */
            reopened = true;
            channel_close(&batch->channel);
            continue;
        }
        if (!r || !channel_is_broken(r))
            return r;
        channel_close(&batch->channel);
        if (r == -ENOTCONN && channel_now_ns() >= question->deadline_ns)
            return r;
        if (channel_now_ns() >= question->deadline_ns) {
            err_wrap(err, r, "no fkvd answered in time");
            return -ENOTCONN;
        }
        if (attempt) /* the first time, it may be back already */
            channel_pause(attempt, question->deadline_ns);
    }
}

int batch_ask(struct fkv_batch *batch, const struct keys *keys, const struct fkv_ask *ask,
              uint32_t form, struct answer *out)
{
    struct err err = {0};
    struct question question;
    int r = batch_question(batch, keys, ask, form, &question, &err);
    if (!r)
        r = batch_ask_until(batch, &question, out, &err);
    return r ? last_error_set(r, &err) : 0;
}
