/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/members.h"

#include "base/quantity.h"
#include "base/utf8.h"
#include "builder/spelling.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOUND_MAX = 64, EXPECTED_MAX = 256 };

/* A string on one line, cut after some characters. */
static void found_string(const char *text, char out[FOUND_MAX])
{
    size_t n = 0;
    out[n++] = '"';
    while (*text && n < FOUND_MAX - 8) {
        size_t len = utf8_len(text, strlen(text));
        if (len == 0 || utf8_is_control(text, len)) {
            out[n++] = '?';
        } else {
            memcpy(out + n, text, len);
            n += len;
        }
        text += len ? len : 1;
    }
    snprintf(out + n, FOUND_MAX - n, "%s\"", *text ? "…" : "");
}

static void found_text(const json_t *json, char out[FOUND_MAX])
{
    if (json_is_string(json))
        found_string(json_string_value(json), out);
    else if (json_is_integer(json))
        snprintf(out, FOUND_MAX, "%lld", (long long)json_integer_value(json));
    else if (json_is_real(json))
        snprintf(out, FOUND_MAX, "%g", json_real_value(json));
    else if (json_is_boolean(json))
        snprintf(out, FOUND_MAX, "%s", json_is_true(json) ? "true" : "false");
    else
        snprintf(out, FOUND_MAX, "%s",
                 json_is_object(json)  ? "a section"
                 : json_is_array(json) ? "a list"
                                       : "null");
}

int member_fault(const struct member_at *at, const json_t *found, struct err *err,
                 const char *expected, ...)
{
    char what[EXPECTED_MAX], text[FOUND_MAX];
    va_list args;
    va_start(args, expected);
    vsnprintf(what, sizeof what, expected, args);
    va_end(args);
    found_text(found, text);
    return err_set(err, -EBADMSG, "%s: %s%s: expected %s, found %s", at->document, at->section,
                   at->name, what, text);
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(text + i, len - i);
        if (n == 0 || utf8_is_control(text + i, n))
            return true;
        i += n;
    }
    return false;
}

int member_text(const struct member_at *at, const json_t *value, size_t max, bool is_line,
                const char **out, struct err *err)
{
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len < 1 || len > max)
        return member_fault(at, value, err, "a text of 1 to %zu bytes", max);
    if (is_line && has_control(json_string_value(value), len))
        return member_fault(at, value, err, "one line without control characters");
    *out = json_string_value(value);
    return 0;
}

int member_word(const struct member_at *at, const json_t *value, const char *const *words, int *out,
                struct err *err)
{
    char list[EXPECTED_MAX] = "";
    size_t len = 0;
    for (int i = 0; words[i]; i++) {
        if (json_is_string(value) && !strcmp(json_string_value(value), words[i])) {
            *out = i;
            return 0;
        }
        len += (size_t)snprintf(list + len, sizeof list - len, "%s\"%s\"",
                                !i             ? ""
                                : words[i + 1] ? ", "
                                               : " or ",
                                words[i]);
        len = len < sizeof list ? len : sizeof list - 1;
    }
    return member_fault(at, value, err, "%s", list);
}

int member_list(const struct member_at *at, const json_t *value, size_t max_count, size_t max_len,
                const char ***out, size_t *n, struct err *err)
{
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > max_count)
        return member_fault(at, value, err, "a list of at most %zu texts", max_count);
    const char **words = calloc(count + 1, sizeof *words);
    if (!words)
        return err_sys(err, -ENOMEM, "%s", at->document);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s[%zu]", at->name, i);
        struct member_at entry = {at->document, at->section, name};
        int ret = member_text(&entry, json_array_get(value, i), max_len, false, &words[i], err);
        if (ret) {
            free(words);
            return ret;
        }
    }
    *out = words;
    *n = count;
    return 0;
}

static int decode_number(const struct member *member, const struct member_at *at,
                         const json_t *value, uint64_t *out, struct err *err)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number < member->min ||
        (uint64_t)number > member->max)
        return member_fault(at, value, err, "a whole number from %llu to %llu",
                            (unsigned long long)member->min, (unsigned long long)member->max);
    *out = (uint64_t)number;
    return 0;
}

static int decode_size(const struct member *member, const struct member_at *at, const json_t *value,
                       uint64_t *out, struct err *err)
{
    uint64_t bytes = 0;
    bool is_good = json_is_integer(value) && json_integer_value(value) >= 0;
    if (is_good)
        bytes = (uint64_t)json_integer_value(value);
    else if (json_is_string(value))
        is_good = !quantity_size(json_string_value(value), &bytes);
    if (!is_good)
        return member_fault(at, value, err, "bytes, as a number or like \"512M\" or \"2G\"");
    if (bytes < member->min || bytes > member->max)
        return member_fault(at, value, err, "%llu to %llu bytes", (unsigned long long)member->min,
                            (unsigned long long)member->max);
    *out = bytes;
    return 0;
}

static int decode_duration(const struct member_at *at, const json_t *value, int64_t *out,
                           struct err *err)
{
    enum { SECOND_NS = 1000000000 };
    json_int_t seconds = json_integer_value(value);
    if (json_is_integer(value) && seconds >= 0 && seconds <= INT64_MAX / SECOND_NS) {
        *out = seconds * SECOND_NS;
        return 0;
    }
    if (json_is_string(value) && !quantity_duration_ns(json_string_value(value), out))
        return 0;
    return member_fault(at, value, err, "seconds, or a time like \"500ms\", \"10m\" or \"2h\"");
}

static int decode_real(const struct member_at *at, const json_t *value, double *out,
                       struct err *err)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || !isfinite(number))
        return member_fault(at, value, err, "a number, not negative");
    *out = number + 0.0; /* -0 becomes 0 */
    return 0;
}

static int decode_bool(const struct member_at *at, const json_t *value, bool *out, struct err *err)
{
    if (!json_is_boolean(value))
        return member_fault(at, value, err, "true or false");
    *out = json_is_true(value);
    return 0;
}

static int decode_member(const struct member *member, const struct member_at *at,
                         const json_t *value, void *object, struct err *err)
{
    void *field = (char *)object + member->offset;
    uint64_t number = 0;
    int word = 0;
    int ret = 0;
    switch (member->kind) {
    case MEMBER_BOOL:
        return decode_bool(at, value, field, err);
    case MEMBER_U32:
        ret = decode_number(member, at, value, &number, err);
        if (!ret)
            *(uint32_t *)field = (uint32_t)number;
        return ret;
    case MEMBER_U64:
        return decode_number(member, at, value, field, err);
    case MEMBER_SIZE:
        return decode_size(member, at, value, field, err);
    case MEMBER_DURATION:
        return decode_duration(at, value, field, err);
    case MEMBER_REAL:
        return decode_real(at, value, field, err);
    case MEMBER_TEXT:
        return member_text(at, value, member->max, true, field, err);
    case MEMBER_WORD:
        ret = member_word(at, value, member->words, &word, err);
        if (!ret)
            memcpy(field, &word, sizeof word);
        return ret;
    case MEMBER_OWN:
        return member->decode(at, value, object, err);
    }
    return 0;
}

static bool is_known(const struct member_table *table, const char *name)
{
    for (size_t i = 0; i < table->n; i++) {
        if (!strcmp(table->members[i].name, name))
            return true;
    }
    return false;
}

/* The member of any section that the unknown one may have been meant for. Its own section is asked first. */
static int unknown(const struct member_book *book, size_t which, const char *name,
                   const char *document, struct err *err)
{
    const struct member_table *table = &book->tables[which];
    const struct member_table *near_table = table;
    const char *near = NULL;
    size_t least = SPELLING_FAR;
    for (size_t t = 0; t < book->n; t++) {
        const struct member_table *other = &book->tables[(which + t) % book->n];
        for (size_t i = 0; i < other->n; i++) {
            size_t far = spelling_distance(name, other->members[i].name);
            if (far >= least)
                continue;
            least = far;
            near = other->members[i].name;
            near_table = other;
        }
    }
    char quoted[FOUND_MAX];
    found_string(name, quoted);
    int len = (int)strlen(quoted) - 2;
    const char *found = quoted + 1; /* without the quotes */
    if (near)
        return err_set(err, -EBADMSG, "%s: %s%.*s: no such member; did you mean %s%s%s?", document,
                       table->section, len, found, near_table->section, near,
                       near_table != table && !near_table->section[0]
                           ? ", which stands before the first section"
                           : "");
    char list[ERR_TEXT_MAX - 160] = "";
    size_t end = 0;
    for (size_t i = 0; i < table->n && end < sizeof list; i++)
        end += (size_t)snprintf(list + end, sizeof list - end, "%s%s", i ? ", " : "",
                                table->members[i].name);
    return err_set(err, -EBADMSG, "%s: %s%.*s: no such member; expected one of %s", document,
                   table->section, len, found, list);
}

/* "schema" of "schema." */
static int no_section(const struct member_table *table, const json_t *json, const char *document,
                      struct err *err)
{
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(table->section, "."), table->section);
    struct member_at at = {document, "", name[0] ? name : "the document"};
    return member_fault(&at, json, err, "a section");
}

int members_decode(const struct member_book *book, size_t which, const json_t *json,
                   const char *document, void *object, struct err *err)
{
    const struct member_table *table = &book->tables[which];
    const char *name = NULL;
    json_t *value = NULL;
    if (!json_is_object(json))
        return no_section(table, json, document, err);
    /* The iterator does not change the object; Jansson's type does not say so. */
    json_object_foreach((json_t *)json, name, value)
    {
        if (!is_known(table, name))
            return unknown(book, which, name, document, err);
    }
    for (size_t i = 0; i < table->n; i++) {
        const struct member *member = &table->members[i];
        struct member_at at = {document, table->section, member->name};
        value = json_object_get(json, member->name);
        int ret = value ? decode_member(member, &at, value, object, err) : 0;
        if (ret)
            return ret;
    }
    return 0;
}

/* ---- writing ---- */

static int no_memory(const char *document, struct err *err)
{
    return err_sys(err, -ENOMEM, "%s", document);
}

static int put(const struct member_at *at, json_t *value, json_t **out, struct err *err)
{
    *out = value;
    return value ? 0 : no_memory(at->document, err);
}

int member_put_text(const struct member_at *at, const char *text, json_t **out, struct err *err)
{
    if (!utf8_is_text(text, strlen(text)))
        return err_set(err, -EINVAL, "%s: %s%s: expected UTF-8, found other bytes", at->document,
                       at->section, at->name);
    return put(at, json_string(text), out, err);
}

int member_put_list(const struct member_at *at, const char *const *words, size_t n, json_t **out,
                    struct err *err)
{
    scope_json json_t *list = json_array();
    if (!list)
        return no_memory(at->document, err);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        json_t *text = NULL;
        snprintf(name, sizeof name, "%s[%zu]", at->name, i);
        struct member_at entry = {at->document, at->section, name};
        int ret = member_put_text(&entry, words[i], &text, err);
        if (!ret && json_append(list, text))
            ret = no_memory(at->document, err);
        if (ret)
            return ret;
    }
    *out = json_incref(list);
    return 0;
}

/* In whole seconds when it is so many, else to the nanosecond, so that it is read again exactly. */
static json_t *duration_json(int64_t ns)
{
    enum { SECOND_NS = 1000000000 };
    return ns % SECOND_NS ? json_sprintf("%lldns", (long long)ns) : json_integer(ns / SECOND_NS);
}

static int put_number(const struct member_at *at, uint64_t number, json_t **out, struct err *err)
{
    if (number > INT64_MAX)
        return err_set(err, -EINVAL, "%s: %s%s: expected at most %lld, found %llu", at->document,
                       at->section, at->name, (long long)INT64_MAX, (unsigned long long)number);
    return number ? put(at, json_integer((json_int_t)number), out, err) : 0;
}

static int encode_member(const struct member *member, const struct member_at *at,
                         const void *object, json_t **out, struct err *err)
{
    const void *field = (const char *)object + member->offset;
    const char *text = NULL;
    int word = 0;
    switch (member->kind) {
    case MEMBER_BOOL:
        return *(const bool *)field ? put(at, json_true(), out, err) : 0;
    case MEMBER_U32:
        return put_number(at, *(const uint32_t *)field, out, err);
    case MEMBER_U64:
    case MEMBER_SIZE:
        return put_number(at, *(const uint64_t *)field, out, err);
    case MEMBER_DURATION:
        return put(at, duration_json(*(const int64_t *)field), out, err);
    case MEMBER_REAL:
        return *(const double *)field > 0 ? put(at, json_real(*(const double *)field), out, err)
                                          : 0;
    case MEMBER_TEXT:
        text = *(const char *const *)field;
        return text && text[0] ? member_put_text(at, text, out, err) : 0;
    case MEMBER_WORD:
        memcpy(&word, field, sizeof word);
        return member_put_text(at, member->words[word], out, err);
    case MEMBER_OWN:
        return member->encode(at, object, out, err);
    }
    return 0;
}

int members_encode(const struct member_table *table, const char *document, const void *object,
                   json_t **out, struct err *err)
{
    scope_json json_t *json = json_object();
    if (!json)
        return no_memory(document, err);
    for (size_t i = 0; i < table->n; i++) {
        const struct member *member = &table->members[i];
        struct member_at at = {document, table->section, member->name};
        json_t *value = NULL;
        int ret = encode_member(member, &at, object, &value, err);
        if (!ret && value && json_put(json, member->name, value))
            ret = no_memory(document, err);
        if (ret)
            return ret;
    }
    *out = json_incref(json);
    return 0;
}
