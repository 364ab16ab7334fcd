/* SPDX-License-Identifier: Apache-2.0 */
#include "format/idx_writer.h"

#include "format/elias_fano.h"
#include "format/front_coded.h"

#include <errno.h>
#include <stdlib.h>

struct idx_writer {
    struct paged_writer base;
    struct ef_builder u64;
    struct fc_builder bytes;
    struct ef_builder starts;
    struct buf tomb_bits;
    struct buf hashes;  /* for the filter: u64 each */
    uint64_t n_written; /* entries in blocks */
};

int idx_writer_new(const struct paged_params *params, struct part_sink sink,
                   struct idx_writer **out, struct err *err)
{
    struct idx_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_sys(err, -ENOMEM, "part writer");
    int ret = paged_writer_init(&writer->base, params, PAGED_IDX, sink, err);
    if (ret)
        idx_writer_free(writer);
    else
        *out = writer;
    return ret;
}

void idx_writer_free(struct idx_writer *writer)
{
    if (!writer)
        return;
    paged_writer_release(&writer->base);
    ef_builder_release(&writer->u64);
    fc_builder_release(&writer->bytes);
    ef_builder_release(&writer->starts);
    buf_release(&writer->tomb_bits);
    buf_release(&writer->hashes);
    free(writer);
}

/* Writes the first n entries that wait as a block, and says for each of its pages where it
 * starts. */
static int block_write(struct idx_writer *writer, uint32_t n, struct err *err)
{
    uint32_t n_pages = 0;
    int ret = block_packer_write(&writer->base.packer, n, &writer->base.out, &n_pages, err);
    if (ret)
        return ret;
    bool is_told = writer->base.info.shape.record_len == 0;
    for (uint32_t i = 0; i < n_pages && is_told && !ret; i++)
        ret = ef_builder_add(&writer->starts, writer->n_written);
    writer->n_written += n;
    return ret ? err_sys(err, ret, "part writer") : 0;
}

/* Puts a value into blocks: one that does not fit into the block under way begins the next. */
static int value_add(struct idx_writer *writer, const struct part_entry *entry, struct err *err)
{
    struct block_packer *packer = &writer->base.packer;
    uint32_t block_pages = writer->base.info.block_pages;
    uint32_t len = entry->tombstone ? 0 : entry->value_len;
    int ret = block_packer_add(packer, 0, false, NULL, 0, entry->value, len);
    if (ret)
        return err_sys(err, ret, "part writer");
    if (packer->n > 1 && block_packer_pages(packer, packer->n) > block_pages &&
        (ret = block_write(writer, packer->n - 1, err)))
        return ret;
    /* What is longer than a block is one alone. */
    return block_packer_pages(packer, packer->n) > block_pages ? block_write(writer, packer->n, err)
                                                               : 0;
}

static int order_check(const struct idx_writer *writer, const struct part_entry *entry,
                       struct err *err)
{
    const struct part_entry *prev = &writer->base.prev;
    int order = -1;
    if (!writer->base.has_prev)
        return 0;
    if (writer->base.schema.key_type == KEY_BYTES)
        order = paged_key_order(prev, entry);
    else if (prev->key >= entry->key)
        order = prev->key > entry->key;
    if (order == 0)
        return paged_repeated(entry, err);
    return order < 0 ? 0 : err_set(err, -EINVAL, "part: entries must come in order of key");
}

/* Puts a key and its tombstone bit where the tail keeps them. */
static int key_add(struct idx_writer *writer, const struct part_entry *entry)
{
    uint64_t rank = writer->base.info.part.n_keys + writer->base.info.part.n_tombstones;
    int ret = 0;
    if (writer->base.info.part.level) {
        if (rank % 8 == 0)
            ret = buf_add_byte(&writer->tomb_bits, 0);
        if (!ret && entry->tombstone)
            writer->tomb_bits.data[rank / 8] |= (uint8_t)(1 << (rank % 8));
    }
    if (!ret && writer->base.filter)
        ret = buf_add(&writer->hashes, &entry->hash, sizeof entry->hash);
    if (ret)
        return ret;
    return writer->base.schema.key_type == KEY_U64
               ? ef_builder_add(&writer->u64, entry->key)
               : fc_builder_add(&writer->bytes, entry->key_bytes, entry->key_len);
}

static int entry_add(struct idx_writer *writer, const struct part_entry *entry, struct err *err)
{
    int ret = paged_entry_check(&writer->base, entry, err);
    if (ret || (ret = order_check(writer, entry, err)))
        return ret;
    if ((ret = key_add(writer, entry)))
        return err_sys(err, ret, "part writer");
    if ((ret = value_add(writer, entry, err)))
        return ret;
    paged_writer_took(&writer->base, entry);
    return 0;
}

int idx_writer_add(struct idx_writer *writer, const struct part_entry *entry, struct err *err)
{
    if (writer->base.failed)
        return err_set(err, writer->base.failed, "part writer: an earlier call failed");
    writer->base.failed = entry_add(writer, entry, err);
    return writer->base.failed;
}

/* Sorts by bits 0 to `bit`, the highest first, where the hashes are. They are random: each bit halves
 * them. */
static void hashes_sort(uint64_t *hashes, size_t n, int bit)
{
    while (n > 1 && bit >= 0) {
        size_t n_low = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t hash = hashes[i];
            if (hash >> bit & 1)
                continue;
            hashes[i] = hashes[n_low];
            hashes[n_low++] = hash;
        }
        bit--;
        hashes_sort(hashes, n_low, bit);
        hashes += n_low;
        n -= n_low;
    }
}

/* The filter takes hashes in their own order. */
static int filter_fill(struct idx_writer *writer, struct err *err)
{
    uint64_t *hashes = (uint64_t *)(void *)writer->hashes.data;
    size_t n = writer->hashes.len / sizeof *hashes;
    int ret = 0;
    hashes_sort(hashes, n, 63);
    for (size_t i = 0; i < n && !ret; i++)
        ret = filter_builder_add(writer->base.filter, hashes[i], err);
    buf_release(&writer->hashes);
    return ret;
}

static int finish(struct idx_writer *writer, struct err *err)
{
    struct paged_writer *base = &writer->base;
    bool is_u64 = base->schema.key_type == KEY_U64;
    int ret = base->packer.n ? block_write(writer, base->packer.n, err) : 0;
    if (ret)
        return ret;
    ret = is_u64 ? ef_builder_finish(&writer->u64) : fc_builder_finish(&writer->bytes);
    if (!ret)
        ret = ef_builder_finish(&writer->starts);
    if (ret)
        return err_sys(err, ret, "part writer");
    const struct buf *places = is_u64 ? &writer->u64.firsts : &writer->bytes.places;
    const struct buf *bytes = is_u64 ? &writer->u64.bytes : &writer->bytes.bytes;
    if ((ret = paged_tail_begin(base, err)) ||
        (ret = paged_tail_section(base, IDX_KEYS_PLACES, places, err)) ||
        (ret = paged_tail_section(base, IDX_KEYS, bytes, err)) ||
        (ret = paged_tail_section(base, IDX_STARTS_PLACES, &writer->starts.firsts, err)) ||
        (ret = paged_tail_section(base, IDX_STARTS, &writer->starts.bytes, err)) ||
        (ret = paged_tail_section(base, IDX_TOMBSTONES, &writer->tomb_bits, err)) ||
        (ret = filter_fill(writer, err)))
        return ret;
    return paged_tail_end(base, err);
}

int idx_writer_finish(struct idx_writer *writer, struct paged_info *info, struct err *err)
{
    if (writer->base.failed)
        return err_set(err, writer->base.failed, "part writer: an earlier call failed");
    int ret = finish(writer, err);
    writer->base.failed = ret ? ret : -EINVAL; /* a finished writer takes nothing more */
    if (!ret && info)
        *info = writer->base.info;
    return ret;
}
