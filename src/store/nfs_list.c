/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing a directory on NFS. Where a page ends is said by a cookie, which any connection takes; so what is there stays
 * there when one breaks. A server may want a listing begun anew when the directory changed under it.
 */
#include "store/nfs.h"

#include "store/nfs_walk.h"

#include <errno.h>
#include <string.h>

enum { RESTARTS_MAX = 5, NAMES_MAX = 4 << 20 };

struct job {
    const char *path;
    struct nfs_handle dir;
    struct nfs_listing listing;
    unsigned n_restarts;
};

static void begin(struct job *job)
{
    nfs_names_release(&job->listing.names);
    job->listing = (struct nfs_listing){.cookie = 0};
}

static bool is_same(const struct nfs_handle *a, const struct nfs_handle *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* A server that does not get on would have us gather names until the memory is full. */
static int next_page(struct nfs *nfs, struct nfs_connection *connection, struct job *job)
{
    const uint64_t cookie = job->listing.cookie;
    int ret = nfs->proto->list(connection, &job->dir, &job->listing);
    if (ret == -ERESTART && ++job->n_restarts < RESTARTS_MAX) {
        begin(job);
        return 0;
    }
    bool is_stuck = !job->listing.is_end && job->listing.cookie == cookie;
    return !ret && (is_stuck || job->listing.names.n > NAMES_MAX) ? -EBADMSG : ret;
}

static int list_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                     void *context)
{
    struct job *job = context;
    struct nfs_handle dir = {0};
    int ret = nfs_walk_dir(nfs, connection, job->path, strlen(job->path), &dir);
    if (!ret && !is_same(&dir, &job->dir)) {
        begin(job);
        job->dir = dir;
    }
    while (!ret && !job->listing.is_end) {
        ret = next_page(nfs, connection, job);
        if (!ret)
            nfs_try_progress(try, connection);
    }
    return ret;
}

int nfs_list_dir(struct nfs *nfs, const char *path, struct store_list *out, struct err *err)
{
    struct job job = {.path = path};
    int ret = nfs_run(nfs, "listing", path, list_step, &job, err);
    if (ret)
        begin(&job);
    else
        *out =
            (struct store_list){.names = job.listing.names.names, .n_names = job.listing.names.n};
    return ret;
}
