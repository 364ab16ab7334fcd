/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/version_content.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

struct reading {
    const struct shard_stream_params *params;
    pthread_mutex_t lock;
    struct content_digest content; /* under the lock */
};

static int shard_read(struct shard_stream *stream, struct content_digest *content, struct buf *room,
                      struct err *err)
{
    struct part_entry entry;
    int got;
    while ((got = shard_stream_next(stream, &entry, err)) > 0) {
        int ret = shard_stream_value(stream, &entry, err);
        if (!ret && content_digest_add(content, &entry, room))
            ret = err_sys(err, -ENOMEM, "a value of %u bytes", entry.value_len);
        if (ret)
            return ret;
    }
    return got;
}

static int shard_main(void *context, uint32_t number, struct err *err)
{
    struct reading *reading = context;
    struct shard_stream_params params = *reading->params;
    struct shard_stream *stream = NULL;
    struct content_digest content = {0};
    struct buf room = {0};
    params.shard = number;
    int ret = shard_stream_open(&params, &stream, err);
    if (!ret)
        ret = shard_read(stream, &content, &room, err);
    shard_stream_close(stream);
    buf_release(&room);
    scope_lock(&reading->lock);
    content_digest_merge(&reading->content, &content);
    return ret;
}

int version_content_run(struct engine *engine, const struct shard_stream_params *stream,
                        uint32_t n_at_once, struct content_digest *out, struct err *err)
{
    struct reading reading = {.params = stream, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct engine_work work = {.n_tasks = stream->desc->schema.n_shards,
                               .n_at_once = n_at_once,
                               .task = shard_main,
                               .context = &reading};
    int ret = engine->run(engine, &work, err);
    pthread_mutex_destroy(&reading.lock);
    if (ret)
        return ret;
    if (reading.content.n != stream->desc->n_keys)
        return err_set(err, -EBADMSG,
                       "%s: expected %" PRIu64 " live keys, as version.json says, found %" PRIu64,
                       stream->dir, stream->desc->n_keys, reading.content.n);
    *out = reading.content;
    return 0;
}
