/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/read_ahead.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { N_BUFFERS = 2 };

struct buffer {
    uint8_t *data;
    uint64_t off; /* in the source, of data[0] */
    size_t pos;   /* what was used */
    size_t len;   /* 0: the source's end, or its error */
    bool is_full;
    int code;
    struct err err;
};

struct read_ahead {
    struct source *source;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below, but for the data of a buffer, which is its owner's */
    pthread_cond_t changed;
    struct buffer buffers[N_BUFFERS];
    unsigned next;  /* the buffer the reader uses, or waits for */
    unsigned fill;  /* the one the thread fills next */
    uint64_t off;   /* where the thread reads next */
    uint64_t jumps; /* so far: a read that began before the last one is dropped */
    bool is_over;   /* nothing more to read at off */
    bool has_to_end;
};

/* The buffer to fill, when there is one: waits for it. NULL when the thread is to end. */
static struct buffer *buffer_wait(struct read_ahead *ahead, uint64_t *off, uint64_t *jumps)
{
    scope_lock(&ahead->lock);
    while (!ahead->has_to_end && (ahead->is_over || ahead->buffers[ahead->fill].is_full))
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    *off = ahead->off;
    *jumps = ahead->jumps;
    return ahead->has_to_end ? NULL : &ahead->buffers[ahead->fill];
}

static void buffer_filled(struct read_ahead *ahead, struct buffer *buffer, uint64_t jumps, int code,
                          size_t len, const struct err *err)
{
    scope_lock(&ahead->lock);
    if (jumps != ahead->jumps)
        return;
    buffer->off = ahead->off;
    buffer->pos = 0;
    buffer->len = len;
    buffer->code = code;
    buffer->err = *err;
    buffer->is_full = true;
    ahead->off += len;
    ahead->is_over = len == 0;
    ahead->fill = (ahead->fill + 1) % N_BUFFERS;
    pthread_cond_broadcast(&ahead->changed);
}

static void *thread_main(void *arg)
{
    struct read_ahead *ahead = arg;
    uint64_t off = 0;
    uint64_t jumps = 0;
    for (struct buffer *buffer; (buffer = buffer_wait(ahead, &off, &jumps));) {
        struct err err = {0};
        size_t n = 0;
        int ret = source_read(ahead->source, off, buffer->data, READ_AHEAD_LEN, &n, &err);
        buffer_filled(ahead, buffer, jumps, ret, ret ? 0 : n, &err);
    }
    return NULL;
}

int read_ahead_open(struct source *source, uint64_t off, struct read_ahead **out, struct err *err)
{
    struct read_ahead *ahead = calloc(1, sizeof *ahead);
    int ret = ahead ? 0 : -ENOMEM;
    if (ret)
        return err_sys(err, ret, "reading ahead");
    ahead->source = source;
    ahead->off = off;
    for (int i = 0; i < N_BUFFERS && !ret; i++) {
        ahead->buffers[i].data = malloc(READ_AHEAD_LEN);
        ret = ahead->buffers[i].data ? 0 : -ENOMEM;
    }
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    if (!ret)
        ret = -pthread_create(&ahead->thread, NULL, thread_main, ahead);
    if (!ret) {
        *out = ahead;
        return 0;
    }
    ahead->source = NULL;
    read_ahead_close(ahead);
    return err_sys(err, ret, "reading ahead");
}

static void thread_end(struct read_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->has_to_end = true;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    pthread_join(ahead->thread, NULL);
}

void read_ahead_close(struct read_ahead *ahead)
{
    if (!ahead)
        return;
    if (ahead->source)
        thread_end(ahead);
    for (int i = 0; i < N_BUFFERS; i++)
        free(ahead->buffers[i].data);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

/* The full buffer whose turn it is. */
static struct buffer *buffer_next(struct read_ahead *ahead)
{
    scope_lock(&ahead->lock);
    while (!ahead->buffers[ahead->next].is_full)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    return &ahead->buffers[ahead->next];
}

static void buffer_used(struct read_ahead *ahead, struct buffer *buffer)
{
    scope_lock(&ahead->lock);
    buffer->is_full = false;
    ahead->next = (ahead->next + 1) % N_BUFFERS;
    pthread_cond_broadcast(&ahead->changed);
}

int read_ahead_read(struct read_ahead *ahead, void *data, size_t len, size_t *n_read,
                    struct err *err)
{
    struct buffer *buffer = buffer_next(ahead);
    if (buffer->code)
        return err_set(err, buffer->code, "%s", err_text(&buffer->err, buffer->code));
    size_t left = buffer->len - buffer->pos;
    size_t n = len < left ? len : left;
    memcpy(data, buffer->data + buffer->pos, n);
    buffer->pos += n;
    if (n && buffer->pos == buffer->len)
        buffer_used(ahead, buffer);
    *n_read = n;
    return 0;
}

void read_ahead_jump(struct read_ahead *ahead, uint64_t off)
{
    scope_lock(&ahead->lock);
    struct buffer *buffer = &ahead->buffers[ahead->next];
    if (buffer->is_full && off >= buffer->off && off - buffer->off < buffer->len) {
        buffer->pos = (size_t)(off - buffer->off);
        return;
    }
    for (int i = 0; i < N_BUFFERS; i++)
        ahead->buffers[i].is_full = false;
    ahead->next = ahead->fill;
    ahead->off = off;
    ahead->jumps++;
    ahead->is_over = false;
    pthread_cond_broadcast(&ahead->changed);
}
