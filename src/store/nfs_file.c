/* SPDX-License-Identifier: Apache-2.0 */
/* Files on NFS: reading with several READs in flight, appending through write_behind. */
#include "store/nfs.h"

#include "store/nfs_error.h"
#include "store/nfs_walk.h"
#include "store/write_behind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_PIECE_MAX = 1 << 20 };

struct backend_file {
    struct nfs *nfs;
    struct nfs_node node;
    uint64_t len; /* as found, and what was appended */
    struct write_behind *writer;
    struct err trouble; /* of the first write that failed */
    char path[];
};

int nfs_file_new(struct nfs *nfs, const char *path, const struct nfs_node *node,
                 struct backend_file **out)
{
    size_t len = strlen(path);
    struct backend_file *file = calloc(1, sizeof *file + len + 1);
    if (!file)
        return -ENOMEM;
    file->nfs = nfs;
    file->node = *node;
    file->len = node->len;
    memcpy(file->path, path, len + 1);
    *out = file;
    return 0;
}

void nfs_file_close(struct backend_file *file)
{
    if (!file)
        return;
    write_behind_free(file->writer);
    free(file);
}

uint64_t nfs_file_len(const struct backend_file *file)
{
    return file->len;
}

struct reading {
    struct backend_file *file;
    uint64_t off;
    uint8_t *data;
    size_t len;
    size_t done; /* these are there, whatever becomes of the rest */
};

/*
 * The handle is of no use any more, but the file may be the same in an export that is back. When it is another or none, no
 * further try helps: -ESTALE, for good.
 */
static int find_again(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                      struct backend_file *file)
{
    struct nfs_node node = {0};
    int ret = nfs_walk_node(nfs, connection, file->path, &node);
    bool is_same = !ret && node.type == NFS_FILE && nfs_same_file(&node, &file->node) &&
                   node.len == file->node.len &&
                   memcmp(&node.handle, &file->node.handle, sizeof node.handle) != 0;
    if (is_same)
        file->node = node;
    if (is_same || (ret && ret != -ENOENT))
        return ret;
    try->was_stale = true;
    return -ESTALE;
}

static size_t piece_len(const struct nfs_connection *connection, size_t left)
{
    size_t max = connection->root.read_max;
    if (max == 0 || max > READ_PIECE_MAX)
        max = READ_PIECE_MAX;
    return left < max ? left : max;
}

/* Keeps up to NFS_WINDOW_MAX pieces in flight, and takes them in order; a short one ends this round. */
static int read_round(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                      struct reading *reading)
{
    struct nfs_io ios[NFS_WINDOW_MAX];
    const unsigned window = nfs_try_window(try);
    size_t sent = reading->done; /* asked for up to here */
    unsigned first = 0, n = 0;
    bool is_short = false;
    int ret = 0;
    while (n > 0 || (!ret && !is_short && sent < reading->len)) {
        while (n < window && !ret && !is_short && sent < reading->len) {
            struct nfs_io *io = &ios[(first + n++) % NFS_WINDOW_MAX];
            *io = (struct nfs_io){.data = reading->data + sent};
            io->len = (uint32_t)piece_len(connection, reading->len - sent);
            nfs->proto->read(connection, &reading->file->node.handle, reading->off + sent, io);
            sent += io->len;
        }
        struct nfs_io *io = &ios[first];
        int code = nfs_call_wait(&io->call);
        if (!ret && !is_short) {
            ret = code;
            if (!ret) {
                reading->done += io->n;
                nfs_try_progress(try, connection);
            }
            is_short = io->n < io->len;
            if (!ret && is_short && (io->is_end || io->n == 0))
                reading->len = reading->done;
        }
        first = (first + 1) % NFS_WINDOW_MAX;
        n--;
    }
    return ret;
}

static int read_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                     void *context)
{
    struct reading *reading = context;
    bool was_found = try->was_stale;
    int ret = was_found ? find_again(nfs, connection, try, reading->file) : 0;
    nfs_try_data(try, connection);
    while (!ret && reading->done < reading->len) {
        ret = read_round(nfs, connection, try, reading);
        if (ret == -ESTALE && !was_found) {
            was_found = true;
            ret = find_again(nfs, connection, try, reading->file);
        }
    }
    return ret;
}

int nfs_file_read(struct backend_file *file, uint64_t off, void *data, size_t len, size_t *n_read,
                  struct err *err)
{
    uint64_t left = off < file->len ? file->len - off : 0;
    struct reading reading = {.file = file, .off = off, .data = data};
    reading.len = len < left ? len : (size_t)left;
    int ret =
        reading.len == 0 ? 0 : nfs_run(file->nfs, "reading", file->path, read_step, &reading, err);
    if (!ret)
        *n_read = reading.done;
    return ret;
}

static int write_sink(void *context, const void *data, size_t len, uint64_t off)
{
    struct backend_file *file = context;
    return nfs_write_durable(file->nfs, file->path, &file->node.handle, data, len, off,
                             file->trouble.code ? NULL : &file->trouble);
}

/* What write_behind returned. The sink has ended before that. */
static int written(const struct backend_file *file, int ret, struct err *err)
{
    if (!ret)
        return 0;
    if (ret != file->trouble.code)
        return nfs_error_set(err, ret, 0, "writing", file->nfs->url.place, file->path);
    if (err)
        *err = file->trouble;
    return ret;
}

int nfs_file_append(struct backend_file *file, const void *data, size_t len, struct err *err)
{
    int ret = file->writer ? 0 : write_behind_new_sink(write_sink, file, &file->writer);
    if (!ret)
        ret = write_behind_append(file->writer, data, len);
    if (ret)
        return written(file, ret, err);
    file->len += len;
    return 0;
}

int nfs_file_sync(struct backend_file *file, struct err *err)
{
    return written(file, file->writer ? write_behind_flush(file->writer) : 0, err);
}
