/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/figures_json.h"

#include "base/scope.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIGURES_FORMAT = 1 };

/* ---- encode ---- */

static json_t *histogram_encode(const struct norm_figures *norm)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < NORM_BUCKETS; i++) {
        if (!norm->buckets[i])
            continue;
        json_t *pair = json_pack("[I,I]", (json_int_t)i - NORM_ZERO, (json_int_t)norm->buckets[i]);
        if (json_append(list, pair)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *norm_encode(const struct norm_figures *norm)
{
    json_t *out = json_object();
    if (json_put_u64(out, "count", norm->count) || json_put_double(out, "mean", norm->mean) ||
        json_put_double(out, "m2", norm->m2) || json_put_double(out, "min", norm->min) ||
        json_put_double(out, "max", norm->max) ||
        json_put(out, "histogram", histogram_encode(norm))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *figures_encode(const struct build_figures *figures)
{
    json_t *out = json_object();
    if (json_put_u64(out, "rows", figures->rows) ||
        json_put_u64(out, "bad_rows", figures->bad_rows) ||
        json_put_u64(out, "duplicates", figures->duplicates) ||
        json_put_u64(out, "keys", figures->keys) ||
        json_put_u64(out, "tombstones", figures->tombstones) ||
        json_put_u64(out, "empty_values", figures->empty_values) ||
        json_put_u64(out, "not_finite", figures->not_finite) ||
        (figures->has_vectors && json_put(out, "norm", norm_encode(&figures->norm)))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* ---- decode ---- */

/* A pair of the histogram, [step, count]; steps ascend. */
static int bucket_decode(const json_t *pair, const char *name, int64_t last,
                         struct norm_figures *norm, int64_t *step, struct err *err)
{
    const json_t *first = json_array_get(pair, 0);
    const json_t *second = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return err_set(err, -EBADMSG, "%s: member \"histogram\": expected pairs of integers", name);
    json_int_t at = json_integer_value(first);
    json_int_t n = json_integer_value(second);
    if (at <= last || at > NORM_ZERO || n < 1)
        return err_set(err, -EBADMSG,
                       "%s: member \"histogram\": expected steps ascending from %d to %d with "
                       "counts, found [%lld, %lld]",
                       name, -NORM_ZERO, NORM_ZERO, (long long)at, (long long)n);
    norm->buckets[at + NORM_ZERO] = (uint64_t)n;
    *step = at;
    return 0;
}

static int histogram_decode(struct json_at at, struct norm_figures *norm, struct err *err)
{
    const json_t *list = NULL;
    int64_t last = -NORM_ZERO - 1;
    uint64_t left = norm->count;
    int ret = json_get_array(at, "histogram", NORM_BUCKETS, &list, err);
    for (size_t i = 0; !ret && i < json_array_size(list); i++) {
        ret = bucket_decode(json_array_get(list, i), at.name, last, norm, &last, err);
        uint64_t n = ret ? 0 : norm->buckets[last + NORM_ZERO];
        if (!ret && n > left)
            ret =
                err_set(err, -EBADMSG, "%s: member \"histogram\": expected %llu norms, found more",
                        at.name, (unsigned long long)norm->count);
        left -= n;
    }
    if (!ret && left)
        ret = err_set(err, -EBADMSG, "%s: member \"histogram\": expected %llu norms, found %llu",
                      at.name, (unsigned long long)norm->count,
                      (unsigned long long)(norm->count - left));
    return ret;
}

/* The mean lies between both ends, but for what rounding does. */
static bool is_between(const struct norm_figures *norm)
{
    const double tolerance = 1e-9;
    return norm->min <= norm->max && norm->mean >= norm->min * (1 - tolerance) &&
           norm->mean <= norm->max * (1 + tolerance);
}

static int norm_decode(struct json_at outer, struct norm_figures *norm, struct err *err)
{
    static const char *const members[] = {"count", "mean", "m2", "min", "max", "histogram", NULL};
    struct json_at at = {.name = outer.name};
    int ret = json_get_object(outer, "norm", &at.object, err);
    if (!ret)
        ret = json_check_members(at, members, err);
    if (!ret)
        ret = json_get_u64(at, "count", FIGURES_MAX, &norm->count, err);
    if (!ret)
        ret = json_get_double(at, "mean", 0, DBL_MAX, &norm->mean, err);
    if (!ret)
        ret = json_get_double(at, "m2", 0, DBL_MAX, &norm->m2, err);
    if (!ret)
        ret = json_get_double(at, "min", 0, DBL_MAX, &norm->min, err);
    if (!ret)
        ret = json_get_double(at, "max", 0, DBL_MAX, &norm->max, err);
    if (!ret)
        ret = histogram_decode(at, norm, err);
    if (!ret && !is_between(norm))
        ret = err_set(err, -EBADMSG, "%s: expected norms with min <= mean <= max, found %g, %g, %g",
                      at.name, norm->min, norm->mean, norm->max);
    if (!ret && !norm->count && (norm->max > 0 || norm->m2 > 0))
        ret = err_set(err, -EBADMSG, "%s: expected 0 where no norm was counted", at.name);
    return ret;
}

/* What must hold between the counts, whoever wrote them. */
static int counts_check(const struct build_figures *f, const char *name, struct err *err)
{
    if (f->bad_rows > f->rows)
        return err_set(err, -EBADMSG,
                       "%s: expected at most %llu bad rows, as many as rows, found %llu", name,
                       (unsigned long long)f->rows, (unsigned long long)f->bad_rows);
    if (f->empty_values > f->keys)
        return err_set(err, -EBADMSG,
                       "%s: expected at most %llu empty values, as many as keys, found %llu", name,
                       (unsigned long long)f->keys, (unsigned long long)f->empty_values);
    bool is_sum = f->not_finite <= f->keys && f->norm.count == f->keys - f->not_finite;
    if (f->has_vectors ? !is_sum : f->not_finite != 0)
        return err_set(err, -EBADMSG,
                       "%s: expected a norm of each of %llu keys but %llu that are not finite, "
                       "found %llu",
                       name, (unsigned long long)f->keys, (unsigned long long)f->not_finite,
                       (unsigned long long)f->norm.count);
    return 0;
}

static int counts_decode(struct json_at at, struct build_figures *out, struct err *err)
{
    const struct {
        const char *name;
        uint64_t *value;
    } counts[] = {
        {"rows", &out->rows},
        {"bad_rows", &out->bad_rows},
        {"duplicates", &out->duplicates},
        {"keys", &out->keys},
        {"tombstones", &out->tombstones},
        {"empty_values", &out->empty_values},
        {"not_finite", &out->not_finite},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int ret = json_get_u64(at, counts[i].name, FIGURES_MAX, counts[i].value, err);
        if (ret)
            return ret;
    }
    return 0;
}

int figures_decode(struct json_at at, struct build_figures *out, struct err *err)
{
    static const char *const members[] = {"format", "rows",       "bad_rows",     "duplicates",
                                          "keys",   "tombstones", "empty_values", "not_finite",
                                          "norm",   NULL};
    scope_free struct build_figures *made = calloc(1, sizeof *made);
    if (!made)
        return err_sys(err, -ENOMEM, "%s", at.name);
    int ret = json_check_members(at, members, err);
    if (!ret)
        ret = counts_decode(at, made, err);
    made->has_vectors = json_has(at, "norm");
    if (!ret && made->has_vectors)
        ret = norm_decode(at, &made->norm, err);
    if (!ret)
        ret = counts_check(made, at.name, err);
    if (!ret)
        *out = *made;
    return ret;
}

/* ---- the file ---- */

int figures_text(const struct build_figures *figures, struct buf *out, struct err *err)
{
    scope_json json_t *whole = json_object();
    scope_json json_t *inner = figures_encode(figures);
    if (!inner || json_put_u64(whole, "format", FIGURES_FORMAT) ||
        json_object_update(whole, inner) || json_write(whole, false, out))
        return err_sys(err, -ENOMEM, "figures.json");
    return 0;
}

int figures_parse(const void *text, size_t len, const char *name, struct build_figures *out,
                  struct err *err)
{
    scope_json json_t *json = NULL;
    uint64_t format = 0;
    int ret = json_parse(text, len, name, &json, err);
    if (ret)
        return ret;
    struct json_at at = {json, name};
    ret = json_get_u64(at, "format", FIGURES_MAX, &format, err);
    if (!ret && format > FIGURES_FORMAT)
        ret = err_set(err, -ENOTSUP, "%s: expected format %d, found %llu: newer than this program",
                      name, FIGURES_FORMAT, (unsigned long long)format);
    return ret ? ret : figures_decode(at, out, err);
}

static int path_of(const char *dir, char out[STORE_PATH_MAX], struct err *err)
{
    if (snprintf(out, STORE_PATH_MAX, "%s/figures.json", dir) >= STORE_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    return 0;
}

int figures_write(struct store *store, const char *dir, const struct build_figures *figures,
                  struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    int ret = path_of(dir, path, err);
    if (!ret)
        ret = figures_text(figures, &text, err);
    if (!ret)
        ret = store_put(store, path, text.data, text.len, err);
    buf_release(&text);
    return ret;
}

int figures_read(struct store *store, const char *dir, struct build_figures *out, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf text = {0};
    int ret = path_of(dir, path, err);
    if (!ret)
        ret = store_get(store, path, FIGURES_JSON_MAX, &text, err);
    if (!ret)
        ret = figures_parse(text.data, text.len, path, out, err);
    buf_release(&text);
    return ret;
}
