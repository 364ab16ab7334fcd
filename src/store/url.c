/* SPDX-License-Identifier: Apache-2.0 */
#include "store/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char forms[] = "expected /dir, file:///dir or nfs://server/dir";

/* Single slashes, no "." names, no slash at the end. ".." stays: the kernel resolves it. */
static void dir_canonical(const char *path, char *out)
{
    size_t len = 0;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t n = strcspn(at, "/");
        if (n == 0)
            break;
        if (n != 1 || *at != '.') {
            out[len++] = '/';
            memcpy(out + len, at, n);
            len += n;
        }
        at += n;
    }
    if (len == 0)
        out[len++] = '/';
    out[len] = '\0';
}

int url_parse(const char *text, struct url *out, struct err *err)
{
    const char *path = text;
    if (strnlen(text, STORE_URL_MAX) >= STORE_URL_MAX)
        return err_set(err, -EINVAL, "store URL \"%.80s…\": longer than %d bytes", text,
                       STORE_URL_MAX - 1);
    out->is_nfs = strncmp(text, "nfs://", 6) == 0;
    if (out->is_nfs) {
        int ret = nfs_export_parse(text, &out->nfs, err);
        if (!ret)
            snprintf(out->canonical, sizeof out->canonical, "%s", out->nfs.canonical);
        return ret;
    }
    if (strncmp(text, "file://", 7) == 0) {
        path = text + 7;
        if (*path != '/')
            return err_set(err, -EINVAL,
                           "store URL \"%s\": a file URL has no host name and an absolute path; %s",
                           text, forms);
    } else if (*path != '/') {
        return err_set(err, -EINVAL, "store URL \"%s\": %s", text, forms);
    }
    dir_canonical(path, out->dir);
    snprintf(out->canonical, sizeof out->canonical, "file://%s", out->dir);
    return 0;
}
