/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a buffer to a file on NFS, durably: WRITEs in flight together, then a COMMIT.
 *
 * A WRITE that is not durable lives in the server's memory, and each answer carries the verifier of the server's present
 * life, as does the COMMIT's. As long as all are the same, nothing was lost, over however many connections. When one
 * differs, the server was restarted in between and may have lost what was written before: the buffer is written again from
 * its start. The buffer is the caller's until then, so nothing else need be kept.
 * What fits one WRITE asks for durability in the WRITE itself.
 */
#include "store/nfs.h"

#include <errno.h>
#include <string.h>

enum { WRITE_PIECE_MAX = 1 << 20, LIVES_MAX = 8 };

struct writing {
    const struct nfs_handle *file;
    uint8_t *data;
    size_t len;
    uint64_t off;
    size_t done; /* the server has these, in memory at least */
    bool has_verifier;
    uint64_t verifier; /* of the WRITEs so far that want a COMMIT */
    unsigned n_lives;
};

/* The server may have lost what it had. */
static int start_over(struct writing *writing)
{
    writing->done = 0;
    writing->has_verifier = false;
    return ++writing->n_lives < LIVES_MAX ? 0 : -EREMOTEIO;
}

/* A WRITE's answer; false: it is of another life of the server's than the ones before. */
static bool note_verifier(struct writing *writing, const struct nfs_io *io)
{
    if (io->is_durable)
        return true;
    bool is_same = !writing->has_verifier || writing->verifier == io->verifier;
    writing->has_verifier = true;
    writing->verifier = io->verifier;
    return is_same;
}

static void send(struct nfs *nfs, struct nfs_connection *connection, struct writing *writing,
                 size_t at, struct nfs_io *io)
{
    size_t max = connection->root.write_max;
    if (max == 0 || max > WRITE_PIECE_MAX)
        max = WRITE_PIECE_MAX;
    size_t left = writing->len - at;
    *io = (struct nfs_io){.data = writing->data + at, .is_durable = writing->len <= max};
    io->len = (uint32_t)(left < max ? left : max);
    nfs->proto->write(connection, writing->file, writing->off + at, io);
}

/*
 * From what is done to the end, or to the first trouble; all answers are waited for. A WRITE that took less than it was
 * given ends the round, too: the next one begins where it stopped. *is_lost: the server was restarted.
 */
static int write_round(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                       struct writing *writing, bool *is_lost)
{
    struct nfs_io ios[NFS_WINDOW_MAX];
    const unsigned window = nfs_try_window(try);
    size_t sent = writing->done;
    unsigned first = 0, n = 0;
    bool is_short = false;
    int ret = 0;
    while (n > 0 || (!ret && !is_short && sent < writing->len)) {
        while (n < window && !ret && !is_short && sent < writing->len) {
            struct nfs_io *io = &ios[(first + n++) % NFS_WINDOW_MAX];
            send(nfs, connection, writing, sent, io);
            sent += io->len;
        }
        const struct nfs_io *io = &ios[first];
        int code = nfs_call_wait(&ios[first].call);
        first = (first + 1) % NFS_WINDOW_MAX;
        n--;
        if (ret || is_short)
            continue;
        ret = code;
        if (!ret && (io->n == 0 || io->n > io->len))
            ret = -EIO;
        if (ret)
            continue;
        *is_lost |= !note_verifier(writing, io);
        is_short = *is_lost || io->n < io->len;
        writing->done += io->n;
        nfs_try_progress(try, connection);
    }
    return ret;
}

/* True, in *is_done, when all that was written is of one life of the server's. */
static int commit(struct nfs *nfs, struct nfs_connection *connection, struct writing *writing,
                  bool *is_done)
{
    struct nfs_io io = {.len = 0};
    *is_done = !writing->has_verifier;
    if (*is_done)
        return 0;
    int ret = nfs->proto->commit(connection, writing->file, &io);
    if (!ret)
        ret = nfs_call_wait(&io.call);
    *is_done = !ret && io.verifier == writing->verifier;
    return ret;
}

static int write_step(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                      void *context)
{
    struct writing *writing = context;
    bool is_done = false;
    int ret = 0;
    while (!ret && !is_done) {
        bool is_lost = false;
        nfs_try_data(try, connection);
        ret = write_round(nfs, connection, try, writing, &is_lost);
        if (!ret && !is_lost && writing->done == writing->len) {
            ret = commit(nfs, connection, writing, &is_done);
            is_lost = !ret && !is_done;
        }
        if (is_lost)
            ret = start_over(writing);
    }
    return ret;
}

int nfs_write_durable(struct nfs *nfs, const char *path, const struct nfs_handle *file,
                      const void *data, size_t len, uint64_t off, struct err *err)
{
    struct writing writing = {
        .file = file, .data = (uint8_t *)(uintptr_t)data, .len = len, .off = off};
    return nfs_run(nfs, "writing", path, write_step, &writing, err);
}
