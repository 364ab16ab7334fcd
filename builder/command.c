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

/* What a program prints, from its beginning. */
struct answer {
    struct buf *buf;
    size_t len;
    int cut; /* why some of it is missing: -E2BIG, -ENOMEM; 0: it is whole */
};

/* What is beyond the limit is read and thrown away. */
static void take(void *context, const char *data, size_t len)
{
    struct answer *answer = context;
    size_t room = COMMAND_OUTPUT_MAX - answer->len;
    if (answer->cut)
        return;
    if (len > room) {
        answer->cut = -E2BIG;
        len = room;
    }
    if (buf_add(answer->buf, data, len))
        answer->cut = -ENOMEM;
    else
        answer->len += len;
}

/* A part of an answer is not one: what it leaves out would be believed not to be there. */
static int check_whole(const char *name, const struct answer *answer, struct err *err)
{
    if (answer->cut == -E2BIG)
        return err_set(err, -E2BIG, "%s: expected an answer of at most %d MiB, found more", name,
                       COMMAND_OUTPUT_MAX >> 20);
    return answer->cut ? err_sys(err, answer->cut, "%s: taking its answer", name) : 0;
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
    bool has_text = error->len && !buf_add_byte(error, 0);
    const char *text = has_text ? one_line((char *)error->data) : "";
    if (WIFSIGNALED(status))
        return err_set(err, -EIO, "%s: ended by signal %d: %.300s", name, WTERMSIG(status), text);
    return err_set(err, -EIO, "%s: ended with status %d: %.300s", name, WEXITSTATUS(status), text);
}

static void say_not_run(const char *name, int ret, int timeout_s, struct err *err)
{
    if (ret == -ENOENT)
        err_set(err, ret, "%s: expected such a program in $PATH, found none", name);
    else if (ret == -ENOEXEC)
        err_set(err, ret, "%s: expected a program, found a file of no known format (no #! line?)",
                name);
    else if (ret == -ETIMEDOUT)
        err_set(err, ret, "%s: expected an answer within %d s, found none", name, timeout_s);
    else
        err_sys(err, ret, "%s: running it", name);
}

int command_run(const char *const *argv, const char *input, int timeout_s, unsigned flags,
                struct buf *output, struct err *err)
{
    struct buf error = {0};
    struct answer said = {.buf = output};
    struct answer complained = {.buf = &error};
    struct child_params params = {.argv = argv,
                                  .env = environ,
                                  .input = input,
                                  .out = {take, &said},
                                  .error = {take, &complained},
                                  .timeout_ns = timeout_s * 1000000000LL,
                                  .outlasts_signals = flags & COMMAND_CHANGES};
    int status = 0;
    int ret = child_run(&params, &status);
    if (ret)
        say_not_run(argv[0], ret, timeout_s, err);
    else
        ret = verdict(argv[0], status, &error, err);
    if (!ret)
        ret = check_whole(argv[0], &said, err);
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
