/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validation.h"

#include "base/scope.h"
#include "base/utf8.h"
#include "builder/figures_json.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALIDATION_FORMAT = 1 };

/* ---- encode ---- */

/* A sentence may have been cut within a character, and commands' words may be anything. */
static json_t *sentence_encode(const char *text)
{
    size_t len = 0;
    size_t size = strlen(text);
    while (len < size) {
        size_t n = utf8_len(text + len, size - len);
        if (!n)
            break;
        len += n;
    }
    return json_stringn(text, len);
}

static json_t *number_encode(bool has, double value)
{
    return has ? json_real(value) : json_null();
}

static json_t *finding_encode(const struct validate_finding *finding)
{
    json_t *out = json_object();
    if (json_put_string(out, "name", finding->name) ||
        json_put_string(out, "verdict", validate_verdict_name(finding->verdict)) ||
        json_put(out, "figure", number_encode(finding->has_figure, finding->figure)) ||
        json_put(out, "limit", number_encode(finding->has_limit, finding->limit)) ||
        json_put(out, "sentence", sentence_encode(finding->text))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *validation_findings_encode(const struct validate_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < report->n_findings; i++) {
        if (json_append(list, finding_encode(&report->findings[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *validation_encode(const struct validation *v)
{
    const struct validate_report *report = &v->report;
    json_t *out = json_object();
    if (json_put_u64(out, "format", VALIDATION_FORMAT) || json_put_string(out, "table", v->table) ||
        json_put_string(out, "task", v->task) || json_put_bool(out, "passed", report->passed) ||
        json_put_u64(out, "time_ns", (uint64_t)v->time_ns) ||
        json_put_string(out, "author", v->author) ||
        json_put(out, "validators", validation_findings_encode(report)) ||
        json_put(out, "figures",
                 report->has_figures ? figures_encode(&report->figures) : json_null())) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* ---- decode ---- */

static int string_decode(struct json_at at, const char *key, char *out, size_t cap, struct err *err)
{
    const char *text = NULL;
    struct err why = {0};
    int ret = json_get_string(at, key, cap - 1, &text, err);
    if (!ret && text_check(key, text, cap - 1, &why))
        ret = err_set(err, -EBADMSG, "%s: %s", at.name, why.text);
    if (!ret)
        snprintf(out, cap, "%s", text);
    return ret;
}

static int number_decode(struct json_at at, const char *key, bool *has, double *out,
                         struct err *err)
{
    *has = json_has(at, key);
    return *has ? json_get_double(at, key, -DBL_MAX, DBL_MAX, out, err) : 0;
}

static int verdict_decode(struct json_at at, enum validate_verdict *out, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, "verdict", 16, &text, err);
    if (ret)
        return ret;
    for (int i = VALIDATE_PASSED; i <= VALIDATE_FAILED; i++) {
        if (strcmp(text, validate_verdict_name((enum validate_verdict)i)) != 0)
            continue;
        *out = (enum validate_verdict)i;
        return 0;
    }
    return err_set(err, -EBADMSG,
                   "%s: member \"verdict\": expected passed, skipped or failed, found another word",
                   at.name);
}

static int finding_decode(struct json_at at, struct validate_finding *out, struct err *err)
{
    static const char *const members[] = {"name", "verdict", "figure", "limit", "sentence", NULL};
    if (!json_is_object(at.object))
        return err_set(err, -EBADMSG, "%s: member \"validators\": expected objects", at.name);
    int ret = json_check_members(at, members, err);
    if (!ret)
        ret = string_decode(at, "name", out->name, sizeof out->name, err);
    if (!ret)
        ret = verdict_decode(at, &out->verdict, err);
    if (!ret)
        ret = number_decode(at, "figure", &out->has_figure, &out->figure, err);
    if (!ret)
        ret = number_decode(at, "limit", &out->has_limit, &out->limit, err);
    if (!ret)
        ret = string_decode(at, "sentence", out->text, sizeof out->text, err);
    return ret;
}

static int report_decode(struct json_at at, struct validate_report *out, struct err *err)
{
    const json_t *list = NULL;
    bool passed = true;
    int ret = json_get_bool(at, "passed", &out->passed, err);
    if (!ret)
        ret = json_get_array(at, "validators", VALIDATE_FINDINGS_MAX, &list, err);
    for (size_t i = 0; !ret && i < json_array_size(list); i++) {
        struct validate_finding *finding = &out->findings[out->n_findings++];
        ret = finding_decode((struct json_at){json_array_get(list, i), at.name}, finding, err);
        passed = passed && finding->verdict != VALIDATE_FAILED;
    }
    if (!ret && passed != out->passed)
        ret = err_set(err, -EBADMSG, "%s: member \"passed\": expected what the validators say",
                      at.name);
    out->has_figures = !ret && json_has(at, "figures");
    if (!out->has_figures)
        return ret;
    struct json_at figures = {.name = at.name};
    ret = json_get_object(at, "figures", &figures.object, err);
    return ret ? ret : figures_decode(figures, &out->figures, err);
}

static int object_decode(struct json_at at, struct validation *out, struct err *err)
{
    static const char *const members[] = {"format", "table",      "task",    "passed", "time_ns",
                                          "author", "validators", "figures", NULL};
    uint64_t format = 0;
    int ret = json_get_u64(at, "format", INT64_MAX, &format, err);
    if (!ret && format > VALIDATION_FORMAT)
        ret = err_set(err, -ENOTSUP, "%s: expected format %d, found %llu: newer than this program",
                      at.name, VALIDATION_FORMAT, (unsigned long long)format);
    if (!ret)
        ret = json_check_members(at, members, err);
    if (!ret)
        ret = string_decode(at, "table", out->table, sizeof out->table, err);
    if (!ret)
        ret = string_decode(at, "task", out->task, sizeof out->task, err);
    if (!ret)
        ret = string_decode(at, "author", out->author, sizeof out->author, err);
    if (!ret)
        ret = json_get_ns(at, "time_ns", &out->time_ns, err);
    return ret ? ret : report_decode(at, &out->report, err);
}

int validation_decode(const void *text, size_t len, const char *name, struct validation *out,
                      struct err *err)
{
    scope_json json_t *json = NULL;
    scope_free struct validation *made = calloc(1, sizeof *made);
    if (!made)
        return err_sys(err, -ENOMEM, "%s", name);
    int ret = json_parse(text, len, name, &json, err);
    if (!ret)
        ret = object_decode((struct json_at){json, name}, made, err);
    if (!ret)
        *out = *made;
    return ret;
}

/* ---- the file ---- */

static int path_of(const char *dir, char out[STORE_PATH_MAX], struct err *err)
{
    if (snprintf(out, STORE_PATH_MAX, "%s/validation.json", dir) >= STORE_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    return 0;
}

int validation_write(struct store *store, const char *dir, const struct validation *validation,
                     struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    scope_json json_t *json = validation_encode(validation);
    int ret = path_of(dir, path, err);
    if (!ret && (!json || json_write(json, false, &text)))
        ret = err_sys(err, -ENOMEM, "%s", path);
    if (!ret)
        ret = store_put(store, path, text.data, text.len, err);
    buf_release(&text);
    return ret;
}

int validation_read(struct store *store, const char *dir, struct validation *out, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    int ret = path_of(dir, path, err);
    if (!ret)
        ret = store_get(store, path, VALIDATION_JSON_MAX, &text, err);
    if (!ret)
        ret = validation_decode(text.data, text.len, path, out, err);
    buf_release(&text);
    return ret;
}
