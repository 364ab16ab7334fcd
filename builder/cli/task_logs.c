/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/task_logs.h"

#include "base/utf8.h"
#include "builder/cli/cli.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Anybody may name a file there: what is shown of name and path is cleaned, as the text is. */
struct log {
    const struct task *task;
    char path[STORE_PATH_MAX]; /* as it is */
    char name[STORE_PATH_MAX]; /* as it is shown */
    uint64_t len;              /* of the file */
    uint64_t left_out;         /* of its beginning */
    struct buf text;
};

/* The end of the file, as far as it is shown. */
static int log_read(struct log *log, struct store *store, struct err *err)
{
    struct store_reader *reader = NULL;
    size_t n = 0;
    int ret = store_reader_open(store, log->path, &reader, err);
    if (ret)
        return ret;
    log->len = store_reader_len(reader);
    size_t len = log->len < TASK_LOGS_MAX ? (size_t)log->len : TASK_LOGS_MAX;
    log->left_out = log->len - len;
    if (buf_reserve(&log->text, len + 1))
        ret = err_sys(err, -ENOMEM, "reading %s", log->path);
    if (!ret && len)
        ret = store_reader_read(reader, log->left_out, log->text.data, len, &n, err);
    log->text.len = ret ? 0 : n;
    store_reader_close(reader);
    return ret;
}

/* Whole lines, for terminals and JSON, whoever wrote them. */
static void log_clean(struct log *log)
{
    char *text = (char *)log->text.data;
    size_t len = log->text.len;
    char *end = log->left_out && len ? memchr(text, '\n', len) : NULL;
    if (end) {
        size_t n = (size_t)(end + 1 - text);
        memmove(text, end + 1, len - n);
        log->left_out += n;
        log->text.len = len -= n;
    }
    for (size_t at = 0; at < len;) {
        end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        utf8_clean(text + at, n);
        at += n + 1;
    }
}

static int log_json(const struct log *log, json_t *array, struct err *err)
{
    json_t *one = json_pack("{s:s,s:s%}", "name", log->name, "text",
                            log->text.len ? (const char *)log->text.data : "", log->text.len);
    char path[2 * STORE_PATH_MAX];
    snprintf(path, sizeof path, "%s/log/%s", log->task->dir, log->name);
    if (one && log->left_out &&
        (json_put_u64(one, "left_out", log->left_out) || json_put_string(one, "path", path))) {
        json_decref(one);
        one = NULL;
    }
    return one && !json_append(array, one) ? 0 : err_sys(err, -ENOMEM, "%s", path);
}

static void log_print(const struct log *log)
{
    const struct buf *text = &log->text;
    char shown[TEXT_MAX];
    char len[TEXT_MAX];
    text_size(log->len - log->left_out, shown);
    text_size(log->len, len);
    printf("== %s\n", log->name);
    if (log->left_out)
        printf("== the last %s of %s; the whole log is %s/%s/log/%s\n", shown, len,
               store_url(log->task->store), log->task->dir, log->name);
    if (text->len)
        fwrite(text->data, 1, text->len, stdout);
    if (text->len && text->data[text->len - 1] != '\n')
        putchar('\n');
}

/* One that cannot be read does not hide the others; one that was removed since it was listed is none. */
static int log_miss(const struct log *log, int code, struct err *why, json_t *array,
                    struct err *err)
{
    char text[ERR_TEXT_MAX];
    if (code == -ENOENT)
        return 0;
    snprintf(text, sizeof text, "%s", err_text(why, code));
    utf8_clean(text, strlen(text));
    if (!array) {
        fprintf(stderr, "fkv: log %s: %s\n", log->name, text);
        return 0;
    }
    json_t *one = json_pack("{s:s,s:s}", "name", log->name, "error", text);
    return one && !json_append(array, one) ? 0 : err_sys(err, -ENOMEM, "%s", log->name);
}

/* Takes one file into the array, or without one prints it. */
static int log_show(const struct task *task, const char *name, json_t *array, struct err *err)
{
    struct log log = {.task = task};
    struct err why = {0};
    char file[2 * STORE_PATH_MAX];
    snprintf(log.name, sizeof log.name, "%s", name);
    utf8_clean(log.name, strlen(log.name));
    snprintf(file, sizeof file, "log/%s", name);
    int ret = task_path(task, file, log.path, &why);
    if (!ret)
        ret = log_read(&log, task->store, &why);
    if (!ret)
        log_clean(&log);
    if (ret)
        ret = log_miss(&log, ret, &why, array, err);
    else if (array)
        ret = log_json(&log, array, err);
    else
        log_print(&log);
    buf_release(&log.text);
    return ret;
}

/* Names sort by piece or shard within a stage; stages come in the order in which they run. */
static int stage_logs_show(const struct task *task, enum task_stage stage,
                           const struct store_list *list, json_t *array, struct err *err)
{
    const char *word = task_stage_name(stage);
    size_t len = strlen(word);
    int ret = 0;
    for (size_t i = 0; i < list->n_names && !ret; i++)
        if (strncmp(list->names[i], word, len) == 0 && list->names[i][len] == '-')
            ret = log_show(task, list->names[i], array, err);
    return ret;
}

int task_logs(const struct task *task, bool is_json, struct err *err)
{
    json_t *array = is_json ? json_array() : NULL;
    char dir[STORE_PATH_MAX];
    struct store_list list = {0};
    int ret = task_path(task, "log", dir, err);
    if (!ret)
        ret = layout_list(task->store, dir, &list, err);
    for (int stage = 0; stage < STAGE_COUNT && !ret; stage++)
        ret = stage_logs_show(task, (enum task_stage)stage, &list, array, err);
    store_list_release(&list);
    if (array && !ret) {
        json_t *out = json_object();
        json_put(out, "logs", array);
        return cli_print_json(out, err);
    }
    json_decref(array);
    return ret ? ret : cli_flush(err);
}
