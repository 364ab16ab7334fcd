/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a buffer to a file on NFS, durably: WRITEs in flight together, then a COMMIT.
 *
 * A WRITE that is not durable lives in the server's memory, and each answer carries the verifier of the server's present
 * life. When the COMMIT's differs from a WRITE's, the server was restarted in between and may have lost that WRITE: all
 * of the buffer is written again. The buffer is the caller's until then, so nothing else need be kept.
 * What fits one WRITE asks for durability in the WRITE itself.
 */
#include "store/nfs.h"

#include <errno.h>
#include <string.h>

enum { WRITE_PIECE_MAX = 1 << 20, WRITES_MAX = 8, LIVES_MAX = 8 };

struct writing {
    const struct nfs_handle *file;
    uint8_t *data;
    size_t len;
    uint64_t off;
    unsigned n_lives;
};

/* Waits for a WRITE; one that took less than it was given is followed up at once. */
static int finish_write(struct nfs *nfs, struct nfs_connection *connection, struct writing *writing,
                        struct nfs_io *io, uint64_t *verifier, bool *is_mixed)
{
    int ret = nfs_call_wait(&io->call);
    for (;;) {
        if (ret)
            return ret;
        if (io->n == 0 || io->n > io->len)
            return -EIO;
        if (!io->is_durable && *verifier && *verifier != io->verifier)
            *is_mixed = true;
        if (!io->is_durable)
            *verifier = io->verifier;
        if (io->n == io->len)
            return 0;
        uint8_t *rest = (uint8_t *)io->data + io->n;
        *io = (struct nfs_io){.data = rest, .len = io->len - io->n};
        ret = nfs->proto->write(connection, writing->file,
                                writing->off + (uint64_t)(rest - writing->data), io);
        if (!ret)
            ret = nfs_call_wait(&io->call);
    }
}

/* Everything once. *verifier is that of the WRITEs that want a COMMIT, 0: none does. */
static int write_round(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                       struct writing *writing, uint64_t *verifier, bool *is_mixed)
{
    struct nfs_io ios[WRITES_MAX];
    size_t max = connection->root.write_max;
    if (max == 0 || max > WRITE_PIECE_MAX)
        max = WRITE_PIECE_MAX;
    size_t sent = 0;
    unsigned first = 0, n = 0;
    int ret = 0;
    while (n > 0 || (!ret && sent < writing->len)) {
        while (n < WRITES_MAX && !ret && sent < writing->len) {
            size_t left = writing->len - sent;
            struct nfs_io *io = &ios[(first + n++) % WRITES_MAX];
            *io = (struct nfs_io){.data = writing->data + sent, .is_durable = writing->len <= max};
            io->len = (uint32_t)(left < max ? left : max);
            nfs->proto->write(connection, writing->file, writing->off + sent, io);
            sent += io->len;
        }
        int code = finish_write(nfs, connection, writing, &ios[first], verifier, is_mixed);
        if (!code)
            nfs_try_progress(try, connection);
        else if (!ret)
            ret = code;
        first = (first + 1) % WRITES_MAX;
        n--;
    }
    return ret;
}

static int write_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                      void *context)
{
    struct writing *writing = context;
    while (writing->n_lives++ < LIVES_MAX) {
        uint64_t verifier = 0;
        bool is_mixed = false;
        struct nfs_io commit = {.len = 0};
        connection->deadline_ns = nfs_now_ns() + NFS_DATA_LIMIT_NS;
        int ret = write_round(nfs, connection, try, writing, &verifier, &is_mixed);
        if (ret || !verifier)
            return ret;
        ret = nfs->proto->commit(connection, writing->file, &commit);
        if (!ret)
            ret = nfs_call_wait(&commit.call);
        if (ret || (commit.verifier == verifier && !is_mixed))
            return ret;
    }
    return -EIO;
}

int nfs_write_durable(struct nfs *nfs, const char *path, const struct nfs_handle *file,
                      const void *data, size_t len, uint64_t off, struct err *err)
{
    struct writing writing = {
        .file = file, .data = (uint8_t *)(uintptr_t)data, .len = len, .off = off};
    return nfs_run(nfs, "writing", path, write_step, &writing, err);
}
