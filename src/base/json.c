/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int json_parse(const void *text, size_t len, const char *name, json_t **out, struct err *err)
{
    json_error_t error = {0};
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        /* Jansson says nothing at all when it could not even begin. */
        if (!error.text[0] || json_error_code(&error) == json_error_out_of_memory)
            return err_sys(err, -ENOMEM, "%s: reading JSON", name);
        return err_set(err, -EBADMSG,
                       "%s: expected a JSON object, found a fault at line %d, column %d: %s", name,
                       error.line, error.column, error.text);
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return err_set(err, -EBADMSG, "%s: expected a JSON object, found another value", name);
    }
    *out = json;
    return 0;
}

static const char *type_name(const json_t *json)
{
    if (!json)
        return "nothing";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

/* The member of that type, or NULL with err set. */
static const json_t *member(struct json_at at, const char *key, bool is_right, const json_t *value,
                            const char *expected, struct err *err)
{
    if (is_right)
        return value;
    err_set(err, -EBADMSG, "%s: member \"%s\": expected %s, found %s", at.name, key, expected,
            type_name(value));
    return NULL;
}

int json_get_u64(struct json_at at, const char *key, uint64_t max, uint64_t *out, struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_integer(value), value, "an integer", err))
        return -EBADMSG;
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number > max)
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected 0 to %llu, found %lld", at.name,
                       key, (unsigned long long)max, (long long)number);
    *out = (uint64_t)number;
    return 0;
}

int json_get_u32(struct json_at at, const char *key, uint32_t max, uint32_t *out, struct err *err)
{
    uint64_t wide = 0;
    int ret = json_get_u64(at, key, max, &wide, err);
    if (ret)
        return ret;
    *out = (uint32_t)wide;
    return 0;
}

int json_get_ns(struct json_at at, const char *key, int64_t *out, struct err *err)
{
    uint64_t ns = 0;
    int ret = json_get_u64(at, key, INT64_MAX, &ns, err);
    if (!ret)
        *out = (int64_t)ns;
    return ret;
}

int json_get_bool(struct json_at at, const char *key, bool *out, struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_boolean(value), value, "a boolean", err))
        return -EBADMSG;
    *out = json_is_true(value);
    return 0;
}

int json_get_string(struct json_at at, const char *key, size_t max_len, const char **out,
                    struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_string(value), value, "a string", err))
        return -EBADMSG;
    /* Jansson refuses an escaped NUL by default, so the text ends where the C string does. */
    size_t len = json_string_length(value);
    if (len > max_len)
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected at most %zu bytes, found %zu",
                       at.name, key, max_len, len);
    *out = json_string_value(value);
    return 0;
}

int json_get_array(struct json_at at, const char *key, size_t max_count, const json_t **out,
                   struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_array(value), value, "an array", err))
        return -EBADMSG;
    if (json_array_size(value) > max_count)
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected at most %zu entries, found %zu",
                       at.name, key, max_count, json_array_size(value));
    *out = value;
    return 0;
}

int json_get_object(struct json_at at, const char *key, const json_t **out, struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_object(value), value, "an object", err))
        return -EBADMSG;
    *out = value;
    return 0;
}

int json_get_double(struct json_at at, const char *key, double min, double max, double *out,
                    struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!member(at, key, json_is_number(value), value, "a number", err))
        return -EBADMSG;
    double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected %g to %g, found %g", at.name,
                       key, min, max, number);
    *out = number;
    return 0;
}

/* The names in a row, for people: "a, b, c". */
static void names_text(const char *const *names, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; names[i] && len + strlen(names[i]) + 3 < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "", names[i]);
}

int json_check_members(struct json_at at, const char *const *names, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at.object, key, value)
    {
        char known[256];
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (names[i])
            continue;
        names_text(names, known, sizeof known);
        return err_set(err, -EBADMSG, "%s: unknown member \"%.60s\"; expected one of: %s", at.name,
                       key, known);
    }
    return 0;
}

bool json_has(struct json_at at, const char *key)
{
    const json_t *value = json_object_get(at.object, key);
    return value && !json_is_null(value);
}

/* Jansson goes on after a key that could not be written, so a failure must stick: else the text lacks that key and
 * nothing says so. */
struct json_sink {
    struct buf *out;
    bool failed;
};

static int write_to_sink(const char *data, size_t len, void *context)
{
    struct json_sink *sink = context;
    sink->failed = sink->failed || buf_add(sink->out, data, len);
    return sink->failed ? -1 : 0;
}

int json_write(const json_t *json, bool pretty, struct buf *out)
{
    size_t before = out->len;
    size_t flags = JSON_PRESERVE_ORDER | (pretty ? JSON_INDENT(2) : JSON_COMPACT);
    struct json_sink sink = {.out = out};
    if (json_dump_callback(json, write_to_sink, &sink, flags) || sink.failed ||
        buf_add_byte(out, '\n')) {
        out->len = before;
        return -ENOMEM;
    }
    return 0;
}

int json_put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

int json_put_u64(json_t *object, const char *key, uint64_t value)
{
    return json_put(object, key, json_integer((json_int_t)value));
}

int json_put_string(json_t *object, const char *key, const char *value)
{
    return json_put(object, key, json_string(value));
}

int json_put_bool(json_t *object, const char *key, bool value)
{
    return json_put(object, key, json_boolean(value));
}

int json_put_double(json_t *object, const char *key, double value)
{
    return json_put(object, key, json_real(value));
}

int json_append(json_t *array, json_t *value)
{
    return json_array_append_new(array, value) ? -ENOMEM : 0;
}
