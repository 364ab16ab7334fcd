/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validate_json.h"

#include "builder/members.h"

#include <errno.h>

static int decode_pct(const struct member_at *at, const json_t *value, void *object,
                      struct err *err)
{
    struct validate_limits *limits = object;
    if (!json_is_number(value) || !(json_number_value(value) >= 0))
        return member_fault(at, value, err, "a percentage, not negative");
    limits->max_change_pct = json_number_value(value);
    return 0;
}

static int encode_pct(const struct member_at *at, const void *object, json_t **out, struct err *err)
{
    const struct validate_limits *limits = object;
    *out = json_real(limits->max_change_pct);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at->document);
}

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
    *out = json_integer((json_int_t)limits->min_rows);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at->document);
}

#define AT(field) offsetof(struct validate_limits, field)

/* Those whose default is not zero are always written. */
static const struct member rows_min[] = {
    {.name = "min", .kind = MEMBER_OWN, .decode = decode_rows, .encode = encode_rows},
};
static const struct member rows_change[] = {
    {.name = "max_pct", .kind = MEMBER_OWN, .decode = decode_pct, .encode = encode_pct},
};
static const struct member not_finite[] = {
    {.name = "max", .kind = MEMBER_U64, .offset = AT(max_not_finite), .max = INT64_MAX},
};
static const struct member schema_change[] = {
    {.name = "allow", .kind = MEMBER_BOOL, .offset = AT(allow_schema_change)},
};

static const struct member_table tables[] = {
    {"rows_min.", rows_min, 1},
    {"rows_change.", rows_change, 1},
    {"not_finite.", not_finite, 1},
    {"schema_change.", schema_change, 1},
};
static const char *const names[] = {"rows_min", "rows_change", "not_finite", "schema_change"};
static const struct member_book book = {tables, 4};

int validate_limits_decode(struct json_at at, struct validate_limits *out, struct err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    if (!json_is_object(at.object))
        return err_set(err, -EBADMSG, "%s: expected a section", at.name);
    json_object_foreach((json_t *)at.object, name, value)
    {
        size_t i = 0;
        while (i < 4 && strcmp(names[i], name) != 0)
            i++;
        if (i == 4)
            return err_set(err, -EBADMSG, "%s: %.40s: no such validator", at.name, name);
        int ret = members_decode(&book, i, value, at.name, out, err);
        if (ret)
            return ret;
    }
    return 0;
}

int validate_limits_encode(const struct validate_limits *limits, json_t **out)
{
    scope_json json_t *json = json_object();
    for (size_t i = 0; i < 4; i++) {
        json_t *section = NULL;
        if (!json || members_encode(&tables[i], "validators", limits, &section, NULL) ||
            (json_object_size(section) ? json_put(json, names[i], section)
                                       : (json_decref(section), 0)))
            return -ENOMEM;
    }
    *out = json_incref(json);
    return 0;
}
