/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing blocks: entries wait in the packer until a block is full, and a block may only end where
 * a step of the index ends (blk_index.h). So the entries of the last step are a group that moves
 * as one: when the block overflows, it is written without them, and they begin the next one. A
 * group that is itself longer than a block (one long value, as a rule) has a block alone, of as
 * many pages as it needs.
 */
#include "format/blk_writer.h"

#include "format/blk_index.h"

#include <errno.h>
#include <stdlib.h>

struct blk_writer {
    struct paged_writer base;
    uint32_t n_total; /* buckets of all shards */
    uint32_t first_bucket;
    uint32_t group;          /* the first entry of the last step, of those that wait */
    struct blk_step step;    /* of that group */
    uint32_t n_buckets_told; /* buckets whose first page is known */
    struct buf buckets;      /* le32 each */
    struct buf fences;       /* le16 each */
};

/* Buckets for about as many pages as there will be. */
static uint32_t buckets_for(const struct paged_params *params, uint32_t pages_of_block)
{
    uint64_t n_shards = params->schema->n_shards;
    uint64_t entries_len = 0;
    uint64_t n_pages = 0;
    if (!mul_u64(params->n_entries, 8 + 2, &entries_len) ||
        !add_u64(entries_len, params->n_bytes, &entries_len))
        entries_len = UINT64_MAX;
    n_pages = entries_len / BLOCK_PAGE + pages_of_block;
    uint64_t n = n_pages / BLK_BUCKET_PAGES + 1;
    uint64_t max = UINT32_MAX / n_shards;
    return (uint32_t)(n < max ? n : max);
}

int blk_writer_new(const struct paged_params *params, struct part_sink sink,
                   struct blk_writer **out, struct err *err)
{
    struct blk_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_sys(err, -ENOMEM, "part writer");
    int ret = paged_writer_init(&writer->base, params, PAGED_BLK, sink, err);
    if (ret) {
        blk_writer_free(writer);
        return ret;
    }
    uint32_t n_shards = params->schema->n_shards;
    writer->base.n_buckets = buckets_for(params, writer->base.info.block_pages);
    writer->n_total = writer->base.n_buckets * n_shards;
    writer->first_bucket = writer->base.n_buckets * params->shard;
    *out = writer;
    return 0;
}

void blk_writer_free(struct blk_writer *writer)
{
    if (!writer)
        return;
    paged_writer_release(&writer->base);
    buf_release(&writer->buckets);
    buf_release(&writer->fences);
    free(writer);
}

/* ---- blocks out ---- */

/* The first page of the blocks of all buckets up to and with `last`. */
static int buckets_tell(struct blk_writer *writer, uint32_t last, uint64_t page)
{
    le32 first;
    store_le32(&first, (uint32_t)page);
    for (; writer->n_buckets_told <= last; writer->n_buckets_told++)
        if (buf_add(&writer->buckets, &first, sizeof first))
            return -ENOMEM;
    return 0;
}

/* Writes the first n entries that wait as a block and puts it into the index. */
static int block_write(struct blk_writer *writer, uint32_t n, struct err *err)
{
    struct block_packer *packer = &writer->base.packer;
    struct blk_step step = blk_step_of(block_packer_hash(packer, 0), writer->n_total);
    uint64_t page = packer->n_pages;
    uint32_t n_pages = 0;
    int ret = block_packer_write(packer, n, &writer->base.out, &n_pages, err);
    if (ret)
        return ret;
    ret = buckets_tell(writer, step.bucket - writer->first_bucket, page);
    for (uint32_t i = 0; i < n_pages && !ret; i++) {
        le16 fence;
        store_le16(&fence, (uint16_t)(step.fence << 1 | (i > 0)));
        ret = buf_add(&writer->fences, &fence, sizeof fence);
    }
    writer->group = 0; /* what still waits is the last group */
    return ret ? err_sys(err, ret, "part writer") : 0;
}

/* Writes what has to be out before an entry of another step comes. */
static int group_begin(struct blk_writer *writer, struct blk_step step, struct err *err)
{
    struct block_packer *packer = &writer->base.packer;
    int ret = 0;
    if (packer->n && block_packer_pages(packer, packer->n) > writer->base.info.block_pages)
        ret = block_write(writer, packer->n, err);
    writer->group = packer->n;
    writer->step = step;
    return ret;
}

/* ---- entries in ---- */

static int order_check(const struct blk_writer *writer, const struct part_entry *entry,
                       struct err *err)
{
    const struct part_entry *prev = &writer->base.prev;
    if (!writer->base.has_prev || entry->hash > prev->hash)
        return 0;
    if (entry->hash < prev->hash)
        return err_set(err, -EINVAL, "part: entries must come in order of hash");
    if (writer->base.schema.key_type == KEY_U64)
        return paged_repeated(entry, err);
    int order = paged_key_order(prev, entry);
    if (order == 0)
        return paged_repeated(entry, err);
    return order < 0 ? 0
                     : err_set(err, -EINVAL, "part: keys of one hash must come in order of key");
}

/* Hands the entry to the packer: a key in front of the value for bytes keys. */
static int pack(struct blk_writer *writer, const struct part_entry *entry)
{
    uint8_t head[1 + KEY_BYTES_MAX];
    size_t head_len = 0;
    if (writer->base.schema.key_type == KEY_BYTES) {
        head[0] = entry->key_len;
        memcpy(head + 1, entry->key_bytes, entry->key_len);
        head_len = 1 + (size_t)entry->key_len;
    }
    return block_packer_add(&writer->base.packer, entry->hash, entry->tombstone, head, head_len,
                            entry->value, entry->tombstone ? 0 : entry->value_len);
}

static int entry_add(struct blk_writer *writer, const struct part_entry *entry, struct err *err)
{
    struct block_packer *packer = &writer->base.packer;
    int ret = paged_entry_check(&writer->base, entry, err);
    if (ret || (ret = order_check(writer, entry, err)))
        return ret;
    struct blk_step step = blk_step_of(entry->hash, writer->n_total);
    if (packer->n == 0 || step.bucket != writer->step.bucket || step.fence != writer->step.fence)
        ret = group_begin(writer, step, err);
    if (!ret && writer->base.filter)
        ret = filter_builder_add(writer->base.filter, entry->hash, err);
    if (ret)
        return ret;
    if ((ret = pack(writer, entry)))
        return err_sys(err, ret, "part writer");
    paged_writer_took(&writer->base, entry);
    uint64_t n_pages = block_packer_pages(packer, packer->n);
    if (n_pages > writer->base.info.block_pages && writer->group > 0)
        return block_write(writer, writer->group, err);
    return n_pages > BLOCK_PAGES_MAX ? block_write(writer, packer->n, err) : 0;
}

int blk_writer_add(struct blk_writer *writer, const struct part_entry *entry, struct err *err)
{
    if (writer->base.failed)
        return err_set(err, writer->base.failed, "part writer: an earlier call failed");
    writer->base.failed = entry_add(writer, entry, err);
    return writer->base.failed;
}

/* ---- the end ---- */

static int finish(struct blk_writer *writer, struct err *err)
{
    static const struct buf none;
    struct paged_writer *base = &writer->base;
    int ret = base->packer.n ? block_write(writer, base->packer.n, err) : 0;
    if (ret)
        return ret;
    if (buckets_tell(writer, base->n_buckets, base->packer.n_pages))
        return err_sys(err, -ENOMEM, "part writer");
    if ((ret = paged_tail_begin(base, err)) ||
        (ret = paged_tail_section(base, BLK_BUCKETS, &writer->buckets, err)) ||
        (ret = paged_tail_section(base, BLK_FENCES, &writer->fences, err)))
        return ret;
    for (unsigned i = BLK_FENCES + 1; i < PAGED_DICTIONARY; i++)
        if ((ret = paged_tail_section(base, i, &none, err)))
            return ret;
    return paged_tail_end(base, err);
}

int blk_writer_finish(struct blk_writer *writer, struct paged_info *info, struct err *err)
{
    if (writer->base.failed)
        return err_set(err, writer->base.failed, "part writer: an earlier call failed");
    int ret = finish(writer, err);
    writer->base.failed = ret ? ret : -EINVAL; /* a finished writer takes nothing more */
    if (!ret && info)
        *info = writer->base.info;
    return ret;
}
