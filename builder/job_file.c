/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/job_file.h"

#include "base/scope.h"
#include "builder/job_inputs.h"
#include "builder/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_STEP = 64 << 10 };

enum job_form {
    JOB_TOML,
    JOB_JSON,
    JOB_EITHER, /* by its first character */
};

/* Everything fd gives, up to max bytes. */
static int read_all(int fd, size_t max, const char *name, struct buf *out, struct err *err)
{
    for (;;) {
        if (buf_reserve(out, READ_STEP))
            return err_sys(err, -ENOMEM, "%s", name);
        ssize_t n = read(fd, out->data + out->len, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, -errno, "%s: reading", name);
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > max)
            return err_set(err, -EINVAL, "%s: expected at most %zu bytes, found more", name, max);
    }
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t len = strlen(path), n = strlen(suffix);
    return len > n && !strcmp(path + len - n, suffix);
}

static int form_of(const char *path, enum job_form *out, struct err *err)
{
    if (!strcmp(path, "-"))
        *out = JOB_EITHER;
    else if (has_suffix(path, ".toml"))
        *out = JOB_TOML;
    else if (has_suffix(path, ".json"))
        *out = JOB_JSON;
    else
        return err_set(err, -EINVAL, "%s: expected a job file, .toml or .json", path);
    return 0;
}

static bool begins_as_json(const struct buf *text)
{
    size_t i = 0;
    while (i < text->len && memchr(" \t\r\n", text->data[i], 4))
        i++;
    return i < text->len && text->data[i] == '{';
}

static int parse(const struct buf *text, enum job_form form, const char *name, json_t **out,
                 struct err *err)
{
    if (form == JOB_JSON || (form == JOB_EITHER && begins_as_json(text)))
        return json_parse(text->data, text->len, name, out, err);
    struct buf json = {0};
    int ret = toml_to_json((const char *)text->data, text->len, name, &json, err);
    if (!ret)
        ret = json_parse(json.data, json.len, name, out, err);
    buf_release(&json);
    return ret;
}

static int read_document(const char *path, const char *name, json_t **out, struct err *err)
{
    scope_fd int fd = -1;
    struct buf text = {0};
    enum job_form form = JOB_EITHER;
    int ret = form_of(path, &form, err);
    if (ret)
        return ret;
    if (form != JOB_EITHER && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return err_sys(err, -errno, "%s", name);
    ret = read_all(fd < 0 ? STDIN_FILENO : fd, form == JOB_TOML ? TOML_LEN_MAX : TASK_JSON_MAX,
                   name, &text, err);
    if (!ret)
        ret = parse(&text, form, name, out, err);
    buf_release(&text);
    return ret;
}

/* The absolute directory of path; symbolic links stay, as another host may see them elsewhere. */
static int directory_of(const char *path, char **out, struct err *err)
{
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) : 0;
    scope_free char *here = NULL;
    if (path[0] == '/') {
        *out = strndup(path, len ? (size_t)len : 1);
        return *out ? 0 : err_sys(err, -ENOMEM, "%s", path);
    }
    if (!(here = getcwd(NULL, 0)))
        return err_sys(err, -errno, "the working directory");
    if (asprintf(out, "%s%s%.*s", here, len ? "/" : "", len, path) < 0) {
        *out = NULL;
        return err_sys(err, -ENOMEM, "%s", path);
    }
    return 0;
}

/* A document by hand is its writer's words, not bytes that were kept and came back wrong. */
static int as_words(int ret, struct err *err)
{
    if (ret != -EBADMSG)
        return ret;
    if (err)
        err->code = -EINVAL;
    return -EINVAL;
}

int job_file_read(const char *path, struct task_document *out, struct err *err)
{
    const char *name = strcmp(path, "-") ? path : "standard input";
    scope_free char *dir = NULL;
    json_t *json = NULL;
    int ret = directory_of(path, &dir, err);
    if (!ret)
        ret = read_document(path, name, &json, err);
    if (!ret)
        ret = job_inputs_resolve(json, dir, name, err);
    if (ret) {
        json_decref(json);
        return as_words(ret, err);
    }
    return as_words(task_spec_decode_json(json, name, out, err), err);
}
