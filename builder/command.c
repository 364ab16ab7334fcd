/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/command.h"

#include "builder/child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* What is beyond the limit is read and thrown away. */
static void take(void *context, const char *data, size_t len)
{
    struct buf *buf = context;
    if (buf->len < COMMAND_OUTPUT_MAX)
        buf_add(buf, data, len);
}

/* Its lines as one, in place: what matters may be in the first or the last. */
static char *one_line(char *text)
{
    for (size_t len = strlen(text); len && text[len - 1] == '\n';)
        text[--len] = 0;
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = ' ';
    return text;
}

static int verdict(const char *name, int status, struct buf *error, struct err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    buf_add_byte(error, 0);
    char *text = error->data ? one_line((char *)error->data) : (char *)(uintptr_t) "";
    if (WIFSIGNALED(status))
        return err_set(err, -EIO, "%s: ended by signal %d: %.300s", name, WTERMSIG(status), text);
    return err_set(err, -EIO, "%s: ended with status %d: %.300s", name, WEXITSTATUS(status), text);
}

int command_run(const char *const *argv, const char *input, int timeout_s, struct buf *output,
                struct err *err)
{
    struct buf error = {0};
    struct child_params params = {.argv = argv,
                                  .env = environ,
                                  .input = input,
                                  .out = {take, output},
                                  .error = {take, &error},
                                  .timeout_ns = timeout_s * 1000000000LL};
    int status = 0;
    int ret = child_run(&params, &status);
    if (!ret)
        ret = verdict(argv[0], status, &error, err);
    else if (ret == -ENOENT)
        err_set(err, ret, "%s: expected such a program in $PATH, found none", argv[0]);
    else if (ret == -ETIMEDOUT)
        err_set(err, ret, "%s: expected an answer within %d s, found none", argv[0], timeout_s);
    else
        err_sys(err, ret, "%s: running it", argv[0]);
    buf_release(&error);
    return ret;
}

bool command_is_there(const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        char file[4096];
        size_t len = strcspn(path, ":");
        if (snprintf(file, sizeof file, "%.*s/%s", (int)len, path, name) < (int)sizeof file &&
            access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}
