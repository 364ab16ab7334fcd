/* SPDX-License-Identifier: Apache-2.0 */
#include "format/paged.h"

#include "format/paged_view.h"

#include <errno.h>

static int footer_check(const struct paged_footer *footer, const char *name, struct err *err)
{
    if (memcmp(footer->magic, PART_MAGIC, sizeof footer->magic) != 0)
        return err_set(err, -EBADMSG, "%s: no part: the footer does not begin with its magic",
                       name);
    if (load_le32(&footer->format) > PART_FORMAT)
        return err_set(err, -ENOTSUP,
                       "%s: expected part format %d, found %u: a newer fkv can read it", name,
                       PART_FORMAT, load_le32(&footer->format));
    uint32_t layout = load_le32(&footer->layout);
    if (layout != PAGED_BLK && layout != PAGED_IDX)
        return err_set(err, -EBADMSG, "%s: expected a part of kind blk or idx, found layout %u",
                       name, layout);
    uint64_t checksum = hash_checksum(footer, offsetof(struct paged_footer, checksum));
    if (load_le64(&footer->checksum) != checksum)
        return err_set(err, -EBADMSG, "%s: footer: expected checksum %016llx, found %016llx", name,
                       (unsigned long long)checksum,
                       (unsigned long long)load_le64(&footer->checksum));
    if (load_le32(&footer->format) != PART_FORMAT)
        return err_set(err, -EBADMSG, "%s: footer: expected part format %d, found %u", name,
                       PART_FORMAT, load_le32(&footer->format));
    if (load_le32(&footer->compression) > COMPRESSION_ZSTD)
        return err_set(err, -ENOTSUP, "%s: values are compressed in way %u: a newer fkv knows it",
                       name, load_le32(&footer->compression));
    return 0;
}

static void info_decode(const struct paged_footer *footer, struct paged_info *info)
{
    *info = (struct paged_info){
        .kind = (enum paged_kind)load_le32(&footer->layout),
        .part = {.key_type = (enum key_type)load_le32(&footer->key_type),
                 .value_len = load_le32(&footer->value_len),
                 .shard = load_le32(&footer->shard),
                 .n_shards = load_le32(&footer->n_shards),
                 .level = load_le32(&footer->level),
                 .hash_seed = load_le64(&footer->hash_seed),
                 .n_keys = load_le64(&footer->n_keys),
                 .n_tombstones = load_le64(&footer->n_tombstones),
                 .n_partitions = load_le32(&footer->n_partitions)},
        .compression = (enum compression)load_le32(&footer->compression),
        .n_pages = load_le64(&footer->n_pages),
        .pages_max = load_le32(&footer->pages_max),
        .block_pages = load_le32(&footer->block_pages),
        .salt = load_le64(&footer->salt),
        .n_blocks = load_le64(&footer->n_blocks),
        .records_len = load_le64(&footer->records_len),
    };
    info->shape = block_shape_of(info->kind == PAGED_BLK, info->part.key_type,
                                 info->compression ? 0 : info->part.value_len, info->part.level);
}

static int info_check(const struct paged_info *info, uint64_t len, const char *name,
                      struct err *err)
{
    const struct part_info *part = &info->part;
    uint64_t n_entries = 0;
    if ((part->key_type != KEY_U64 && part->key_type != KEY_BYTES) ||
        part->value_len > VALUE_LEN_MAX)
        return err_set(err, -EBADMSG, "%s: footer: no such keys or values: type %d, %u bytes", name,
                       (int)part->key_type, part->value_len);
    if (part->n_shards < 1 || part->n_shards > SHARDS_MAX || part->shard >= part->n_shards ||
        part->level >= LEVELS_MAX)
        return err_set(err, -EBADMSG, "%s: footer: shard %u of %u, level %u are out of range", name,
                       part->shard, part->n_shards, part->level);
    if (part->level == 0 && part->n_tombstones)
        return err_set(err, -EBADMSG, "%s: footer: level 0 has no tombstones, found %llu", name,
                       (unsigned long long)part->n_tombstones);
    if (!add_u64(part->n_keys, part->n_tombstones, &n_entries) || n_entries > PAGED_ENTRIES_MAX ||
        (n_entries > 0) != (info->n_pages > 0))
        return err_set(err, -EBADMSG, "%s: footer: %llu keys and %llu tombstones in %llu pages",
                       name, (unsigned long long)part->n_keys,
                       (unsigned long long)part->n_tombstones, (unsigned long long)info->n_pages);
    if (info->n_pages > UINT32_MAX || info->n_pages > (len - PART_FOOTER_LEN) / BLOCK_PAGE ||
        info->pages_max > BLOCK_PAGES_MAX || (info->n_pages > 0) != (info->pages_max > 0) ||
        info->block_pages < 1 || info->block_pages > BLOCK_PAGES_MAX ||
        info->n_blocks > info->n_pages || (info->n_blocks > 0) != (info->n_pages > 0) ||
        info->records_len > info->n_pages * BLOCK_PAGE)
        return err_set(err, -EBADMSG,
                       "%s: footer: %llu pages in blocks of %u, at most %u, do not fit the part",
                       name, (unsigned long long)info->n_pages, info->block_pages, info->pages_max);
    return 0;
}

int paged_tail(const void *memory, uint64_t len, const char *name, uint64_t *tail_off,
               struct paged_info *info, struct err *err)
{
    const struct paged_footer *footer = memory;
    struct paged_info decoded;
    if (len < PART_FOOTER_LEN || len % PART_ALIGN)
        return err_set(err, -EBADMSG, "%s: expected a multiple of %d bytes, found %llu: truncated?",
                       name, PART_ALIGN, (unsigned long long)len);
    int ret = footer_check(footer, name, err);
    if (ret)
        return ret;
    info_decode(footer, &decoded);
    if ((ret = info_check(&decoded, len, name, err)))
        return ret;
    *tail_off = decoded.n_pages * BLOCK_PAGE;
    *info = decoded;
    return 0;
}

int paged_tail_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
                    enum paged_kind kind, struct paged_tail *tail, struct err *err)
{
    struct digest digest;
    if ((uintptr_t)memory % PART_SECTION_ALIGN)
        return err_set(err, -EINVAL, "%s: a part's memory must be aligned to %d bytes", name,
                       PART_SECTION_ALIGN);
    if (tail_len < PART_FOOTER_LEN || tail_len > part_len)
        return err_set(err, -EINVAL, "%s: a tail of %llu bytes of a part of %llu", name,
                       (unsigned long long)tail_len, (unsigned long long)part_len);
    struct paged_tail t = {.memory = memory, .len = tail_len - PART_FOOTER_LEN, .name = name};
    t.footer = (const struct paged_footer *)(t.memory + t.len);
    int ret = paged_tail(t.footer, part_len, name, &t.off, &t.info, err);
    if (ret)
        return ret;
    if (t.info.kind != kind)
        return err_set(err, -EBADMSG, "%s: expected a part of kind %s, found one of kind %s", name,
                       kind == PAGED_BLK ? "blk" : "idx", kind == PAGED_BLK ? "idx" : "blk");
    if (t.off != part_len - tail_len)
        return err_set(err, -EINVAL, "%s: the tail begins at %llu, not at %llu", name,
                       (unsigned long long)t.off, (unsigned long long)(part_len - tail_len));
    digest_of(t.memory, t.len, &digest);
    if (memcmp(digest.b, t.footer->tail_digest, DIGEST_LEN) != 0)
        return err_set(err, -EBADMSG, "%s: the part behind its blocks is not what was written",
                       name);
    *tail = t;
    return 0;
}

int paged_section(const struct paged_tail *tail, unsigned i, const char *what,
                  struct paged_bytes *out, struct err *err)
{
    uint64_t off = load_le64(&tail->footer->sections[i].off);
    uint64_t len = load_le64(&tail->footer->sections[i].len);
    if (off % PART_SECTION_ALIGN || off < tail->off ||
        !range_within(off - tail->off, len, tail->len))
        return err_set(err, -EBADMSG, "%s: %s: %llu bytes at %llu lie outside the tail", tail->name,
                       what, (unsigned long long)len, (unsigned long long)off);
    *out = (struct paged_bytes){tail->memory + (off - tail->off), len};
    return 0;
}

int paged_section_of(const struct paged_tail *tail, unsigned i, const char *what, uint64_t len,
                     const uint8_t **out, struct err *err)
{
    struct paged_bytes bytes = {0};
    int ret = paged_section(tail, i, what, &bytes, err);
    if (ret)
        return ret;
    if (bytes.len != len)
        return err_set(err, -EBADMSG, "%s: %s: expected %llu bytes, found %llu", tail->name, what,
                       (unsigned long long)len, (unsigned long long)bytes.len);
    *out = bytes.data;
    return 0;
}

int paged_filter_open(const struct paged_tail *tail, struct filter *filter, uint64_t *len,
                      struct err *err)
{
    const struct part_info *part = &tail->info.part;
    uint64_t places_len = part->n_partitions * (uint64_t)sizeof(struct filter_entry);
    const uint8_t *places = NULL;
    struct paged_bytes bytes = {0};
    int ret =
        paged_section_of(tail, PAGED_FILTER_PLACES, "filter's places", places_len, &places, err);
    if (ret || (ret = paged_section(tail, PAGED_FILTER, "filter", &bytes, err)))
        return ret;
    *len = places_len + bytes.len;
    if (part->n_partitions == 0)
        return 0;
    return filter_open((const struct filter_entry *)places, part->n_partitions, bytes.data,
                       bytes.len, part->shard, part->n_shards, tail->name, filter, err);
}

int paged_key_order(const struct part_entry *a, const struct part_entry *b)
{
    size_t common = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order = memcmp(a->key_bytes, b->key_bytes, common);
    return order ? order : (int)a->key_len - (int)b->key_len;
}
