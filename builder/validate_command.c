/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/validate_command.h"

#include "base/scope.h"
#include "base/utf8.h"
#include "builder/figures_json.h"
#include "builder/scratch.h"
#include "builder/user_command.h"
#include "builder/validate_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 60 };

/* The environment, and what its strings lie in. */
struct command_env {
    char table[TABLE_NAME_MAX + 16];
    char task[TASK_NAME_MAX + 16];
    char store[STORE_URL_MAX + 16];
    char dir[STORE_URL_MAX + STORE_PATH_MAX + 16];
    char figures[PATH_MAX + 16];
    char base[40];
    char current[40];
    const char *all[8];
};

/* Writes figures into a new file; the caller unlinks it. */
static int figures_file(const struct build_figures *figures, const char *scratch,
                        char path[PATH_MAX], struct err *err)
{
    struct buf text = {0};
    if (snprintf(path, PATH_MAX, "%s/fkv-figures-XXXXXX", scratch_dir(scratch)) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", scratch_dir(scratch));
    int rc = figures_text(figures, &text, err);
    scope_fd int fd = rc ? -1 : mkostemp(path, O_CLOEXEC);
    if (!rc && fd < 0) {
        rc = err_sys(err, -errno, "%s: making a file of figures for a command", path);
        path[0] = 0;
    }
    if (!rc && write(fd, text.data, text.len) != (ssize_t)text.len)
        rc = err_sys(err, -EIO, "%s: writing figures for a command", path);
    buf_release(&text);
    return rc;
}

static void number_text(char out[40], const char *name, uint64_t n)
{
    if (n)
        snprintf(out, 40, "%s=%" PRIu64, name, n);
    else
        snprintf(out, 40, "%s=", name);
}

/* A directory by its path, which other programs understand. */
static const char *path_of(const char *url)
{
    static const char scheme[] = "file://";
    return strncmp(url, scheme, sizeof scheme - 1) ? url : url + sizeof scheme - 1;
}

static void env_fill(struct command_env *env, struct store *store,
                     const struct validate_input *input, const char *figures)
{
    snprintf(env->table, sizeof env->table, "FKV_TABLE=%s", input->table);
    snprintf(env->task, sizeof env->task, "FKV_TASK=%s", input->task);
    snprintf(env->store, sizeof env->store, "FKV_STORE=%s", store_url(store));
    snprintf(env->dir, sizeof env->dir, "FKV_BUILD_DIR=%s/%s", path_of(store_url(store)),
             input->dir);
    snprintf(env->figures, sizeof env->figures, "FKV_FIGURES=%s", figures);
    number_text(env->base, "FKV_BASE", input->desc->base);
    number_text(env->current, "FKV_CURRENT", input->state ? input->state->current : 0);
    const char *all[] = {env->table,   env->task, env->store,   env->dir,
                         env->figures, env->base, env->current, NULL};
    memcpy(env->all, all, sizeof all);
}

/* A command as it is shown: on one line, cut. */
static void shown(const char *command, char out[SHOWN_MAX + 4])
{
    size_t len = 0;
    for (size_t i = 0; command[i];) {
        size_t n = utf8_len(command + i, strlen(command + i));
        unsigned char c = (unsigned char)command[i];
        size_t width = n ? n : 1;
        if (len + width > SHOWN_MAX) {
            memcpy(out + len, "...", 3);
            len += 3;
            break;
        }
        if (n > 1)
            memcpy(out + len, command + i, n);
        else
            out[len] = n == 0 ? '?' : c < 0x20 || c == 0x7F ? ' ' : (char)c;
        len += width;
        i += width;
    }
    out[len] = 0;
}

static int judge(const char *command, const struct command_env *env, int64_t timeout_ns,
                 const atomic_bool *cancel, struct validate_finding *finding, struct err *err)
{
    struct user_command_end end = {0};
    char name[SHOWN_MAX + 4];
    shown(command, name);
    int rc = user_command_run(command, env->all, timeout_ns, cancel, &end, err);
    const char *colon = end.line[0] ? ": " : "";
    finding_limit(finding, 0);
    if (rc == -ETIMEDOUT) {
        finding_judge(finding, false, "command '%s': did not end within %g s, and was killed%s%s",
                      name, (double)timeout_ns / 1e9, colon, end.line);
        return 0;
    }
    if (rc)
        return rc;
    finding_figure(finding, end.status);
    if (end.status == 0)
        finding_judge(finding, true, "command '%s'%s%s", name, colon, end.line);
    else
        finding_judge(finding, false, "command '%s': exit status %d%s%s", name, end.status, colon,
                      end.line);
    return 0;
}

int validate_commands(struct store *store, const struct validate_input *input,
                      const struct build_figures *figures, const struct validate_limits *limits,
                      bool is_worth_it, struct validate_finding *findings, struct err *err)
{
    char path[PATH_MAX] = "";
    int rc = 0;
    if (limits->n_commands == 0)
        return 0;
    scope_free struct command_env *env = calloc(1, sizeof *env);
    if (!env)
        return err_sys(err, -ENOMEM, "running commands");
    if (figures && is_worth_it)
        rc = figures_file(figures, limits->scratch, path, err);
    env_fill(env, store, input, path);
    for (size_t i = 0; !rc && i < limits->n_commands; i++) {
        struct err why = {0};
        char name[SHOWN_MAX + 4];
        shown(limits->commands[i], name);
        if (!is_worth_it) {
            finding_skip(&findings[i], "command '%s': not run, the build is refused already", name);
            continue;
        }
        rc = judge(limits->commands[i], env, limits->command_timeout_ns, input->cancel,
                   &findings[i], &why);
        if (rc)
            err_set(err, rc, "%s", err_text(&why, rc));
    }
    if (path[0])
        unlink(path);
    return rc;
}
