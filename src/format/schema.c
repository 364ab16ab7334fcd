/* SPDX-License-Identifier: Apache-2.0 */
#include "format/schema.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *key_type_name(enum key_type type)
{
    switch (type) {
    case KEY_U64:
        return "u64";
    case KEY_BYTES:
        return "bytes";
    }
    return "unknown";
}

int key_type_from_name(const char *name, enum key_type *out, struct err *err)
{
    if (strcmp(name, "u64") == 0)
        *out = KEY_U64;
    else if (strcmp(name, "bytes") == 0)
        *out = KEY_BYTES;
    else
        return err_set(err, -EINVAL, "key type: expected u64 or bytes, found \"%.40s\"", name);
    return 0;
}

static const char *const kind_names[] = {
    [KIND_MEM] = "mem", [KIND_BLK] = "blk", [KIND_IDX] = "idx"};
enum { KIND_MAX = sizeof kind_names / sizeof kind_names[0] - 1 };

static bool kind_is_known(enum table_kind kind)
{
    return (int)kind >= KIND_MEM && (int)kind <= KIND_MAX;
}

const char *table_kind_name(enum table_kind kind)
{
    return kind_is_known(kind) ? kind_names[kind] : "unknown";
}

int table_kind_from_name(const char *name, enum table_kind *out, struct err *err)
{
    for (int kind = KIND_MEM; kind <= KIND_MAX; kind++) {
        if (strcmp(name, kind_names[kind]) == 0) {
            *out = (enum table_kind)kind;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "table kind: expected mem, blk or idx, found \"%.40s\"", name);
}

/* The number within "[...]" at the end of text: plain digits, 1 to max; 0 when it is anything
 * else. */
static uint32_t bracketed(const char *text, uint32_t max)
{
    uint64_t n = 0;
    size_t i = 1;
    if (text[0] != '[' || text[1] == '0')
        return 0;
    for (; text[i] >= '0' && text[i] <= '9' && n <= max; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    return n <= max && text[i] == ']' && text[i + 1] == '\0' ? (uint32_t)n : 0;
}

int schema_set_value(struct schema *schema, const char *text, struct err *err)
{
    char name[8] = {0};
    size_t name_len = strcspn(text, "[");
    enum elem elem = ELEM_NONE;
    uint32_t n = 0;

    if (name_len < sizeof name)
        memcpy(name, text, name_len);
    if (name_len >= sizeof name || elem_from_name(name, &elem))
        goto unknown;
    if (text[name_len]) {
        n = bracketed(text + name_len, elem == ELEM_NONE ? VALUE_LEN_MAX : VECTOR_DIM_MAX);
        if (n == 0)
            goto unknown;
    } else if (elem != ELEM_NONE) {
        goto unknown;
    }
    schema->elem = elem;
    schema->dim = elem == ELEM_NONE ? 0 : n;
    schema->value_len = elem == ELEM_NONE ? n : (uint32_t)elem_vector_len(elem, n);
    return 0;
unknown:
    return err_set(err, -EINVAL,
                   "value type: expected bytes, bytes[N] with N from 1 to %d, or f32[D], f16[D], "
                   "bf16[D], i8[D] with D from 1 to %d, found \"%.40s\"",
                   VALUE_LEN_MAX, VECTOR_DIM_MAX, text);
}

void schema_value_text(const struct schema *schema, char out[VALUE_TEXT_MAX])
{
    uint32_t n = schema->elem == ELEM_NONE ? schema->value_len : schema->dim;
    const char *name = elem_name(schema->elem);
    if (n)
        snprintf(out, VALUE_TEXT_MAX, "%s[%u]", name ? name : "unknown", n);
    else
        snprintf(out, VALUE_TEXT_MAX, "%s", name ? name : "unknown");
}

/* User and group names go into messages and to the system's databases: keep to portable ones. */
static int owner_check(const char *what, const char name[OWNER_NAME_MAX + 1], struct err *err)
{
    size_t len = strnlen(name, OWNER_NAME_MAX + 1);
    if (len > OWNER_NAME_MAX)
        return err_set(err, -EINVAL, "schema: %s is longer than %d bytes", what, OWNER_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || (i > 0 && (c == '-' || c == '$'));
        if (!fine)
            return err_set(
                err, -EINVAL,
                "schema: %s: expected letters, digits, '_', '.', '-', found byte %u at %zu", what,
                (unsigned)(uint8_t)c, i);
    }
    return 0;
}

static int value_check(const struct schema *schema, struct err *err)
{
    if (schema->elem == ELEM_NONE) {
        if (schema->dim != 0)
            return err_set(err, -EINVAL, "schema: bytes values have no dimension, found %u",
                           schema->dim);
        if (schema->value_len > VALUE_LEN_MAX)
            return err_set(err, -EINVAL, "schema: a value of %u bytes is longer than %d",
                           schema->value_len, VALUE_LEN_MAX);
        return 0;
    }
    if (!elem_name(schema->elem))
        return err_set(err, -EINVAL, "schema: unknown element type %d", (int)schema->elem);
    if (schema->dim < 1 || schema->dim > VECTOR_DIM_MAX)
        return err_set(err, -EINVAL, "schema: expected a dimension of 1 to %d, found %u",
                       VECTOR_DIM_MAX, schema->dim);
    if (schema->value_len != elem_vector_len(schema->elem, schema->dim))
        return err_set(err, -EINVAL, "schema: a vector %s[%u] has %zu bytes, found %u",
                       elem_name(schema->elem), schema->dim,
                       elem_vector_len(schema->elem, schema->dim), schema->value_len);
    return 0;
}

int schema_check(const struct schema *schema, struct err *err)
{
    int ret = 0;
    if (!kind_is_known(schema->kind))
        return err_set(err, -EINVAL, "schema: unknown table kind %d", (int)schema->kind);
    if (schema->key_type != KEY_U64 && schema->key_type != KEY_BYTES)
        return err_set(err, -EINVAL, "schema: unknown key type %d", (int)schema->key_type);
    if ((ret = value_check(schema, err)))
        return ret;
    if (schema->n_shards < 1 || schema->n_shards > SHARDS_MAX)
        return err_set(err, -EINVAL, "schema: expected 1 to %d shards, found %u", SHARDS_MAX,
                       schema->n_shards);
    if (schema->mode > 0777)
        return err_set(err, -EINVAL, "schema: expected a mode within 0777, found 0%o",
                       schema->mode);
    if ((ret = owner_check("owner", schema->owner, err)))
        return ret;
    return owner_check("group", schema->group, err);
}

bool schema_same_shape(const struct schema *base, const struct schema *delta, struct err *err)
{
    char was[VALUE_TEXT_MAX];
    char is[VALUE_TEXT_MAX];
    schema_value_text(base, was);
    schema_value_text(delta, is);
    if (base->kind != delta->kind)
        err_set(err, -EINVAL, "schema: the base is of kind %s, the delta of %s",
                table_kind_name(base->kind), table_kind_name(delta->kind));
    else if (base->key_type != delta->key_type)
        err_set(err, -EINVAL, "schema: the base has %s keys, the delta %s",
                key_type_name(base->key_type), key_type_name(delta->key_type));
    else if (strcmp(was, is) != 0)
        err_set(err, -EINVAL, "schema: the base has values %s, the delta %s", was, is);
    else if (base->n_shards != delta->n_shards)
        err_set(err, -EINVAL, "schema: the base has %u shards, the delta %u", base->n_shards,
                delta->n_shards);
    else if (base->hash_seed != delta->hash_seed)
        err_set(err, -EINVAL, "schema: base and delta have different hash seeds");
    else
        return true;
    return false;
}

uint64_t schema_hash_u64(const struct schema *schema, uint64_t key)
{
    return hash_u64(key, schema->hash_seed);
}

uint64_t schema_hash_bytes(const struct schema *schema, const void *key, size_t len)
{
    return hash_bytes(key, len, schema->hash_seed);
}
