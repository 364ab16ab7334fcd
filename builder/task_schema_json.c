/* SPDX-License-Identifier: Apache-2.0 */
/* Each member of the schema also says in struct schema_given that it was given: the rest is the table's. */
#include "builder/task_members.h"

#include "builder/task_spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEX64_LEN = 16 };

static int decode_kind(const struct member_at *at, const json_t *value, void *object,
                       struct err *err)
{
    static const char *const words[] = {"mem", "blk", "idx", NULL};
    struct job *job = &((struct task_spec *)object)->job;
    int word = 0;
    int ret = member_word(at, value, words, &word, err);
    if (ret)
        return ret;
    job->schema.kind = (enum table_kind)(KIND_MEM + word);
    job->given.kind = true;
    return 0;
}

static int encode_kind(const struct member_at *at, const void *object, json_t **out,
                       struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->given.kind ? member_put_text(at, table_kind_name(job->schema.kind), out, err) : 0;
}

static int decode_key(const struct member_at *at, const json_t *value, void *object,
                      struct err *err)
{
    static const char *const words[] = {"u64", "bytes", NULL};
    struct job *job = &((struct task_spec *)object)->job;
    int word = 0;
    int ret = member_word(at, value, words, &word, err);
    if (ret)
        return ret;
    job->schema.key_type = (enum key_type)(KEY_U64 + word);
    job->given.key = true;
    return 0;
}

static int encode_key(const struct member_at *at, const void *object, json_t **out, struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->given.key ? member_put_text(at, key_type_name(job->schema.key_type), out, err) : 0;
}

static int decode_value(const struct member_at *at, const json_t *value, void *object,
                        struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    if (!json_is_string(value) || schema_set_value(&job->schema, json_string_value(value), NULL))
        return member_fault(at, value, err,
                            "\"bytes\", \"bytes[N]\" of at most %d, or a vector like \"f32[64]\" "
                            "(f32, f16, bf16 or i8)",
                            (int)VALUE_LEN_MAX);
    job->given.value = true;
    return 0;
}

static int encode_value(const struct member_at *at, const void *object, json_t **out,
                        struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    char text[VALUE_TEXT_MAX];
    if (!job->given.value)
        return 0;
    schema_value_text(&job->schema, text);
    return member_put_text(at, text, out, err);
}

static int decode_shards(const struct member_at *at, const json_t *value, void *object,
                         struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > SHARDS_MAX)
        return member_fault(at, value, err, "a whole number from 1 to %d", (int)SHARDS_MAX);
    job->schema.n_shards = (uint32_t)n;
    job->given.shards = true;
    return 0;
}

static int encode_shards(const struct member_at *at, const void *object, json_t **out,
                         struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    if (!job->given.shards)
        return 0;
    *out = json_integer(job->schema.n_shards);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at->document);
}

static int owner_text(const struct member_at *at, const json_t *value, char out[OWNER_NAME_MAX + 1],
                      struct err *err)
{
    const char *text = NULL;
    int ret = member_text(at, value, OWNER_NAME_MAX, true, &text, err);
    if (!ret)
        snprintf(out, OWNER_NAME_MAX + 1, "%s", text);
    return ret;
}

static int decode_owner(const struct member_at *at, const json_t *value, void *object,
                        struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    int ret = owner_text(at, value, job->schema.owner, err);
    if (!ret)
        job->given.owner = true;
    return ret;
}

static int encode_owner(const struct member_at *at, const void *object, json_t **out,
                        struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->given.owner ? member_put_text(at, job->schema.owner, out, err) : 0;
}

static int decode_group(const struct member_at *at, const json_t *value, void *object,
                        struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    int ret = owner_text(at, value, job->schema.group, err);
    if (!ret)
        job->given.group = true;
    return ret;
}

static int encode_group(const struct member_at *at, const void *object, json_t **out,
                        struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->given.group ? member_put_text(at, job->schema.group, out, err) : 0;
}

static int decode_mode(const struct member_at *at, const json_t *value, void *object,
                       struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4)
        return member_fault(at, value, err, "permissions as a text like \"0444\"");
    job->schema.mode = (uint32_t)strtoul(text, NULL, 8);
    job->given.mode = true;
    return 0;
}

static int encode_mode(const struct member_at *at, const void *object, json_t **out,
                       struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    char text[8];
    if (!job->given.mode)
        return 0;
    snprintf(text, sizeof text, "0%03o", job->schema.mode & 0777);
    return member_put_text(at, text, out, err);
}

static int decode_hash_seed(const struct member_at *at, const json_t *value, void *object,
                            struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = strlen(text);
    if (len < 1 || len > HEX64_LEN || strspn(text, "0123456789abcdefABCDEF") != len)
        return member_fault(at, value, err, "a text of 1 to 16 hexadecimal digits");
    job->schema.hash_seed = strtoull(text, NULL, 16);
    job->given.seed = true;
    return 0;
}

static int encode_hash_seed(const struct member_at *at, const void *object, json_t **out,
                            struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    char text[HEX64_LEN + 1];
    if (!job->given.seed)
        return 0;
    snprintf(text, sizeof text, "%016llx", (unsigned long long)job->schema.hash_seed);
    return member_put_text(at, text, out, err);
}

#define OWN(member)                                                                                \
    {                                                                                              \
        .name = #member, .kind = MEMBER_OWN, .decode = decode_##member, .encode = encode_##member  \
    }

const struct member task_schema_members[TASK_SCHEMA_MEMBERS] = {
    OWN(kind), OWN(key), OWN(value), OWN(shards), OWN(hash_seed), OWN(owner), OWN(group), OWN(mode),
};
