/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glob(3) does the matching, on a pattern in which what the directory's own name holds, and backslashes, stand for themselves. Its
 * order is the locale's, so the matches are sorted again.
 */
#include "builder/job_inputs.h"

#include "base/utf8.h"
#include "builder/input.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_pattern(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

static bool is_local(const char *path)
{
    return strstr(path, "://") == NULL;
}

/* Appends text with a backslash before each of `special`. */
static int add_escaped(struct buf *out, const char *text, const char *special)
{
    int ret = 0;
    for (; *text && !ret; text++) {
        if (strchr(special, *text))
            ret = buf_add_byte(out, '\\');
        if (!ret)
            ret = buf_add_byte(out, (uint8_t)*text);
    }
    return ret;
}

static int add_text(json_t *list, const char *path, const char *name, struct err *err)
{
    if (!utf8_is_text(path, strlen(path)))
        return err_set(err, -EINVAL, "%s: inputs: expected file names in UTF-8, found %s", name,
                       path);
    if (json_array_size(list) >= INPUTS_MAX)
        return err_set(err, -E2BIG, "%s: inputs: expected at most %d files, found more", name,
                       (int)INPUTS_MAX);
    return json_append(list, json_string(path)) ? err_sys(err, -ENOMEM, "%s", name) : 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int glob_failed(int why, const char *input, const char *dir, const char *name,
                       struct err *err)
{
    if (why == GLOB_NOSPACE)
        return err_sys(err, -ENOMEM, "%s: inputs: %s", name, input);
    if (why == GLOB_NOMATCH)
        return err_set(err, -ENOENT,
                       "%s: inputs: expected files that match %s, found none (seen from %s)", name,
                       input, dir);
    return err_sys(err, errno ? -errno : -EIO, "%s: inputs: %s: a directory cannot be read", name,
                   input);
}

static int expand(json_t *list, const char *dir, const char *input, const char *name,
                  struct err *err)
{
    struct buf pattern = {0};
    glob_t found = {0};
    int ret = 0;
    if (input[0] != '/' && (add_escaped(&pattern, dir, "\\*?[") || buf_add_byte(&pattern, '/')))
        ret = -ENOMEM;
    if (ret || add_escaped(&pattern, input, "\\") || buf_add_byte(&pattern, 0)) {
        buf_release(&pattern);
        return err_sys(err, -ENOMEM, "%s", name);
    }
    errno = 0;
    int why = glob((const char *)pattern.data, GLOB_ERR | GLOB_NOSORT, NULL, &found);
    if (why)
        ret = glob_failed(why, input, dir, name, err);
    else
        qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
    for (size_t i = 0; !ret && i < found.gl_pathc; i++)
        ret = add_text(list, found.gl_pathv[i], name, err);
    globfree(&found);
    buf_release(&pattern);
    return ret;
}

/* dir/path, or path when it is absolute; *out is the caller's to release, and ends in NUL. */
static int join(const char *dir, const char *path, struct buf *out)
{
    return path[0] == '/' ? buf_printf(out, "%s", path) : buf_printf(out, "%s/%s", dir, path);
}

static int add_input(json_t *list, const char *dir, const char *input, const char *name,
                     struct err *err)
{
    if (!strcmp(input, "-"))
        return err_set(err, -EINVAL,
                       "%s: inputs: expected files, found \"-\": a task runs where standard input "
                       "is not at hand",
                       name);
    if (!is_local(input))
        return add_text(list, input, name, err);
    if (is_pattern(input))
        return expand(list, dir, input, name, err);
    struct buf path = {0};
    int ret = join(dir, input, &path) ? err_sys(err, -ENOMEM, "%s", name)
                                      : add_text(list, (const char *)path.data, name, err);
    buf_release(&path);
    return ret;
}

static int resolve_inputs(json_t *document, const char *dir, const char *name, struct err *err)
{
    const json_t *inputs = json_object_get(document, "inputs");
    scope_json json_t *list = json_array();
    size_t n = json_array_size(inputs);
    int ret = list ? 0 : err_sys(err, -ENOMEM, "%s", name);
    for (size_t i = 0; i < n && !ret; i++) {
        const char *input = json_string_value(json_array_get(inputs, i));
        if (!input || !input[0])
            return 0;
        ret = add_input(list, dir, input, name, err);
    }
    if (!ret && json_is_array(inputs) && json_put(document, "inputs", json_incref(list)))
        ret = err_sys(err, -ENOMEM, "%s", name);
    return ret;
}

static int resolve_scratch(json_t *document, const char *dir, const char *name, struct err *err)
{
    const char *scratch = json_string_value(json_object_get(document, "scratch"));
    struct buf path = {0};
    if (!scratch || !scratch[0] || scratch[0] == '/')
        return 0;
    int ret =
        join(dir, scratch, &path) || json_put_string(document, "scratch", (const char *)path.data)
            ? err_sys(err, -ENOMEM, "%s", name)
            : 0;
    buf_release(&path);
    return ret;
}

int job_inputs_resolve(json_t *document, const char *dir, const char *name, struct err *err)
{
    int ret = resolve_inputs(document, dir, name, err);
    return ret ? ret : resolve_scratch(document, dir, name, err);
}
