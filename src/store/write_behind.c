/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffered write + fsync reaches a fifth of what O_DIRECT with large buffers does on a virtio disk, and a part is
 * never read back through the page cache of the machine that built it. So: two buffers, one helper, direct I/O for
 * whole buffers, and a buffered write for the unaligned tail.
 *
 * States of the hand-over slot: job == NULL (idle; the producer may fill it), job != NULL (the helper owns that
 * buffer). Invariant: the producer writes only to bufs[active], which is never the job.
 */
#include "store/write_behind.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

enum { ALIGN = 4096 };

struct write_behind {
    write_behind_sink sink;
    void *context;    /* of the sink */
    int fd;           /* -1: a sink of somebody else's */
    bool is_direct;   /* O_DIRECT is on; touched by whoever writes, never by both at once */
    bool is_buffered; /* O_DIRECT was refused, or the tail is unaligned: never again */
    uint8_t *bufs[2];
    unsigned active;
    size_t fill;  /* bytes in bufs[active] */
    uint64_t off; /* where bufs[active] goes in the file */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t helper;
    bool has_helper;
    /* Under the lock: */
    const uint8_t *job;
    size_t job_len;
    uint64_t job_off;
    bool stop;
    int ret;
};

static void direct_set(struct write_behind *writer, bool on)
{
    if (on == writer->is_direct)
        return;
    int flags = fcntl(writer->fd, F_GETFL);
    if (flags >= 0 && fcntl(writer->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0)
        writer->is_direct = on;
    else if (on)
        writer->is_buffered = true;
}

/* The sink of a descriptor. */
static int write_fd(void *context, const void *bytes, size_t len, uint64_t off)
{
    struct write_behind *writer = context;
    const uint8_t *data = bytes;
    bool is_aligned = len % ALIGN == 0 && off % ALIGN == 0;
    direct_set(writer, is_aligned && !writer->is_buffered);
    while (len > 0) {
        ssize_t n = pwrite(writer->fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && writer->is_direct) {
            writer->is_buffered = true;
            direct_set(writer, false);
            continue;
        }
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        if ((size_t)n < len && (size_t)n % ALIGN != 0)
            direct_set(writer, false);
        data += n;
        len -= (size_t)n;
        off += (uint64_t)n;
    }
    return 0;
}

static int write_all(struct write_behind *writer, const uint8_t *data, size_t len, uint64_t off)
{
    return writer->sink(writer->context, data, len, off);
}

int write_behind_new_sink(write_behind_sink sink, void *context, struct write_behind **out)
{
    struct write_behind *writer = calloc(1, sizeof *writer);
    if (!writer)
        return -ENOMEM;
    writer->sink = sink;
    writer->context = context;
    writer->fd = -1;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->changed, NULL);
    *out = writer;
    return 0;
}

int write_behind_new(int fd, struct write_behind **out)
{
    int ret = write_behind_new_sink(write_fd, NULL, out);
    if (ret)
        return ret;
    (*out)->context = *out;
    (*out)->fd = fd;
    return 0;
}

static void *helper_main(void *context)
{
    struct write_behind *writer = context;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (!writer->job && !writer->stop)
            pthread_cond_wait(&writer->changed, &writer->lock);
        if (!writer->job)
            break;
        const uint8_t *data = writer->job;
        size_t len = writer->job_len;
        uint64_t off = writer->job_off;
        pthread_mutex_unlock(&writer->lock);
        int ret = write_all(writer, data, len, off);
        pthread_mutex_lock(&writer->lock);
        if (ret && !writer->ret)
            writer->ret = ret;
        writer->job = NULL;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* Waits until the helper has nothing to do; returns what its writes came to. */
static int wait_idle(struct write_behind *writer)
{
    scope_lock(&writer->lock);
    while (writer->job)
        pthread_cond_wait(&writer->changed, &writer->lock);
    return writer->ret;
}

static int fail(struct write_behind *writer, int ret)
{
    scope_lock(&writer->lock);
    if (!writer->ret)
        writer->ret = ret;
    return writer->ret;
}

static void give_to_helper(struct write_behind *writer)
{
    scope_lock(&writer->lock);
    writer->job = writer->bufs[writer->active];
    writer->job_len = writer->fill;
    writer->job_off = writer->off;
    pthread_cond_broadcast(&writer->changed);
}

/* The active buffer is full: hand it over and go on with the other one. */
static int hand_over(struct write_behind *writer)
{
    int ret = wait_idle(writer);
    if (ret)
        return ret;
    if (!writer->has_helper)
        writer->has_helper = pthread_create(&writer->helper, NULL, helper_main, writer) == 0;
    if (writer->has_helper) {
        give_to_helper(writer);
        writer->active ^= 1;
    } else {
        /* No thread to be had: slower, not wrong. */
        ret = write_all(writer, writer->bufs[writer->active], writer->fill, writer->off);
        if (ret)
            return fail(writer, ret);
    }
    writer->off += writer->fill;
    writer->fill = 0;
    return 0;
}

int write_behind_append(struct write_behind *writer, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len > 0) {
        uint8_t **buf = &writer->bufs[writer->active];
        if (!*buf)
            *buf = aligned_alloc(ALIGN, WRITE_BEHIND_LEN);
        if (!*buf)
            return fail(writer, -ENOMEM);
        size_t room = WRITE_BEHIND_LEN - writer->fill;
        size_t n = len < room ? len : room;
        memcpy(*buf + writer->fill, from, n);
        writer->fill += n;
        from += n;
        len -= n;
        if (writer->fill == WRITE_BEHIND_LEN) {
            int ret = hand_over(writer);
            if (ret)
                return ret;
        }
    }
    return 0;
}

int write_behind_flush(struct write_behind *writer)
{
    int ret = wait_idle(writer);
    if (ret)
        return ret;
    if (writer->fill == 0)
        return 0;
    const uint8_t *data = writer->bufs[writer->active];
    /* Only a file that was long enough for direct writes is worth ending in one. */
    size_t aligned = writer->fd >= 0 && writer->off > 0 ? writer->fill / ALIGN * ALIGN : 0;
    if (aligned)
        ret = write_all(writer, data, aligned, writer->off);
    writer->is_buffered = true;
    if (!ret && writer->fill > aligned)
        ret = write_all(writer, data + aligned, writer->fill - aligned, writer->off + aligned);
    if (ret)
        return fail(writer, ret);
    writer->off += writer->fill;
    writer->fill = 0;
    return 0;
}

void write_behind_free(struct write_behind *writer)
{
    if (!writer)
        return;
    if (writer->has_helper) {
        pthread_mutex_lock(&writer->lock);
        writer->stop = true;
        pthread_cond_broadcast(&writer->changed);
        pthread_mutex_unlock(&writer->lock);
        pthread_join(writer->helper, NULL);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    free(writer->bufs[0]);
    free(writer->bufs[1]);
    free(writer);
}
