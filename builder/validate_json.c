/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validate_json.h"

#include "base/scope.h"
#include "builder/members.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMAND_MAX = 64 << 10 };

/* ---- numbers of which a negative one is no limit ---- */

#define AT(field) offsetof(struct validate_limits, field)

static const struct limit {
    const char *section; /* as in struct member_at */
    const char *name;
    double max; /* 0: any */
    const char *expected;
    size_t offset;
} limits_known[] = {
    {"rows_change.", "max_pct", 0, "a percentage, not negative", AT(max_change_pct)},
    {"duplicates.", "max_pct", 100, "a percentage from 0 to 100", AT(max_duplicates_pct)},
    {"not_finite.", "max_pct", 100, "a percentage from 0 to 100", AT(max_not_finite_pct)},
    {"empty_values.", "max_pct", 100, "a percentage from 0 to 100", AT(max_empty_pct)},
    {"bad_rows.", "max_pct", 100, "a percentage from 0 to 100", AT(max_bad_rows_pct)},
    {"norm_drift.", "max", 1, "a distance from 0 to 1", AT(max_norm_drift)},
};

enum { N_LIMITS = sizeof limits_known / sizeof *limits_known };

static const struct limit *limit_of(const struct member_at *at)
{
    size_t i = 0;
    while (i < N_LIMITS - 1 && (strcmp(limits_known[i].section, at->section) != 0 ||
                                strcmp(limits_known[i].name, at->name) != 0))
        i++;
    return &limits_known[i];
}

static int decode_limit(const struct member_at *at, const json_t *value, void *object,
                        struct err *err)
{
    const struct limit *limit = limit_of(at);
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || (limit->max > 0 && number > limit->max))
        return member_fault(at, value, err, "%s", limit->expected);
    *(double *)(void *)((char *)object + limit->offset) = number + 0.0; /* -0 becomes 0 */
    return 0;
}

static int encode_limit(const struct member_at *at, const void *object, json_t **out,
                        struct err *err)
{
    double number = *(const double *)(const void *)((const char *)object + limit_of(at)->offset);
    if (number < 0)
        return 0;
    *out = json_real(number);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at->document);
}

/* ---- the rest ---- */

/* Written also when it is 0: that is not the default. */
static int decode_rows(const struct member_at *at, const json_t *value, void *object,
                       struct err *err)
{
    struct validate_limits *limits = object;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return member_fault(at, value, err, "a whole number, not negative");
    limits->min_rows = (uint64_t)json_integer_value(value);
    return 0;
}

static int encode_rows(const struct member_at *at, const void *object, json_t **out,
                       struct err *err)
{
    const struct validate_limits *limits = object;
    if (limits->min_rows > INT64_MAX)
        return err_set(err, -EINVAL, "%s: %s%s: expected at most %lld, found %llu", at->document,
                       at->section, at->name, (long long)INT64_MAX,
                       (unsigned long long)limits->min_rows);
    *out = json_integer((json_int_t)limits->min_rows);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at->document);
}

static int decode_commands(const struct member_at *at, const json_t *value, void *object,
                           struct err *err)
{
    struct validate_limits *limits = object;
    scope_free const char **words = NULL;
    size_t n = 0;
    int ret = member_list(at, value, VALIDATE_COMMANDS_MAX, COMMAND_MAX, &words, &n, err);
    if (ret)
        return ret;
    memcpy(limits->commands, words, n * sizeof *words);
    limits->n_commands = n;
    return 0;
}

static int encode_commands(const struct member_at *at, const void *object, json_t **out,
                           struct err *err)
{
    const struct validate_limits *limits = object;
    if (!limits->n_commands)
        return 0;
    return member_put_list(at, limits->commands, limits->n_commands, out, err);
}

/* ---- the tables ---- */

#define LIMIT(limit_name)                                                                          \
    {                                                                                              \
        .name = (limit_name), .kind = MEMBER_OWN, .decode = decode_limit, .encode = encode_limit   \
    }

static const struct member rows_min[] = {
    {.name = "min", .kind = MEMBER_OWN, .decode = decode_rows, .encode = encode_rows},
};
static const struct member one_pct[] = {LIMIT("max_pct")};
static const struct member norm_drift[] = {LIMIT("max")};
static const struct member not_finite[] = {
    {.name = "max", .kind = MEMBER_U64, .offset = AT(max_not_finite), .max = INT64_MAX},
    LIMIT("max_pct"),
};
static const struct member schema_change[] = {
    {.name = "allow", .kind = MEMBER_BOOL, .offset = AT(allow_schema_change)},
};
static const struct member commands[] = {
    {.name = "command", .kind = MEMBER_OWN, .decode = decode_commands, .encode = encode_commands},
};
static const struct member command_timeout[] = {
    {.name = "command_timeout", .kind = MEMBER_DURATION, .offset = AT(command_timeout_ns)},
};

static const struct member_table tables[] = {
    {"rows_min.", rows_min, 1},
    {"rows_change.", one_pct, 1},
    {"duplicates.", one_pct, 1},
    {"not_finite.", not_finite, 2},
    {"empty_values.", one_pct, 1},
    {"bad_rows.", one_pct, 1},
    {"norm_drift.", norm_drift, 1},
    {"schema_change.", schema_change, 1},
    {"", commands, 1},
    {"", command_timeout, 1},
};
static const struct member_book book = {tables, sizeof tables / sizeof *tables};

/* As many sections; what stands behind them stands alone. */
enum { N_SECTIONS = 8, N_TABLES = sizeof tables / sizeof *tables };

static bool is_table(size_t i, const char *name)
{
    size_t len = strcspn(tables[i].section, ".");
    if (i >= N_SECTIONS)
        return !strcmp(tables[i].members[0].name, name);
    return strlen(name) == len && !strncmp(tables[i].section, name, len);
}

static int decode_one(size_t i, const char *name, const json_t *value, const char *document,
                      struct validate_limits *out, struct err *err)
{
    if (i < N_SECTIONS)
        return members_decode(&book, i, value, document, out, err);
    scope_json json_t *alone = json_object();
    if (!alone || json_object_set(alone, name, (json_t *)(uintptr_t)value))
        return err_sys(err, -ENOMEM, "%s", document);
    return members_decode(&book, i, alone, document, out, err);
}

int validate_limits_decode(struct json_at at, struct validate_limits *out, struct err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    if (!json_is_object(at.object))
        return err_set(err, -EBADMSG, "%s: expected a section", at.name);
    json_object_foreach((json_t *)(uintptr_t)at.object, name, value)
    {
        size_t i = 0;
        while (i < N_TABLES && !is_table(i, name))
            i++;
        if (i == N_TABLES)
            return err_set(err, -EBADMSG, "%s: %.40s: no such validator", at.name, name);
        int ret = decode_one(i, name, value, at.name, out, err);
        if (ret)
            return ret;
    }
    return out->command_timeout_ns > 0
               ? 0
               : err_set(err, -EBADMSG, "%s: command_timeout: expected more than 0", at.name);
}

int validate_limits_encode(const struct validate_limits *limits, json_t **out)
{
    scope_json json_t *json = json_object();
    for (size_t i = 0; json && i < N_TABLES; i++) {
        scope_json json_t *section = NULL;
        if (tables[i].members == command_timeout && !limits->n_commands)
            continue;
        int ret = members_encode(&tables[i], "validators", limits, &section, NULL);
        if (ret)
            return ret;
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(tables[i].section, "."),
                 tables[i].section);
        if (i >= N_SECTIONS ? json_object_update(json, section)
                            : json_object_size(section) && json_object_set(json, name, section))
            return -ENOMEM;
    }
    *out = json_incref(json);
    return json ? 0 : -ENOMEM;
}
