/* SPDX-License-Identifier: Apache-2.0 */
#include "format/paged_writer.h"

#include <errno.h>

/* Block pages for entries of one length; 1 when lengths vary. */
static uint32_t pages_wanted(const struct block_shape *shape)
{
    uint64_t len = shape->record_len;
    return len ? block_pages_for(len + (shape->has_hashes ? 8 : 0)) : 1;
}

/* u64 keys of `idx` have none: it would add a quarter and more to their memory. */
static int filter_begin(struct paged_writer *writer, const struct paged_params *params,
                        struct err *err)
{
    const struct schema *schema = params->schema;
    bool is_wanted = params->has_filter || params->level > 0;
    if (!is_wanted || (writer->info.kind == PAGED_IDX && schema->key_type == KEY_U64))
        return 0;
    uint32_t n = filter_partitions(params->n_entries, schema->n_shards);
    writer->info.part.n_partitions = n;
    writer->filter = filter_builder_new(n, params->shard, schema->n_shards);
    return writer->filter ? 0 : err_sys(err, -ENOMEM, "part writer");
}

int paged_writer_init(struct paged_writer *writer, const struct paged_params *params,
                      enum paged_kind kind, struct part_sink sink, struct err *err)
{
    const struct schema *schema = params->schema;
    int ret = schema_check(schema, err);
    if (ret)
        return ret;
    if (params->shard >= schema->n_shards || params->level >= LEVELS_MAX ||
        params->block_pages > BLOCK_SHORT_PAGES)
        return err_set(err, -EINVAL,
                       "part: shard %u of %u, level %u, blocks of %u pages are out of range",
                       params->shard, schema->n_shards, params->level, params->block_pages);
    *writer = (struct paged_writer){.schema = *schema};
    part_out_init(&writer->out, sink);
    struct paged_info *info = &writer->info;
    info->kind = kind;
    info->compression = params->compression;
    info->part = (struct part_info){.key_type = schema->key_type,
                                    .value_len = schema->value_len,
                                    .shard = params->shard,
                                    .n_shards = schema->n_shards,
                                    .level = params->level,
                                    .hash_seed = schema->hash_seed};
    info->shape = block_shape_of(kind == PAGED_BLK, schema->key_type,
                                 params->compression ? 0 : schema->value_len, params->level);
    info->block_pages = params->block_pages ? params->block_pages : pages_wanted(&info->shape);
    writer->packer.shape = info->shape;
    writer->packer.salt_seed =
        hash_u64((uint64_t)params->level << 32 | params->shard, schema->hash_seed);
    if (buf_add(&writer->dictionary, params->dictionary.data, params->dictionary.len))
        return err_sys(err, -ENOMEM, "part writer");
    return filter_begin(writer, params, err);
}

void paged_writer_release(struct paged_writer *writer)
{
    part_out_release(&writer->out);
    block_packer_release(&writer->packer);
    buf_release(&writer->dictionary);
    filter_builder_free(writer->filter);
}

int paged_entry_check(const struct paged_writer *writer, const struct part_entry *entry,
                      struct err *err)
{
    const struct schema *schema = &writer->schema;
    const struct part_info *part = &writer->info.part;
    if (schema_shard(schema, entry->hash) != part->shard)
        return err_set(err, -EINVAL, "part: an entry of shard %u was given to shard %u",
                       schema_shard(schema, entry->hash), part->shard);
    if (schema->key_type == KEY_U64 && entry->hash != schema_hash_u64(schema, entry->key))
        return err_set(err, -EINVAL, "part: key %llu came with a wrong hash",
                       (unsigned long long)entry->key);
    if (schema->key_type == KEY_BYTES && entry->key_len == 0)
        return err_set(err, -EINVAL, "part: a key has 1 to %d bytes, found none", KEY_BYTES_MAX);
    if (part->n_keys + part->n_tombstones >= PAGED_ENTRIES_MAX)
        return err_set(err, -E2BIG, "part: more than 2^40 keys; more shards are needed");
    if (entry->tombstone)
        return part->level ? 0 : err_set(err, -EINVAL, "part: level 0 cannot hold a tombstone");
    if (entry->value_len > VALUE_LEN_MAX + PAGED_VALUE_HEAD_MAX ||
        (entry->value_len > VALUE_LEN_MAX && !writer->info.compression))
        return err_set(err, -EINVAL, "part: a value of %u bytes is longer than %d",
                       entry->value_len, VALUE_LEN_MAX);
    uint32_t wanted = writer->info.shape.value_len;
    if (wanted && entry->value_len != wanted)
        return err_set(err, -EINVAL, "part: expected values of %u bytes, found %u", wanted,
                       entry->value_len);
    return 0;
}

int paged_repeated(const struct part_entry *entry, struct err *err)
{
    if (!entry->key_bytes)
        return err_set(err, -EEXIST, "part: key %llu was given twice",
                       (unsigned long long)entry->key);
    return err_set(err, -EEXIST, "part: key \"%.*s\" was given twice", (int)entry->key_len,
                   (const char *)entry->key_bytes);
}

void paged_writer_took(struct paged_writer *writer, const struct part_entry *entry)
{
    writer->info.part.n_keys += !entry->tombstone;
    writer->info.part.n_tombstones += entry->tombstone;
    writer->has_prev = true;
    writer->prev = *entry;
    if (writer->schema.key_type == KEY_BYTES) {
        memcpy(writer->prev_key, entry->key_bytes, entry->key_len);
        writer->prev.key_bytes = writer->prev_key;
    }
}

int paged_tail_begin(struct paged_writer *writer, struct err *err)
{
    writer->info.n_pages = writer->packer.n_pages;
    writer->info.pages_max = writer->packer.n_pages_max;
    writer->info.salt = writer->packer.salt;
    writer->info.n_blocks = writer->packer.n_blocks;
    writer->info.records_len = writer->packer.records_len;
    return part_out_digest_begin(&writer->out, err);
}

int paged_tail_section(struct paged_writer *writer, unsigned i, const struct buf *content,
                       struct err *err)
{
    return part_out_section(&writer->out, content->data, content->len, &writer->footer.sections[i],
                            err);
}

static void footer_encode(const struct paged_writer *writer, struct paged_footer *footer)
{
    const struct paged_info *info = &writer->info;
    memcpy(footer->magic, PART_MAGIC, sizeof footer->magic);
    store_le32(&footer->format, PART_FORMAT);
    store_le32(&footer->layout, info->kind);
    store_le32(&footer->key_type, info->part.key_type);
    store_le32(&footer->value_len, info->part.value_len);
    store_le32(&footer->shard, info->part.shard);
    store_le32(&footer->n_shards, info->part.n_shards);
    store_le32(&footer->level, info->part.level);
    store_le32(&footer->n_partitions, info->part.n_partitions);
    store_le32(&footer->compression, info->compression);
    store_le32(&footer->n_buckets, writer->n_buckets);
    store_le64(&footer->hash_seed, info->part.hash_seed);
    store_le64(&footer->n_keys, info->part.n_keys);
    store_le64(&footer->n_tombstones, info->part.n_tombstones);
    store_le64(&footer->n_pages, info->n_pages);
    store_le32(&footer->pages_max, info->pages_max);
    store_le32(&footer->block_pages, info->block_pages);
    store_le64(&footer->salt, info->salt);
    store_le64(&footer->n_blocks, info->n_blocks);
    store_le64(&footer->records_len, info->records_len);
}

static int filter_end(struct paged_writer *writer, struct err *err)
{
    static const struct buf none;
    const struct buf *places = &none;
    const struct buf *bytes = &none;
    int ret = 0;
    if (writer->filter && (ret = filter_builder_finish(writer->filter, &places, &bytes, err)))
        return ret;
    ret = paged_tail_section(writer, PAGED_FILTER_PLACES, places, err);
    return ret ? ret : paged_tail_section(writer, PAGED_FILTER, bytes, err);
}

int paged_tail_end(struct paged_writer *writer, struct err *err)
{
    static const uint8_t zeros[PART_FOOTER_LEN];
    struct paged_footer *footer = &writer->footer;
    struct digest digest;
    int ret = paged_tail_section(writer, PAGED_DICTIONARY, &writer->dictionary, err);
    if (ret || (ret = filter_end(writer, err)) ||
        (ret = part_out_pad(&writer->out, PART_ALIGN, err)))
        return ret;
    part_out_digest_end(&writer->out, &digest);
    memcpy(footer->tail_digest, digest.b, DIGEST_LEN);
    footer_encode(writer, footer);
    store_le64(&footer->checksum, hash_checksum(footer, offsetof(struct paged_footer, checksum)));
    if ((ret = part_out_add(&writer->out, footer, sizeof *footer, err)) ||
        (ret = part_out_add(&writer->out, zeros, PART_FOOTER_LEN - sizeof *footer, err)))
        return ret;
    return part_out_flush(&writer->out, err);
}
