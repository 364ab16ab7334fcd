/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain reader: pread() in the order of the queue, inside wait(). One read at a time is a
 * fraction of what a disk can do; it is here so that reads get done where io_uring may not be used.
 */
#include "io/reader_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct plain {
    struct reader base;
    uint32_t *queue; /* a ring of `depth` slots */
    unsigned head;
    unsigned n_queued;
};

static void plain_start(struct reader *reader, uint32_t slot)
{
    struct plain *plain = (struct plain *)reader;
    plain->queue[(plain->head + plain->n_queued++) % reader->depth] = slot;
}

static void plain_submit(struct reader *reader)
{
}

static int read_slot(const struct reader_file *file, struct reader_slot *slot)
{
    int result = 0;
    for (;;) {
        const struct reader_read *read = &slot->read;
        ssize_t n = pread(file->fd, (uint8_t *)read->buf + slot->n_read, read->len - slot->n_read,
                          (off_t)(read->off + slot->n_read));
        if (reader_advance(slot, file->is_direct, n < 0 ? -errno : n, &result) == READER_FINISHED)
            return result;
    }
}

static int plain_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                      struct reader_done *done, unsigned cap, unsigned *n_done)
{
    struct plain *plain = (struct plain *)reader;
    unsigned n = 0;
    while (n < n_min && reader_now_ns() < deadline_ns) {
        uint32_t slot = plain->queue[plain->head];
        plain->head = (plain->head + 1) % reader->depth;
        plain->n_queued--;
        struct reader_slot *s = &reader->slots[slot];
        int result = read_slot(&reader->files[s->read.file].file, s);
        reader_finish(reader, slot, result, &done[n++]);
    }
    *n_done = n;
    return 0;
}

static void plain_cancel(struct reader *reader)
{
    ((struct plain *)reader)->n_queued = 0;
}

static void plain_release(struct reader *reader)
{
    free(((struct plain *)reader)->queue);
}

static const struct reader_ops PLAIN_OPS = {
    .name = "plain",
    .start = plain_start,
    .submit = plain_submit,
    .wait = plain_wait,
    .cancel = plain_cancel,
    .release = plain_release,
};

int reader_plain_new(const struct reader_params *params, struct reader **out, struct err *err)
{
    struct plain *plain = calloc(1, sizeof *plain);
    if (!plain)
        return err_set(err, -ENOMEM, "no memory for a reader");
    int ret = reader_init(&plain->base, &PLAIN_OPS, params, err);
    if (!ret) {
        plain->queue = calloc(params->depth, sizeof *plain->queue);
        if (!plain->queue)
            ret = err_set(err, -ENOMEM, "no memory for a reader of depth %u", params->depth);
    }
    if (ret) {
        reader_free(&plain->base);
        return ret;
    }
    *out = &plain->base;
    return 0;
}
