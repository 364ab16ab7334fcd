/* SPDX-License-Identifier: Apache-2.0 */
#include "store/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const char temporary_prefix[] = ".tmp-";

static int component_check(const char *path, const char *component, size_t len, struct err *err)
{
    if (len == 0)
        return err_set(err, -EINVAL, "path \"%s\": expected names joined by single slashes", path);
    if (len > PATH_COMPONENT_MAX)
        return err_set(err, -EINVAL, "path \"%.80s…\": a name may have %d bytes, found %zu", path,
                       PATH_COMPONENT_MAX, len);
    if ((len == 1 && component[0] == '.') ||
        (len == 2 && component[0] == '.' && component[1] == '.'))
        return err_set(err, -EINVAL, "path \"%s\": \".\" and \"..\" are not allowed", path);
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)component[i]))
            return err_set(err, -EINVAL, "path: a control character at byte %zu",
                           (size_t)(component - path) + i);
    return 0;
}

int path_check(const char *path, struct err *err)
{
    size_t len = strnlen(path, STORE_PATH_MAX);
    if (len == 0)
        return err_set(err, -EINVAL, "path: expected a name, found an empty one");
    if (len >= STORE_PATH_MAX)
        return err_set(err, -EINVAL, "path \"%.80s…\": longer than %d bytes", path,
                       STORE_PATH_MAX - 1);
    if (path[0] == '/')
        return err_set(err, -EINVAL, "path \"%s\": must be relative to the store", path);
    for (const char *at = path;;) {
        size_t n = strcspn(at, "/");
        int ret = component_check(path, at, n, err);
        if (ret)
            return ret;
        if (!at[n])
            return 0;
        at += n + 1;
    }
}

const char *path_leaf(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int path_temporary(const char *path, char out[STORE_PATH_MAX], struct err *err)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return err_sys(err, -errno, "making a temporary name beside %s", path);
    int dir_len = (int)(path_leaf(path) - path);
    int n = snprintf(out, STORE_PATH_MAX, "%.*s%s%ld-%016llx", dir_len, path, temporary_prefix,
                     (long)getpid(), (unsigned long long)random);
    if (n < 0 || n >= STORE_PATH_MAX)
        return err_set(err, -EINVAL, "path \"%.80s…\": too long for a temporary name beside it",
                       path);
    return 0;
}

int path_join(const char *dir, const char *leaf, char out[STORE_PATH_MAX], struct err *err)
{
    int n = snprintf(out, STORE_PATH_MAX, "%s/%s", dir, leaf);
    if (n < 0 || n >= STORE_PATH_MAX)
        return err_set(err, -EINVAL, "path \"%.80s…/%.80s\": longer than %d bytes", dir, leaf,
                       STORE_PATH_MAX - 1);
    return 0;
}

/* .tmp-<decimal>-<16 hex digits> */
bool store_is_temporary(const char *name)
{
    size_t prefix_len = sizeof temporary_prefix - 1;
    if (strncmp(name, temporary_prefix, prefix_len) != 0)
        return false;
    const char *at = name + prefix_len;
    size_t n_digits = strspn(at, "0123456789");
    if (n_digits == 0 || at[n_digits] != '-')
        return false;
    at += n_digits + 1;
    return strspn(at, "0123456789abcdef") == 16 && at[16] == '\0';
}
