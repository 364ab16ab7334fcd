/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/user_command.h"

#include "base/scope.h"
#include "base/utf8.h"
#include "builder/child.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* The line being read, and the last one with anything in it. */
struct tail {
    char line[USER_COMMAND_LINE_MAX];
    size_t len;
    char last[USER_COMMAND_LINE_MAX];
    size_t last_len;
};

static void tail_end_line(struct tail *tail)
{
    if (tail->len) {
        memcpy(tail->last, tail->line, tail->len);
        tail->last_len = tail->len;
    }
    tail->len = 0;
}

static void tail_add(void *context, const char *data, size_t len)
{
    struct tail *tail = context;
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            tail_end_line(tail);
        else if (tail->len < sizeof tail->line)
            tail->line[tail->len++] = data[i];
    }
}

static void tail_text(struct tail *tail, char out[USER_COMMAND_LINE_MAX + 1])
{
    tail_end_line(tail);
    memcpy(out, tail->last, tail->last_len);
    utf8_clean(out, tail->last_len);
    out[tail->last_len] = 0;
}

static bool is_same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strncmp(a, b, len + 1) == 0;
}

/* Ours, and of the process's own those of other names: of two of one name shells take the last, getenv() the first. */
static char **env_join(const char *const *env)
{
    size_t n = 0;
    size_t m = 0;
    while (env[n])
        n++;
    while (environ[m])
        m++;
    char **all = calloc(n + m + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, env, n * sizeof *all);
    size_t len = n;
    for (size_t i = 0; i < m; i++) {
        size_t k = 0;
        while (k < n && !is_same_name(env[k], environ[i]))
            k++;
        if (k == n)
            all[len++] = environ[i];
    }
    return all;
}

int user_command_run(const char *command, const char *const *env, int64_t timeout_ns,
                     const atomic_bool *cancel, struct user_command_end *out, struct err *err)
{
    const char *const argv[] = {"sh", "-c", command, NULL};
    struct tail tail = {0};
    int status = 0;
    scope_free char **all = env_join(env);
    if (!all)
        return err_sys(err, -ENOMEM, "running '%s'", command);
    struct child_params params = {.file = "/bin/sh",
                                  .argv = argv,
                                  .env = all,
                                  .out = {tail_add, &tail},
                                  .timeout_ns = timeout_ns,
                                  .cancel = cancel};
    int ret = child_run(&params, &status);
    out->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    tail_text(&tail, out->line);
    if (ret == -ETIMEDOUT)
        return err_set(err, ret, "'%s' did not end within %lld ms and was killed", command,
                       (long long)(timeout_ns / 1000000));
    if (ret == -ECANCELED)
        return err_set(err, ret, "'%s' was killed: cancelled", command);
    return ret ? err_sys(err, ret, "running '%s' with /bin/sh", command) : 0;
}
