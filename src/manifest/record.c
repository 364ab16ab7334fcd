/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/record.h"

#include "base/scope.h"
#include "manifest/record_op.h"
#include "manifest/seal.h"

#include <errno.h>
#include <string.h>

enum { N_MEMBERS = 8 };

void record_release(struct record *record)
{
    if (!record)
        return;
    free(record->author);
    free(record->reason);
    free(record->ops);
    *record = (struct record){0};
}

static int nonce_check(const char *nonce, struct err *err)
{
    struct digest ignored;
    if (digest_from_hex(nonce, &ignored))
        return err_set(err, -EINVAL, "member \"nonce\": expected %d hex digits, found \"%s\"",
                       RECORD_NONCE_LEN, nonce);
    return 0;
}

/* The rules that JSON alone does not give, the same for writer and reader. */
static int record_check(const struct record *record, struct err *err)
{
    if (record->seq < 1 || record->seq > RECORD_SEQ_MAX)
        return err_set(err, -EINVAL, "member \"seq\": expected 1 to %llu, found %llu",
                       RECORD_SEQ_MAX, (unsigned long long)record->seq);
    if (record->time_ns < 0)
        return err_set(err, -EINVAL, "member \"time_ns\": must not be negative");
    if (record->n_ops < 1 || record->n_ops > RECORD_OPS_MAX)
        return err_set(err, -EINVAL, "member \"ops\": expected 1 to %d operations, found %zu",
                       RECORD_OPS_MAX, record->n_ops);
    int ret = nonce_check(record->nonce, err);
    if (!ret)
        ret = text_check("member \"author\"", record->author, RECORD_TEXT_MAX, err);
    if (!ret)
        ret = text_check("member \"reason\"", record->reason, RECORD_TEXT_MAX, err);
    for (size_t i = 0; i < record->n_ops && !ret; i++) {
        ret = op_check(&record->ops[i], err);
        if (ret)
            err_wrap(err, ret, "operation %zu", i + 1);
    }
    return ret;
}

static json_t *ops_encode(const struct record *record)
{
    json_t *ops = json_array();
    for (size_t i = 0; i < record->n_ops; i++) {
        json_t *op = json_object();
        if (json_append(ops, op) || op_encode(&record->ops[i], op)) {
            json_decref(ops);
            return NULL;
        }
    }
    return ops;
}

int record_encode(const struct record *record, struct buf *out, struct err *err)
{
    int ret = record_check(record, err);
    if (ret)
        return err_wrap(err, ret, "record");
    size_t before = out->len;
    scope_json json_t *json = json_object();
    if (!json || json_put_u64(json, "format", RECORD_FORMAT) ||
        json_put_u64(json, "seq", record->seq) ||
        json_put_u64(json, "time_ns", (uint64_t)record->time_ns) ||
        json_put_string(json, "nonce", record->nonce) ||
        json_put_string(json, "author", record->author) ||
        json_put_string(json, "reason", record->reason) ||
        json_put(json, "ops", ops_encode(record)) || seal_write(json, out))
        return err_sys(err, -ENOMEM, "encoding a record");
    if (out->len - before > RECORD_JSON_MAX) {
        size_t len = out->len - before;
        out->len = before;
        return err_set(err, -E2BIG,
                       "record: expected at most %d bytes, found %zu; use fewer "
                       "operations",
                       RECORD_JSON_MAX, len);
    }
    return 0;
}

static int ops_decode(struct json_at at, struct record *out, struct err *err)
{
    const json_t *ops = NULL;
    int ret = json_get_array(at, "ops", RECORD_OPS_MAX, &ops, err);
    if (ret)
        return ret;
    size_t n = json_array_size(ops);
    out->ops = calloc(n ? n : 1, sizeof *out->ops);
    if (!out->ops)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < n; i++) {
        const json_t *op = json_array_get(ops, i);
        if (!json_is_object(op))
            return err_set(err, -EBADMSG, "%s: operation %zu: expected an object", at.name, i + 1);
        ret = op_decode((struct json_at){op, at.name}, &out->ops[i], err);
        if (ret)
            return ret;
    }
    out->n_ops = n;
    return 0;
}

static int text_decode(struct json_at at, const char *key, char **out, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, key, RECORD_TEXT_MAX, &text, err);
    if (ret)
        return ret;
    *out = strdup(text);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at.name);
}

static int members_decode(struct json_at at, struct record *out, struct err *err)
{
    uint64_t time_ns = 0;
    const char *nonce = NULL;
    int ret = json_get_u64(at, "seq", RECORD_SEQ_MAX, &out->seq, err);
    if (!ret)
        ret = json_get_u64(at, "time_ns", INT64_MAX, &time_ns, err);
    if (!ret)
        ret = json_get_string(at, "nonce", RECORD_NONCE_LEN, &nonce, err);
    if (ret)
        return ret;
    out->time_ns = (int64_t)time_ns;
    strcpy(out->nonce, nonce);
    ret = text_decode(at, "author", &out->author, err);
    if (!ret)
        ret = text_decode(at, "reason", &out->reason, err);
    if (!ret)
        ret = ops_decode(at, out, err);
    if (ret)
        return ret;
    if (json_object_size(at.object) != N_MEMBERS)
        return err_set(err, -EBADMSG, "%s: expected %d members, found %zu", at.name, N_MEMBERS,
                       json_object_size(at.object));
    return record_check(out, err) ? err_wrap(err, -EBADMSG, "%s", at.name) : 0;
}

int record_decode(const void *text, size_t len, const char *name, struct record *out,
                  struct err *err)
{
    if (len > RECORD_JSON_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       RECORD_JSON_MAX, len);
    scope_json json_t *json = NULL;
    int ret = seal_parse(text, len, name, &json, err);
    if (ret)
        return ret;
    ret = json_check_format(json, name, RECORD_FORMAT, err);
    if (ret)
        return ret;
    struct record record = {0};
    ret = members_decode((struct json_at){json, name}, &record, err);
    if (ret) {
        record_release(&record);
        return ret;
    }
    *out = record;
    return 0;
}
