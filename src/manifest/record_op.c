/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a record <-> its JSON object. Which members a kind has stands once, in `kinds`; encode, decode and check
 * all follow it. Every member of a kind must be there and no other may, so that two readers never
 * understand one record differently.
 */
#include "manifest/record_op.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    HAS_VERSION = 1 << 0,
    HAS_FROM = 1 << 1,
    HAS_BUILD = 1 << 2,  /* base, n_keys, len, digest */
    HAS_SWITCH = 1 << 3, /* effective_ns, force */
    HAS_KEEP = 1 << 4,
    HAS_PIN_NAME = 1 << 5,
    HAS_TAG_NAME = 1 << 6,
    HAS_CANARY = 1 << 7,
};

static const struct {
    const char *name;
    unsigned has;
    size_t n_members; /* with "op" and "table" */
} kinds[] = {
    [OP_PUBLISH] = {"publish", HAS_VERSION | HAS_BUILD, 7},
    [OP_ACTIVATE] = {"activate", HAS_VERSION | HAS_SWITCH, 5},
    [OP_ROLLBACK] = {"rollback", HAS_VERSION | HAS_FROM | HAS_SWITCH, 6},
    [OP_QUARANTINE] = {"quarantine", HAS_VERSION, 3},
    [OP_RELEASE] = {"release", HAS_VERSION, 3},
    [OP_PIN] = {"pin", HAS_VERSION | HAS_PIN_NAME | HAS_CANARY, 5},
    [OP_UNPIN] = {"unpin", HAS_PIN_NAME, 3},
    [OP_TAG] = {"tag", HAS_VERSION | HAS_TAG_NAME, 4},
    [OP_UNTAG] = {"untag", HAS_TAG_NAME, 3},
    [OP_RETIRE] = {"retire", HAS_VERSION, 3},
    [OP_FORGET] = {"forget", HAS_VERSION, 3},
    [OP_KEEP] = {"keep", HAS_KEEP, 3},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *op_kind_name(enum op_kind kind)
{
    return (unsigned)kind < N_KINDS ? kinds[kind].name : NULL;
}

static int number_check(const char *member, uint64_t n, uint64_t min, struct err *err)
{
    if (n >= min && n <= INT64_MAX)
        return 0;
    return err_set(err, -EINVAL, "member \"%s\": expected %llu to %lld, found %llu", member,
                   (unsigned long long)min, (long long)INT64_MAX, (unsigned long long)n);
}

static int build_check(const struct op *op, struct err *err)
{
    int ret = number_check("base", op->base, 0, err);
    if (!ret)
        ret = number_check("n_keys", op->n_keys, 0, err);
    return ret ? ret : number_check("len", op->len, 0, err);
}

int op_check(const struct op *op, struct err *err)
{
    if (!op_kind_name(op->kind))
        return err_set(err, -EINVAL, "operation: no kind has the number %d", (int)op->kind);
    unsigned has = kinds[op->kind].has;
    int ret = table_name_check(op->table, err);
    if (!ret && (has & HAS_VERSION))
        ret = number_check("version", op->version, 1, err);
    if (!ret && (has & HAS_FROM))
        ret = number_check("from", op->from, 1, err);
    if (!ret && (has & HAS_BUILD))
        ret = build_check(op, err);
    if (!ret && (has & HAS_SWITCH) && op->effective_ns < 0)
        ret = err_set(err, -EINVAL, "member \"effective_ns\": must not be negative");
    if (!ret && (has & HAS_KEEP) && op->keep > RECORD_KEEP_MAX)
        ret = err_set(err, -EINVAL, "member \"keep\": expected 0 to %d, found %u", RECORD_KEEP_MAX,
                      op->keep);
    if (!ret && (has & HAS_PIN_NAME))
        ret = pin_name_check(op->name, err);
    if (!ret && (has & HAS_TAG_NAME))
        ret = tag_name_check(op->name, err);
    return ret ? err_wrap(err, ret, "%s", op_kind_name(op->kind)) : 0;
}

static int build_encode(json_t *object, const struct op *op)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&op->digest, hex);
    if (json_put_u64(object, "base", op->base) || json_put_u64(object, "n_keys", op->n_keys) ||
        json_put_u64(object, "len", op->len) || json_put_string(object, "digest", hex))
        return -ENOMEM;
    return 0;
}

int op_encode(const struct op *op, json_t *object)
{
    unsigned has = kinds[op->kind].has;
    int ret = json_put_string(object, "op", kinds[op->kind].name);
    if (!ret)
        ret = json_put_string(object, "table", op->table);
    if (!ret && (has & HAS_VERSION))
        ret = json_put_u64(object, "version", op->version);
    if (!ret && (has & HAS_FROM))
        ret = json_put_u64(object, "from", op->from);
    if (!ret && (has & HAS_BUILD))
        ret = build_encode(object, op);
    if (!ret && (has & HAS_SWITCH))
        ret = json_put_u64(object, "effective_ns", (uint64_t)op->effective_ns);
    if (!ret && (has & HAS_SWITCH))
        ret = json_put_bool(object, "force", op->force);
    if (!ret && (has & HAS_KEEP))
        ret = json_put_u64(object, "keep", op->keep);
    if (!ret && (has & (HAS_PIN_NAME | HAS_TAG_NAME)))
        ret = json_put_string(object, "name", op->name);
    if (!ret && (has & HAS_CANARY))
        ret = json_put_bool(object, "canary", op->canary);
    return ret;
}

static int kind_decode(struct json_at at, enum op_kind *out, struct err *err)
{
    const char *name = NULL;
    int ret = json_get_string(at, "op", 32, &name, err);
    if (ret)
        return ret;
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            *out = (enum op_kind)i;
            return 0;
        }
    }
    return err_set(err, -EBADMSG, "%s: member \"op\": expected publish, activate, …, found \"%s\"",
                   at.name, name);
}

static int text_decode(struct json_at at, const char *key, char *out, size_t max, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, key, max, &text, err);
    if (!ret)
        strcpy(out, text);
    return ret;
}

static int build_decode(struct json_at at, struct op *op, struct err *err)
{
    int ret = json_get_u64(at, "base", INT64_MAX, &op->base, err);
    if (!ret)
        ret = json_get_u64(at, "n_keys", INT64_MAX, &op->n_keys, err);
    if (!ret)
        ret = json_get_u64(at, "len", INT64_MAX, &op->len, err);
    if (!ret)
        ret = json_get_digest(at, "digest", &op->digest, err);
    return ret;
}

static int switch_decode(struct json_at at, struct op *op, struct err *err)
{
    uint64_t ns = 0;
    int ret = json_get_u64(at, "effective_ns", INT64_MAX, &ns, err);
    if (!ret)
        ret = json_get_bool(at, "force", &op->force, err);
    op->effective_ns = (int64_t)ns;
    return ret;
}

int json_get_digest(struct json_at at, const char *key, struct digest *out, struct err *err)
{
    const char *hex = NULL;
    int ret = json_get_string(at, key, DIGEST_HEX_LEN, &hex, err);
    if (ret)
        return ret;
    if (digest_from_hex(hex, out))
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected %d hex digits, found \"%s\"",
                       at.name, key, DIGEST_HEX_LEN, hex);
    return 0;
}

int op_decode(struct json_at at, struct op *out, struct err *err)
{
    struct op op = {0};
    int ret = kind_decode(at, &op.kind, err);
    if (ret)
        return ret;
    unsigned has = kinds[op.kind].has;
    ret = text_decode(at, "table", op.table, TABLE_NAME_MAX, err);
    if (!ret && (has & HAS_VERSION))
        ret = json_get_u64(at, "version", INT64_MAX, &op.version, err);
    if (!ret && (has & HAS_FROM))
        ret = json_get_u64(at, "from", INT64_MAX, &op.from, err);
    if (!ret && (has & HAS_BUILD))
        ret = build_decode(at, &op, err);
    if (!ret && (has & HAS_SWITCH))
        ret = switch_decode(at, &op, err);
    if (!ret && (has & HAS_KEEP))
        ret = json_get_u32(at, "keep", RECORD_KEEP_MAX, &op.keep, err);
    if (!ret && (has & (HAS_PIN_NAME | HAS_TAG_NAME)))
        ret = text_decode(at, "name", op.name, NODE_NAME_MAX, err);
    if (!ret && (has & HAS_CANARY))
        ret = json_get_bool(at, "canary", &op.canary, err);
    if (ret)
        return ret;
    if (json_object_size(at.object) != kinds[op.kind].n_members)
        return err_set(err, -EBADMSG, "%s: %s: expected %zu members, found %zu", at.name,
                       kinds[op.kind].name, kinds[op.kind].n_members, json_object_size(at.object));
    if (op_check(&op, err))
        return err_wrap(err, -EBADMSG, "%s", at.name);
    *out = op;
    return 0;
}
