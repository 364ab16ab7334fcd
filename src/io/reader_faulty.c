/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader_faulty.h"

#include "io/reader_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum state { STATE_NONE, STATE_INNER, STATE_LATE };

/* One for each slot. */
struct fate {
    enum state state;
    enum reader_fault fault;
    bool is_faulty;
    int64_t due_ns; /* STATE_LATE: when it is handed to inner */
};

struct faulty {
    struct reader base;
    struct reader *inner;
    struct reader_faults faults;
    unsigned n_reads;
    struct fate *fates;
    struct reader_done *inner_done;
};

static int faulty_add_file(struct reader *reader, uint32_t index, struct err *err)
{
    struct faulty *faulty = (struct faulty *)reader;
    uint32_t inner_index = 0;
    int ret = reader_add_file(faulty->inner, &reader->files[index].file, &inner_index, err);
    /* Both give out the lowest index that is free. */
    if (!ret && inner_index != index)
        return err_set(err, -EINVAL, "the inner reader has files of its own");
    return ret;
}

static void faulty_remove_file(struct reader *reader, uint32_t index)
{
    reader_remove_file(((struct faulty *)reader)->inner, index);
}

static void hand_over(struct faulty *faulty, uint32_t slot)
{
    struct reader_read read = faulty->base.slots[slot].read;
    struct fate *fate = &faulty->fates[slot];
    if (fate->is_faulty && (fate->fault == READER_FAIL || fate->fault == READER_SHORT))
        read.len = (uint32_t)(read.len / READER_PAGE + 1) / 2 * READER_PAGE;
    read.tag = slot;
    fate->state = reader_queue(faulty->inner, &read) ? STATE_LATE : STATE_INNER;
}

static void faulty_start(struct reader *reader, uint32_t slot)
{
    struct faulty *faulty = (struct faulty *)reader;
    const struct reader_faults *faults = &faulty->faults;
    unsigned n = ++faulty->n_reads;
    struct fate *fate = &faulty->fates[slot];
    *fate = (struct fate){.fault = faults->fault};
    fate->is_faulty = faults->nth && n >= faults->nth && n - faults->nth <= faults->n_more;
    if (fate->is_faulty && fate->fault == READER_LATE) {
        fate->state = STATE_LATE;
        fate->due_ns = reader_now_ns() + faults->late_ns;
    } else {
        hand_over(faulty, slot);
    }
}

static void faulty_submit(struct reader *reader)
{
    reader_submit(((struct faulty *)reader)->inner);
}

/* Hands over what is due; returns when the next one will be, at most deadline_ns. */
static int64_t hand_over_due(struct faulty *faulty, int64_t deadline_ns)
{
    int64_t now_ns = reader_now_ns();
    int64_t next_ns = deadline_ns;
    for (uint32_t slot = 0; slot < faulty->base.depth; slot++) {
        const struct fate *fate = &faulty->fates[slot];
        if (fate->state != STATE_LATE)
            continue;
        if (fate->due_ns <= now_ns)
            hand_over(faulty, slot);
        else if (fate->due_ns < next_ns)
            next_ns = fate->due_ns;
    }
    return next_ns;
}

static void finish(struct faulty *faulty, uint32_t slot, int result, struct reader_done *done)
{
    struct fate *fate = &faulty->fates[slot];
    const struct reader_read *read = &faulty->base.slots[slot].read;
    if (fate->is_faulty && fate->fault == READER_FAIL)
        result = -EIO;
    if (fate->is_faulty && fate->fault == READER_SHORT)
        result = -ENODATA;
    if (fate->is_faulty && fate->fault == READER_TORN)
        ((uint8_t *)read->buf)[read->len - 1] ^= 1;
    fate->state = STATE_NONE;
    reader_finish(&faulty->base, slot, result, done);
}

/* At most a millisecond. */
static void pause_until(int64_t end_ns)
{
    int64_t left_ns = end_ns - reader_now_ns();
    struct timespec ts = {.tv_nsec = left_ns < 0 ? 0 : left_ns < 1000000 ? left_ns : 1000000};
    nanosleep(&ts, NULL);
}

static int faulty_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                       struct reader_done *done, unsigned cap, unsigned *n_done)
{
    struct faulty *faulty = (struct faulty *)reader;
    unsigned n = 0;
    do {
        int64_t next_ns = hand_over_due(faulty, deadline_ns);
        unsigned n_inner = 0;
        int ret =
            reader_wait(faulty->inner, n_min - n, next_ns, faulty->inner_done, cap - n, &n_inner);
        if (ret)
            return ret;
        if (n_inner == 0 && n < n_min)
            pause_until(next_ns);
        for (unsigned i = 0; i < n_inner; i++)
            finish(faulty, (uint32_t)faulty->inner_done[i].tag, faulty->inner_done[i].result,
                   &done[n++]);
    } while (n < n_min && reader_now_ns() < deadline_ns);
    *n_done = n;
    return 0;
}

static void faulty_cancel(struct reader *reader)
{
    struct faulty *faulty = (struct faulty *)reader;
    reader_cancel(faulty->inner);
    for (uint32_t slot = 0; slot < reader->depth; slot++)
        faulty->fates[slot].state = STATE_NONE;
}

static void faulty_release(struct reader *reader)
{
    struct faulty *faulty = (struct faulty *)reader;
    free(faulty->fates);
    free(faulty->inner_done);
    reader_free(faulty->inner);
}

static const struct reader_ops FAULTY_OPS = {
    .name = "faulty",
    .add_file = faulty_add_file,
    .remove_file = faulty_remove_file,
    .start = faulty_start,
    .submit = faulty_submit,
    .wait = faulty_wait,
    .cancel = faulty_cancel,
    .release = faulty_release,
};

int reader_faulty_new(struct reader *inner, unsigned depth, struct reader **out, struct err *err)
{
    struct reader_params params = {.depth = depth};
    struct faulty *faulty = calloc(1, sizeof *faulty);
    if (!faulty)
        return err_set(err, -ENOMEM, "no memory for a reader");
    int ret = reader_init(&faulty->base, &FAULTY_OPS, &params, err);
    if (!ret) {
        faulty->fates = calloc(depth, sizeof *faulty->fates);
        faulty->inner_done = calloc(depth, sizeof *faulty->inner_done);
        if (!faulty->fates || !faulty->inner_done)
            ret = err_set(err, -ENOMEM, "no memory for a reader of depth %u", depth);
    }
    if (ret) {
        reader_free(&faulty->base);
        return ret;
    }
    faulty->inner = inner;
    *out = &faulty->base;
    return 0;
}

void reader_faulty_set(struct reader *reader, const struct reader_faults *faults)
{
    struct faulty *faulty = (struct faulty *)reader;
    faulty->faults = *faults;
    faulty->n_reads = 0;
}

unsigned reader_faulty_n_reads(const struct reader *reader)
{
    return ((const struct faulty *)reader)->n_reads;
}
