/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/reader.h"

#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>

struct item {
    struct item *next;
    fuse_req_t req;
    int fd;
    size_t size;
    off_t off;
};

struct reader {
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    struct item *first;
    struct item **last;
    bool stopping;
};

static void reply(const struct item *item)
{
    struct fuse_bufvec vec = FUSE_BUFVEC_INIT(item->size);
    vec.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    vec.buf[0].fd = item->fd;
    vec.buf[0].pos = item->off;
    fuse_reply_data(item->req, &vec, FUSE_BUF_NO_SPLICE);
}

/* The next item; NULL when stopping with none left. */
static struct item *wait_item(struct reader *reader)
{
    scope_lock(&reader->lock);
    while (!reader->first && !reader->stopping)
        pthread_cond_wait(&reader->more, &reader->lock);
    struct item *item = reader->first;
    if (item)
        reader->first = item->next;
    if (!reader->first)
        reader->last = &reader->first;
    return item;
}

static void *run(void *context)
{
    struct item *item = NULL;
    while ((item = wait_item(context))) {
        reply(item);
        free(item);
    }
    return NULL;
}

int reader_new(struct reader **out)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->more, NULL);
    reader->last = &reader->first;
    int ret = pthread_create(&reader->thread, NULL, run, reader);
    if (ret) {
        free(reader);
        return -ret;
    }
    *out = reader;
    return 0;
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    pthread_mutex_lock(&reader->lock);
    reader->stopping = true;
    pthread_cond_signal(&reader->more);
    pthread_mutex_unlock(&reader->lock);
    pthread_join(reader->thread, NULL);
    pthread_cond_destroy(&reader->more);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

void reader_add(struct reader *reader, fuse_req_t req, int fd, size_t size, off_t off)
{
    struct item *item = malloc(sizeof *item);
    if (!item) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *item = (struct item){NULL, req, fd, size, off};
    scope_lock(&reader->lock);
    *reader->last = item;
    reader->last = &item->next;
    pthread_cond_signal(&reader->more);
}
