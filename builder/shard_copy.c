/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/shard_copy.h"

#include <errno.h>

enum { METER_EVERY = 1024 };

/* A shard on its way. */
struct copy {
    const struct shard_copy_params *params;
    struct meter *meter;
    struct shard_stream *stream;
    struct shard_writer *writer;
    struct part_file file;
    struct content_digest content;
    struct buf room;
};

static int copy_open(struct copy *copy, struct err *err)
{
    const struct shard_copy_params *params = copy->params;
    uint32_t shard = params->from.shard;
    int ret = shard_stream_open(&params->from, &copy->stream, err);
    if (!ret)
        ret = part_file_create(&copy->file, params->from.store, params->dir, 0, shard, err);
    if (!ret)
        ret = shard_writer_new(params->to, shard, part_file_sink(&copy->file), &copy->writer, err);
    return ret;
}

/* From time to time: says how far it is, and asks whether to go on. */
static int copy_tell(struct copy *copy, struct err *err)
{
    if (copy->content.n % METER_EVERY)
        return 0;
    meter_add(copy->meter, (uint64_t)(METER_EVERY * copy->params->bytes_an_entry));
    atomic_fetch_add_explicit(&copy->meter->rows, METER_EVERY, memory_order_relaxed);
    return meter_check(copy->meter, err);
}

static int copy_entries(struct copy *copy, struct err *err)
{
    struct part_entry entry;
    int got;
    while ((got = shard_stream_next(copy->stream, &entry, err)) > 0) {
        int ret = shard_stream_value(copy->stream, &entry, err);
        if (!ret && content_digest_add(&copy->content, &entry, &copy->room))
            ret = err_sys(err, -ENOMEM, "a value of %u bytes", entry.value_len);
        if (!ret)
            ret = shard_writer_add(copy->writer, &entry, err);
        if (!ret)
            ret = copy_tell(copy, err);
        if (ret)
            return ret;
    }
    return got;
}

static int copy_commit(struct copy *copy, const struct shard_info *info, struct part_desc *desc,
                       struct err *err)
{
    int ret = part_file_commit(&copy->file, &info->part, desc, err);
    if (ret || !info->is_paged)
        return ret;
    desc->tail_len = desc->len - info->body_len;
    desc->values_len = info->values_len;
    return 0;
}

int shard_copy(const struct shard_copy_params *params, struct meter *meter, struct part_desc *part,
               struct shard_info *info, struct content_digest *content, struct err *err)
{
    struct copy copy = {.params = params, .meter = meter};
    struct shard_info written = {0};
    int ret = copy_open(&copy, err);
    if (!ret)
        ret = copy_entries(&copy, err);
    if (!ret)
        ret = shard_writer_finish(copy.writer, &written, err);
    /* The memory goes before the file is synced, which takes long. */
    shard_writer_free(copy.writer);
    shard_stream_close(copy.stream);
    buf_release(&copy.room);
    if (!ret)
        ret = copy_commit(&copy, &written, part, err);
    part_file_release(&copy.file);
    if (ret)
        return ret;
    *info = written;
    *content = copy.content;
    return 0;
}
