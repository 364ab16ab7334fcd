/* SPDX-License-Identifier: Apache-2.0 */
/* fkv task ls | show | logs | wait | cancel | retry */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/task_logs.h"
#include "builder/cli/task_show.h"
#include "builder/cli/text.h"
#include "builder/sealed.h"
#include "builder/task_engine.h"
#include "builder/task_seal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_WAIT = 0x7400, OPTION_TIMEOUT, OPTION_REMAP, OPTION_ALL };

struct args {
    struct cli_common common;
    const char *verb;
    const char *task;
    int64_t timeout_ns;
    bool wait;
    bool remap;
    bool all;
};

static const struct argp_option options[] = {
    {"all", OPTION_ALL, NULL, 0, "ls: finished ones too (default: the last 20)", 0},
    {"wait", OPTION_WAIT, NULL, 0, "retry: show progress until it is over", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "wait: give up after so long", 0},
    {"remap", OPTION_REMAP, NULL, 0,
     "retry: map all inputs again, as when sorted runs are damaged or inputs were mended", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_ALL:
        args->all = true;
        return 0;
    case OPTION_WAIT:
        args->wait = true;
        return 0;
    case OPTION_TIMEOUT:
        args->timeout_ns = arg_need_duration(state, "--timeout", arg);
        return 0;
    case OPTION_REMAP:
        args->remap = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->verb = arg;
        else if (state->arg_num == 1)
            args->task = arg;
        else
            argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (!args->verb)
            argp_error(state, "expected ls, show, logs, wait, cancel or retry");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Tasks that were submitted: ls lists them, show says how far one is, logs what its workers "
    "said, wait waits for it, cancel gives it up, retry goes on with one that failed or whose "
    "process died; what is finished is not done again."
    "\v"
    "Exit status of wait: that of what the task failed of, 0 when it is published or sealed as "
    "asked, 3 "
    "when it was cancelled, 4 when the time is up.\n";

/* ---- ls ---- */

static int ls_one(struct grid *grid, json_t *array, const struct task *task, struct err *err)
{
    struct task_status s;
    int ret = task_status_read(task, false, &s, err);
    if (ret)
        return ret;
    if (array) {
        json_append(array, task_json(task, &s, false));
    } else {
        char when[TEXT_MAX];
        struct buf words = {0};
        task_progress(&s, &words);
        text_time(s.submitted_ns, when);
        grid_add(grid, "%s", s.name);
        grid_add(grid, "%s", s.table);
        grid_add(grid, "%s", when);
        grid_add(grid, "%s", s.author);
        grid_add(grid, "%s", s.engine);
        grid_add(grid, "%s%s%.60s", words.data ? (const char *)words.data : "?",
                 s.state == TASK_FAILED ? ": " : "", s.state == TASK_FAILED ? s.reason : "");
        buf_release(&words);
    }
    task_status_release(&s);
    return 0;
}

static int cmd_ls_tasks(const struct args *args, struct session *session, struct err *err)
{
    static const char *const headers[] = {"task",   "table", "submitted", "by",
                                          "engine", "state", NULL};
    enum { SHOWN = 20 };
    struct store_list list = {0};
    struct grid grid;
    json_t *array = args->common.json ? json_array() : NULL;
    int ret = task_list(session->store, &list, err);
    size_t first = args->all || list.n_names <= SHOWN ? 0 : list.n_names - SHOWN;
    grid_init(&grid, headers);
    for (size_t i = first; i < list.n_names && !ret; i++) {
        struct task task;
        struct err why = {0};
        /* One that is being made or removed just now, or whose documents are broken, does not hide the others. */
        if (task_open(session->store, list.names[i], &task, &why) ||
            ls_one(&grid, array, &task, &why))
            fprintf(stderr, "fkv: task %s: %s\n", list.names[i], why.text);
    }
    store_list_release(&list);
    if (array && !ret) {
        json_t *out = json_object();
        json_put(out, "tasks", array);
        grid_free(&grid);
        return cli_print_json(out, err);
    }
    grid_print(&grid, stdout);
    if (first)
        printf("%zu older ones: fkv task ls --all\n", first);
    return ret ? ret : cli_flush(err);
}

/* ---- show ---- */

static int show(const struct args *args, const struct task *task, struct err *err)
{
    struct task_status s;
    int ret = task_status_read(task, true, &s, err);
    if (ret)
        return ret;
    ret = args->common.json ? cli_print_json(task_json(task, &s, true), err)
                            : task_show(task, &s, err);
    task_status_release(&s);
    return ret;
}

/* ---- cancel, retry ---- */

/* -EPERM when there is nothing to cancel; else *published is the version that it was published as, *engine where it runs. */
static int cancel_check(struct session *session, const struct task *task, uint64_t *published,
                        const struct task_engine **engine, struct err *err)
{
    struct task_status s;
    int ret = task_status_read(task, false, &s, err);
    if (ret)
        return ret;
    *engine = task_engine_named(s.engine);
    if (s.state == TASK_PUBLISHED || s.state == TASK_SEALED)
        ret = err_set(err, -EPERM, "task %s is %s already: there is nothing to cancel", task->name,
                      task_state_name(s.state));
    *published = sealed_published_as(session->store,
                                     state_find_table(manifest_state(session->manifest), s.table),
                                     s.table, task->name);
    task_status_release(&s);
    return ret;
}

static int cancel(const struct args *args, struct session *session, const struct task *task,
                  struct err *err)
{
    const struct task_engine *engine = NULL;
    struct err why = {0};
    uint64_t version = 0;
    int ret = cancel_check(session, task, &version, &engine, err);
    if (ret)
        return ret;
    ret = task_put_new(task, "cancelled.json", task_stamp(task), &why);
    if (ret && ret != -EEXIST)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = engine ? engine->stop(task, err) : 0;
    /* It may have been sealed or published a moment before. */
    if (!ret)
        ret = manifest_refresh(session->manifest, NULL, err);
    if (!ret)
        ret = cancel_check(session, task, &version, &engine, err);
    if (ret)
        return ret;
    task_give_up(task, version != 0);
    if (args->common.json) {
        json_t *out = json_object();
        json_put_string(out, "task", task->name);
        json_put_string(out, "state", task_state_name(TASK_CANCELLED));
        if (version)
            json_put_u64(out, "version", version);
        return cli_print_json(out, err);
    }
    printf("cancelled task %s; workers stop within seconds\n", task->name);
    if (version)
        printf("it was published as version %" PRIu64 " before, which stays\n", version);
    return cli_flush(err);
}

static int retry_told(const struct args *args, const struct task *task, bool is_new,
                      struct err *err)
{
    int ret = 0;
    if (args->common.json && !args->wait) {
        json_t *out = json_object();
        json_put_string(out, "task", task->name);
        json_put_u64(out, "attempt", task->attempt);
        return cli_print_json(out, err);
    }
    if (!args->common.json && is_new) {
        printf("task %s: attempt %" PRIu32 " began\n", task->name, task->attempt);
        ret = cli_flush(err);
    }
    return ret || !args->wait ? ret : task_wait(task, args->timeout_ns, args->common.json, err);
}

static int is_alive(const struct task *task, const struct task_status *s, struct err *err)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i].silent < TASK_SILENT_S)
            return err_set(
                err, -EBUSY,
                "task %s has a worker that was heard of within %d s: wait for it, or cancel it",
                task->name, TASK_SILENT_S);
    return 0;
}

/* What its engine holds goes on: 1. What waits its turn is left to wait. 0: nobody is at it. */
static int resume(const struct args *args, const struct task *task, const struct task_status *s,
                  struct err *err)
{
    const struct task_engine *engine = task_engine_named(s->engine);
    struct task_engine_look queue = {0};
    uint32_t n = 0;
    int ret = engine ? engine->look(task, &queue, err) : 0;
    if (!ret && queue.n_held)
        ret = engine->resume(task, &n, err);
    if (ret)
        return ret;
    if (n && !args->common.json)
        printf("task %s: %" PRIu32 " held elements of attempt %" PRIu32 " go on\n", task->name, n,
               task->attempt);
    if (n)
        return (ret = cli_flush(err)) ? ret : 1;
    ret = is_alive(task, s, err);
    if (!ret && queue.n_running + queue.n_pending)
        ret = err_set(err, -EBUSY, "task %s goes on by itself (%s): wait for it, or cancel it",
                      task->name, queue.text);
    return ret;
}

/* What nodes may have of it stays as it is. */
static int remap_check(struct session *session, const struct task *task,
                       const struct task_status *s, struct err *err)
{
    uint64_t version = sealed_published_as(
        session->store, state_find_table(manifest_state(session->manifest), s->table), s->table,
        task->name);
    if (version)
        return err_set(err, -EPERM,
                       "task %s is published as version %" PRIu64
                       " already, so nothing is mapped again; go on with: fkv task retry %s",
                       task->name, version, task->name);
    return is_alive(task, s, err);
}

/* May a new attempt begin? 1: none is needed. What is left of one that failed makes room. */
static int retry_check(const struct args *args, struct session *session, const struct task *task,
                       const struct task_status *s, struct err *err)
{
    const struct task_engine *engine = task_engine_named(s->engine);
    enum task_state state = s->state;
    if (state == TASK_PUBLISHED || state == TASK_SEALED || state == TASK_CANCELLED)
        return err_set(err, -EPERM, "task %s is %s: there is nothing to try again%s", task->name,
                       task_state_name(state), state == TASK_CANCELLED ? "; submit a new one" : "");
    int ret = args->remap            ? remap_check(session, task, s, err)
              : state != TASK_FAILED ? resume(args, task, s, err)
                                     : 0;
    if (!ret)
        ret = task_attempts_check(task, err);
    return ret || !engine ? ret : engine->stop(task, err);
}

static int retry_begin(const struct args *args, struct task *task, struct err *err)
{
    json_t *json = NULL;
    struct task_document document = {0};
    int ret = task_get(task, "job.json", &json, err);
    if (!ret)
        ret = task_spec_decode_json(json, "job.json", &document, err);
    if (!ret && args->remap)
        ret = task_forget(task, err);
    if (!ret)
        ret = task_begin_attempt(task, task_engine_of(document.spec.engine)->name, err);
    if (!ret)
        ret = task_start(task, &document.spec, err);
    task_document_release(&document);
    return ret ? ret : retry_told(args, task, true, err);
}

static int retry(const struct args *args, struct session *session, struct task *task,
                 struct err *err)
{
    struct task_status s;
    int ret = task_status_read(task, false, &s, err);
    if (ret)
        return ret;
    ret = retry_check(args, session, task, &s, err);
    task_status_release(&s);
    if (ret <= 0)
        return ret ? ret : retry_begin(args, task, err);
    return retry_told(args, task, false, err);
}

int cmd_task(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "ls\nshow TASK\nlogs TASK\nwait TASK\ncancel TASK\nretry TASK",
        .doc = doc,
        .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    struct task task;
    cli_parse(&argp, argc, argv, &args);
    static const char *const verbs[] = {"ls", "show", "logs", "wait", "cancel", "retry"};
    bool is_verb = false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        is_verb |= strcmp(args.verb, verbs[i]) == 0;
    if (!is_verb)
        return err_set(err, -EINVAL,
                       "fkv task: expected ls, show, logs, wait, cancel or retry; found '%s'",
                       args.verb);
    bool is_ls = strcmp(args.verb, "ls") == 0;
    if (!is_ls && !args.task)
        return err_set(err, -EINVAL, "fkv task %s: expected a task; those there are: fkv task ls",
                       args.verb);
    int ret = session_open(&args.common, &session, err);
    if (!ret && is_ls)
        return cmd_ls_tasks(&args, &session, err);
    if (!ret)
        ret = task_open(session.store, args.task, &task, err);
    if (ret)
        return ret;
    if (strcmp(args.verb, "show") == 0)
        return show(&args, &task, err);
    if (strcmp(args.verb, "logs") == 0)
        return task_logs(&task, args.common.json, err);
    if (strcmp(args.verb, "wait") == 0)
        return task_wait(&task, args.timeout_ns, args.common.json, err);
    if (strcmp(args.verb, "cancel") == 0)
        return cancel(&args, &session, &task, err);
    return retry(&args, &session, &task, err);
}
