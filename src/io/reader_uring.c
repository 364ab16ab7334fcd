/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uring reader: one io_uring, reads handed to the kernel some twenty at a time.
 *
 * A slot is either pending (ours: not an entry of the ring yet) or in the ring until its completion
 * was taken. Only pending slots become entries, and there are never more slots than the ring has
 * entries, so the ring is never full. Registered files save a look-up and a reference count a read,
 * the registered pool saves pinning its page; both are only taken where the kernel grants them.
 *
 * Completions are run when this thread enters the kernel (COOP_TASKRUN), not by interrupting it.
 */
#include "io/reader_impl.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUBMIT_EACH = 24,   /* reads an enter: fewer cost system calls, more leave the disk idle */
    FIXED_FILES = 1024, /* of the files, those of lower index are registered */
};

#define CANCEL_TAG UINT64_MAX

struct uring {
    struct reader base;
    struct io_uring ring;
    bool has_ring;
    uint32_t n_fixed; /* registered places for files; 0: none */
    const uint8_t *pool;
    size_t pool_len; /* registered; 0: none */
    uint32_t *pending;
    unsigned n_pending;
    unsigned n_ring;  /* reads in the ring */
    unsigned n_extra; /* completions of cancel requests still to come */
};

static int uring_add_file(struct reader *reader, uint32_t index, struct err *err)
{
    struct uring *uring = (struct uring *)reader;
    if (index >= uring->n_fixed)
        return 0;
    int fd = reader->files[index].file.fd;
    int ret = io_uring_register_files_update(&uring->ring, index, &fd, 1);
    return ret < 0 ? err_sys(err, ret, "registering descriptor %d", fd) : 0;
}

static void uring_remove_file(struct reader *reader, uint32_t index)
{
    struct uring *uring = (struct uring *)reader;
    int none = -1;
    if (index < uring->n_fixed)
        io_uring_register_files_update(&uring->ring, index, &none, 1);
}

static bool is_in_pool(const struct uring *uring, const uint8_t *buf, uint32_t len)
{
    uintptr_t start = (uintptr_t)uring->pool;
    uintptr_t at = (uintptr_t)buf;
    return len <= uring->pool_len && at >= start && at - start <= uring->pool_len - len;
}

static void push(struct uring *uring, uint32_t index)
{
    const struct reader_slot *slot = &uring->base.slots[index];
    const struct reader_read *read = &slot->read;
    uint8_t *buf = (uint8_t *)read->buf + slot->n_read;
    uint32_t len = read->len - slot->n_read;
    bool is_fixed = read->file < uring->n_fixed;
    int fd = is_fixed ? (int)read->file : uring->base.files[read->file].file.fd;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (is_in_pool(uring, buf, len))
        io_uring_prep_read_fixed(sqe, fd, buf, len, read->off + slot->n_read, 0);
    else
        io_uring_prep_read(sqe, fd, buf, len, read->off + slot->n_read);
    if (is_fixed)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, index);
}

/* Pending slots become entries. The kernel may leave entries in the ring, so room is asked for. */
static void push_pending(struct uring *uring)
{
    unsigned n = 0;
    while (n < uring->n_pending && io_uring_sq_space_left(&uring->ring))
        push(uring, uring->pending[n++]);
    uring->n_pending -= n;
    uring->n_ring += n;
    memmove(uring->pending, uring->pending + n, uring->n_pending * sizeof *uring->pending);
}

static void uring_submit(struct reader *reader)
{
    struct uring *uring = (struct uring *)reader;
    push_pending(uring);
    /* An error leaves the entries where they are, and wait() meets it again. */
    io_uring_submit(&uring->ring);
}

static void uring_start(struct reader *reader, uint32_t slot)
{
    struct uring *uring = (struct uring *)reader;
    uring->pending[uring->n_pending++] = slot;
    if (uring->n_pending >= SUBMIT_EACH)
        uring_submit(reader);
}

/* Takes completions there are; what is not finished is pending again. Returns the results. */
static unsigned reap(struct uring *uring, struct reader_done *done, unsigned cap)
{
    unsigned n = 0;
    struct io_uring_cqe *cqe = NULL;
    while (n < cap && io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        uint64_t tag = cqe->user_data;
        int answer = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        if (tag == CANCEL_TAG) {
            uring->n_extra--;
            continue;
        }
        uring->n_ring--;
        struct reader_slot *slot = &uring->base.slots[tag];
        bool is_direct = uring->base.files[slot->read.file].file.is_direct;
        int result = 0;
        if (reader_advance(slot, is_direct, answer, &result) == READER_FINISHED)
            reader_finish(&uring->base, (uint32_t)tag, result, &done[n++]);
        else
            uring->pending[uring->n_pending++] = (uint32_t)tag;
    }
    return n;
}

static void pause_ns(long ns)
{
    const struct timespec ts = {.tv_nsec = ns};
    nanosleep(&ts, NULL);
}

/* Submits and waits for n_wait completions or left_ns; interruptions and busy kernels are no errors. */
static int enter(struct uring *uring, unsigned n_wait, int64_t left_ns)
{
    struct __kernel_timespec ts = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
    struct io_uring_cqe *cqe = NULL;
    int ret = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, n_wait, &ts, NULL);
    /* It has not waited: neither do we ask again at once. */
    if (ret == -EAGAIN || ret == -EBUSY)
        pause_ns(100000);
    return ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY ? ret : 0;
}

static int uring_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                      struct reader_done *done, unsigned cap, unsigned *n_done)
{
    struct uring *uring = (struct uring *)reader;
    unsigned n = 0;
    if (n_min == 0) {
        push_pending(uring);
        io_uring_submit_and_get_events(&uring->ring);
    }
    for (;;) {
        n += reap(uring, done + n, cap - n);
        push_pending(uring);
        int64_t now_ns = reader_now_ns();
        if (n >= n_min || deadline_ns <= now_ns)
            break;
        unsigned n_wait = n_min - n < uring->n_ring ? n_min - n : uring->n_ring;
        int ret = enter(uring, n_wait, deadline_ns - now_ns);
        if (ret) {
            /* Results already taken are not lost: the error comes again in the next call. */
            *n_done = n;
            return n ? 0 : ret;
        }
    }
    if (io_uring_sq_ready(&uring->ring))
        io_uring_submit(&uring->ring);
    *n_done = n;
    return 0;
}

/* Asks the kernel to give up all it can: reads it has not begun, and such as wait for a peer. */
static void ask_cancel(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, CANCEL_TAG);
    uring->n_extra++;
}

static void drop_completions(struct uring *uring)
{
    struct io_uring_cqe *cqe = NULL;
    while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        if (cqe->user_data == CANCEL_TAG)
            uring->n_extra--;
        else
            uring->n_ring--;
        io_uring_cqe_seen(&uring->ring, cqe);
    }
}

/* Entries that the kernel has not taken come to nothing: their files may be closed by now. */
static void void_queued(struct uring *uring)
{
    struct io_uring_sq *sq = &uring->ring.sq;
    for (unsigned i = sq->sqe_tail - io_uring_sq_ready(&uring->ring); i != sq->sqe_tail; i++) {
        struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];
        uint64_t tag = sqe->user_data;
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, tag);
    }
}

static void uring_cancel(struct reader *reader)
{
    struct uring *uring = (struct uring *)reader;
    uring->n_pending = 0;
    bool has_asked = false;
    int ret = 0;
    void_queued(uring);
    for (;;) {
        drop_completions(uring);
        /* A ring that takes nothing any more never answers for what it was not given. */
        unsigned n_queued = ret ? io_uring_sq_ready(&uring->ring) : 0;
        if (uring->n_ring + uring->n_extra <= n_queued)
            return;
        /* What is still in the queue goes in first, so that there is room to ask. */
        if (!has_asked && io_uring_submit(&uring->ring) >= 0 &&
            io_uring_sq_ready(&uring->ring) == 0) {
            ask_cancel(uring);
            has_asked = true;
        }
        /* Leaving early would give buffers back that the kernel still writes to. */
        ret = enter(uring, 1, 1000000000);
        if (ret)
            pause_ns(1000000);
    }
}

static void uring_release(struct reader *reader)
{
    struct uring *uring = (struct uring *)reader;
    if (uring->has_ring)
        io_uring_queue_exit(&uring->ring);
    free(uring->pending);
}

static const struct reader_ops URING_OPS = {
    .name = "uring",
    .add_file = uring_add_file,
    .remove_file = uring_remove_file,
    .start = uring_start,
    .submit = uring_submit,
    .wait = uring_wait,
    .cancel = uring_cancel,
    .release = uring_release,
};

static int open_ring(struct uring *uring, unsigned depth, struct err *err)
{
    int ret = io_uring_queue_init(depth, &uring->ring, IORING_SETUP_COOP_TASKRUN);
    if (ret == -EINVAL) /* before Linux 5.19 */
        ret = io_uring_queue_init(depth, &uring->ring, 0);
    if (ret == -EPERM || ret == -EACCES || ret == -ENOSYS || ret == -EINVAL || ret == -EOPNOTSUPP)
        return err_sys(err, -ENOTSUP, "io_uring cannot be used here: %s", strerror(-ret));
    if (ret)
        return err_sys(err, ret, "opening an io_uring of depth %u", depth);
    uring->has_ring = true;
    /* Waits with a deadline, since Linux 5.11. */
    if (!(uring->ring.features & IORING_FEAT_EXT_ARG))
        return err_set(err, -ENOTSUP, "io_uring of this kernel is too old: expected Linux 5.11");
    return 0;
}

static void register_all(struct uring *uring, const struct reader_params *params)
{
    if (io_uring_register_files_sparse(&uring->ring, FIXED_FILES) == 0)
        uring->n_fixed = FIXED_FILES;
    struct iovec pool = {.iov_base = params->pool, .iov_len = params->pool_len};
    if (params->pool && io_uring_register_buffers(&uring->ring, &pool, 1) == 0) {
        uring->pool = params->pool;
        uring->pool_len = params->pool_len;
    }
}

int reader_uring_new(const struct reader_params *params, struct reader **out, struct err *err)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (!uring)
        return err_set(err, -ENOMEM, "no memory for a reader");
    int ret = reader_init(&uring->base, &URING_OPS, params, err);
    if (!ret) {
        uring->pending = calloc(params->depth, sizeof *uring->pending);
        if (!uring->pending)
            ret = err_set(err, -ENOMEM, "no memory for a reader of depth %u", params->depth);
    }
    if (!ret)
        ret = open_ring(uring, params->depth, err);
    if (ret) {
        reader_free(&uring->base);
        return ret;
    }
    register_all(uring, params);
    *out = &uring->base;
    return 0;
}
