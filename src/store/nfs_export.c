/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_export.h"

#include "store/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char form[] = "expected nfs://server/export/dir?version=4&nfsport=2049";

enum { DEFAULT_VERSION = 3, DEFAULT_PORT = 2049 };

/* Which of the options were given: they come back in the canonical form, in this order. */
static const struct {
    const char *name;
    size_t off; /* in struct nfs_export, an unsigned */
    uint32_t min, max;
} options[] = {
    {"version", offsetof(struct nfs_export, version), 3, 4},
    {"nfsport", offsetof(struct nfs_export, nfsport), 1, UINT16_MAX},
    {"mountport", offsetof(struct nfs_export, mountport), 1, UINT16_MAX},
    {"uid", offsetof(struct nfs_export, uid), 0, UINT32_MAX - 1},
    {"gid", offsetof(struct nfs_export, gid), 0, UINT32_MAX - 1},
};
enum { N_OPTIONS = sizeof options / sizeof *options, OPTION_UID = 3, OPTION_GID = 4 };

/* Options of libnfs's, and why they are not ours. */
static const struct {
    const char *name;
    const char *why;
} refused[] = {
    {"autoreconnect", "fkv reconnects by itself, within the time limit of each call"},
    {"readahead", "fkv keeps several requests in flight by itself"},
    {"pagecache", "what one host published another must see at once"},
    {"dircache", "what one host published another must see at once"},
    {"auto-traverse-mounts", "a store is one export"},
    {"tcp-syncnt", "each call has a time limit of its own"},
    {"debug", "there is no log of single requests"},
    {"if", "which interface is used is the system's routing's business"},
};

static int option_number(const char *text, const char *name, const char *value, uint32_t min,
                         uint32_t max, uint32_t *out, struct err *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || n < min || n > max)
        return err_set(err, -EINVAL,
                       "store URL \"%s\": %s: expected a number from %u to %u, found "
                       "\"%s\"",
                       text, name, min, max, value);
    *out = (uint32_t)n;
    return 0;
}

static int option_take(const char *text, const char *option, struct nfs_export *url, bool *given,
                       struct err *err)
{
    size_t len = strcspn(option, "=");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (strlen(options[i].name) != len || strncmp(option, options[i].name, len) != 0)
            continue;
        if (given[i])
            return err_set(err, -EINVAL, "store URL \"%s\": %s= is there twice", text,
                           options[i].name);
        given[i] = true;
        return option_number(text, options[i].name, option + len + (option[len] == '='),
                             options[i].min, options[i].max,
                             (uint32_t *)(void *)((char *)url + options[i].off), err);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strlen(refused[i].name) == len && strncmp(option, refused[i].name, len) == 0)
            return err_set(err, -EINVAL, "store URL \"%s\": %s= cannot be set: %s", text,
                           refused[i].name, refused[i].why);
    return err_set(err, -EINVAL,
                   "store URL \"%s\": unknown option \"%.*s\"; there are version, "
                   "nfsport, mountport, uid and gid",
                   text, (int)len, option);
}

static int options_take(const char *text, const char *list, struct nfs_export *url, bool *given,
                        struct err *err)
{
    for (const char *at = list; at && *at;) {
        char option[64];
        size_t len = strcspn(at, "&");
        if (len >= sizeof option)
            return err_set(err, -EINVAL, "store URL \"%s\": option \"%.60s…\" is too long", text,
                           at);
        memcpy(option, at, len);
        option[len] = '\0';
        int ret = option_take(text, option, url, given, err);
        if (ret)
            return ret;
        at += len + (at[len] == '&');
    }
    return 0;
}

/* "server", "[v6]"; where the path begins, or NULL. */
static const char *server_take(const char *at, struct nfs_export *url)
{
    bool is_bracketed = *at == '[';
    at += is_bracketed;
    size_t len = strcspn(at, is_bracketed ? "]" : "/?:");
    const char *end = at + len + (is_bracketed && at[len] == ']');
    if (len == 0 || len >= sizeof url->server || *end != '/' || (is_bracketed && at[len] != ']'))
        return NULL;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)at[i]) && !strchr(is_bracketed ? ":.%" : "-._", at[i]))
            return NULL;
    memcpy(url->server, at, len);
    url->server[len] = '\0';
    return end;
}

/* Single slashes, none at the end; no "." or ".." */
static int path_take(const char *text, const char *path, size_t len, struct nfs_export *url,
                     struct err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        while (i < len && path[i] == '/')
            i++;
        size_t start = i;
        while (i < len && path[i] != '/')
            i++;
        if (i == start)
            break;
        if (n + 1 + i - start >= sizeof url->path)
            return err_set(err, -EINVAL, "store URL \"%.80s…\": its path is longer than %d bytes",
                           text, NFS_PATH_MAX - 1);
        url->path[n++] = '/';
        memcpy(url->path + n, path + start, i - start);
        n += i - start;
    }
    url->path[n] = '\0';
    if (n == 0)
        strcpy(url->path, "/");
    else if (path_check(url->path + 1, err))
        return err_wrap(err, -EINVAL, "store URL \"%s\"", text);
    return 0;
}

static void who_we_are(struct nfs_export *url)
{
    gid_t groups[256];
    url->uid = geteuid();
    url->gid = getegid();
    int n = getgroups(sizeof groups / sizeof *groups, groups);
    for (int i = 0; i < n && url->n_groups < NFS_GROUPS_MAX; i++)
        url->groups[url->n_groups++] = groups[i];
}

static int canonical_make(struct nfs_export *url, const bool *given, struct err *err)
{
    bool is_v6 = strchr(url->server, ':');
    size_t cap = sizeof url->canonical;
    int n = snprintf(url->canonical, cap, is_v6 ? "nfs://[%s]%s" : "nfs://%s%s", url->server,
                     url->path);
    strcpy(url->place, url->canonical);
    char mark = '?';
    for (size_t i = 0; i < N_OPTIONS && n > 0 && (size_t)n < cap; i++) {
        uint32_t value = 0;
        if (!given[i])
            continue;
        memcpy(&value, (const char *)url + options[i].off, sizeof value);
        n += snprintf(url->canonical + n, cap - (size_t)n, "%c%s=%u", mark, options[i].name, value);
        mark = '&';
    }
    if (n < 0 || (size_t)n >= cap)
        return err_set(err, -EINVAL, "store URL \"%.80s…\": too long", url->canonical);
    return 0;
}

int nfs_export_parse(const char *text, struct nfs_export *out, struct err *err)
{
    bool given[N_OPTIONS] = {false};
    struct nfs_export url = {.version = DEFAULT_VERSION, .nfsport = DEFAULT_PORT};
    const char *path = strncmp(text, "nfs://", 6) == 0 ? server_take(text + 6, &url) : NULL;
    if (!path)
        return err_set(err, -EINVAL, "store URL \"%s\": %s", text, form);
    size_t len = strcspn(path, "?");
    who_we_are(&url);
    int ret = path_take(text, path, len, &url, err);
    if (!ret)
        ret = options_take(text, path[len] ? path + len + 1 : NULL, &url, given, err);
    if (!ret)
        ret = canonical_make(&url, given, err);
    if (ret)
        return ret;
    /* Somebody else's groups would be no use to who the URL names. */
    if (given[OPTION_UID] || given[OPTION_GID])
        url.n_groups = 0;
    *out = url;
    return 0;
}
