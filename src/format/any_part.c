/* SPDX-License-Identifier: Apache-2.0 */
#include "format/any_part.h"

#include "base/hash.h"
#include "format/any_part_view.h"
#include "format/mph.h"
#include "format/paged_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- open ---- */

/* The number by which footers tell the kinds apart; 0 when there is no footer. */
static uint32_t layout_of(const uint8_t *memory, size_t len)
{
    if (len < PART_FOOTER_LEN)
        return 0;
    return load_le32(memory + (len - PART_FOOTER_LEN) + offsetof(struct paged_footer, layout));
}

static int paged_open(struct any_part *part, uint32_t layout, size_t len, const char *name,
                      struct err *err)
{
    struct paged_info info;
    uint64_t off = 0;
    int ret = paged_tail(part->memory + (len - PART_FOOTER_LEN), len, name, &off, &info, err);
    if (ret)
        return ret;
    if (layout == PAGED_BLK) {
        part->kind = KIND_BLK;
        return blk_open(part->memory + off, len - off, len, name, &part->blk, err);
    }
    part->kind = KIND_IDX;
    return idx_open(part->memory + off, len - off, len, name, &part->idx, err);
}

int any_part_open(const void *memory, size_t len, const char *name, struct any_part **out,
                  struct err *err)
{
    uint32_t layout = layout_of(memory, len);
    int ret = 0;
    struct any_part *part = calloc(1, sizeof *part);
    if (!part)
        return err_sys(err, -ENOMEM, "%s", name);
    part->memory = memory;
    if (layout == PAGED_BLK || layout == PAGED_IDX) {
        ret = paged_open(part, layout, len, name, err);
    } else {
        part->kind = KIND_MEM;
        ret = part_open(memory, len, name, &part->mem, err);
    }
    if (ret)
        any_part_free(part);
    else
        *out = part;
    return ret;
}

void any_part_free(struct any_part *part)
{
    if (!part)
        return;
    part_free(part->mem);
    blk_free(part->blk);
    idx_free(part->idx);
    free(part);
}

enum table_kind any_part_kind(const struct any_part *part)
{
    return part->kind;
}

const struct part_info *any_part_info(const struct any_part *part)
{
    return part->mem ? part_info(part->mem) : &any_part_paged(part)->part;
}

const struct paged_info *any_part_paged(const struct any_part *part)
{
    if (part->mem)
        return NULL;
    return part->blk ? blk_info(part->blk) : idx_info(part->idx);
}

struct paged_bytes any_part_dictionary(const struct any_part *part)
{
    if (part->mem)
        return (struct paged_bytes){0};
    return part->blk ? blk_dictionary(part->blk) : idx_dictionary(part->idx);
}

/* ---- blocks ---- */

int any_block_open(const struct any_part *part, struct block_place place, struct block *block,
                   struct err *err)
{
    const struct paged_info *info = any_part_paged(part);
    return block_open(part->memory + (size_t)place.page * BLOCK_PAGE,
                      (size_t)place.n_pages * BLOCK_PAGE, &info->shape, info->salt, place.page,
                      block, err);
}

/* Without its checksum: whoever searches has checked the part as a whole. */
static int any_block_view(const struct any_part *part, struct block_place place,
                          struct block *block)
{
    return block_view(part->memory + (size_t)place.page * BLOCK_PAGE,
                      (size_t)place.n_pages * BLOCK_PAGE, &any_part_paged(part)->shape, block);
}

/* ---- walking ---- */

static int blk_next(const struct any_part *part, struct any_cursor *cursor,
                    struct part_entry *entry)
{
    if (!cursor->has_block || cursor->i >= cursor->block.n) {
        struct block_place place = blk_block_at(part->blk, cursor->page);
        if (place.n_pages == 0)
            return 0;
        int ret = any_block_open(part, place, &cursor->block, NULL);
        if (ret)
            return ret;
        cursor->has_block = true;
        cursor->page = place.page + place.n_pages;
        cursor->i = 0;
    }
    int ret = blk_entry(part->blk, &cursor->block, cursor->i++, entry);
    return ret ? ret : 1;
}

/* The block of the key that the cursor has come to: that of the key before, until it ends. */
static int idx_enter(const struct any_part *part, struct any_cursor *cursor)
{
    struct idx_place place = {0};
    if (cursor->has_block && cursor->i < cursor->block.n)
        return 0;
    cursor->has_block = false;
    int ret = idx_place(part->idx, cursor->idx.rank, &place);
    if (ret || (ret = any_block_open(part, place.block, &cursor->block, NULL)))
        return ret;
    cursor->has_block = true;
    cursor->i = place.entry;
    return 0;
}

static int idx_begin(const struct any_part *part, struct any_cursor *cursor)
{
    if (cursor->has_begun)
        return 0;
    cursor->has_begun = true;
    return idx_info(part->idx)->part.key_type == KEY_U64
               ? idx_seek_u64(part->idx, 0, &cursor->idx)
               : idx_seek_bytes(part->idx, NULL, 0, &cursor->idx);
}

static int idx_next_entry(const struct any_part *part, struct any_cursor *cursor,
                          struct part_entry *entry)
{
    const struct part_info *info = &idx_info(part->idx)->part;
    struct probe_value value = {0};
    int ret = idx_begin(part, cursor);
    if (ret)
        return ret;
    if ((ret = idx_next(&cursor->idx)) <= 0)
        return ret;
    if ((ret = idx_enter(part, cursor)))
        return ret;
    struct part_entry made = {.tombstone = idx_is_tombstone(part->idx, cursor->idx.rank)};
    if (info->key_type == KEY_U64) {
        made.key = cursor->idx.key;
        made.hash = hash_u64(made.key, info->hash_seed);
    } else {
        made.key_bytes = cursor->idx.key_bytes;
        made.key_len = cursor->idx.key_len;
        made.hash = hash_bytes(made.key_bytes, made.key_len, info->hash_seed);
    }
    uint32_t i = cursor->i++;
    if (!made.tombstone) {
        if ((ret = block_value(&cursor->block, i, &value)))
            return ret;
        made.value = value.data;
        made.value_len = value.len;
    }
    *entry = made;
    return 1;
}

int any_part_next(const struct any_part *part, struct any_cursor *cursor, struct part_entry *entry)
{
    if (part->mem)
        return part_next(part->mem, &cursor->slot, entry);
    return part->blk ? blk_next(part, cursor, entry) : idx_next_entry(part, cursor, entry);
}

/* ---- searching ---- */

static int blk_search(const struct any_part *part, const struct part_entry *wanted,
                      enum probe *probe, struct probe_value *value)
{
    const struct part_info *info = &blk_info(part->blk)->part;
    const struct blk *one[1] = {part->blk};
    struct block_place place = {0};
    struct block block;
    if (mph_partition(wanted->hash, info->n_shards) != info->shard)
        return 0;
    blk_locate(one, 1, &wanted->hash, 1, &place);
    if (place.n_pages == 0)
        return 0;
    int ret = any_block_view(part, place, &block);
    if (!ret)
        *probe = block_find(&block, wanted->hash, wanted->key_bytes, wanted->key_len, value);
    return ret;
}

static int idx_search(const struct any_part *part, const struct part_entry *wanted,
                      enum probe *probe, struct probe_value *value)
{
    struct idx_place place = {0};
    struct block block;
    uint64_t rank = IDX_NONE;
    int ret = 0;
    if (idx_info(part->idx)->part.key_type == KEY_U64)
        idx_find_u64(part->idx, &wanted->key, 1, &rank);
    else
        ret = idx_find_bytes(part->idx, wanted->key_bytes, wanted->key_len, &rank);
    if (ret || rank == IDX_NONE)
        return ret;
    if (idx_is_tombstone(part->idx, rank)) {
        *probe = PROBE_TOMBSTONE;
        return 0;
    }
    if ((ret = idx_place(part->idx, rank, &place)) ||
        (ret = any_block_view(part, place.block, &block)) ||
        (ret = block_value(&block, place.entry, value)))
        return ret;
    *probe = PROBE_FOUND;
    return 0;
}

int any_part_find(const struct any_part *part, const struct part_entry *wanted,
                  struct part_entry *found)
{
    enum probe probe = PROBE_ABSENT;
    struct probe_value value = {0};
    bool has_bytes = any_part_info(part)->key_type == KEY_BYTES;
    if (has_bytes != (wanted->key_bytes != NULL))
        return 0;
    if (part->mem)
        return part_find(part->mem, wanted, found);
    int ret = part->blk ? blk_search(part, wanted, &probe, &value)
                        : idx_search(part, wanted, &probe, &value);
    if (ret || probe == PROBE_CORRUPT)
        return -EBADMSG;
    if (probe == PROBE_ABSENT)
        return 0;
    *found = *wanted;
    found->tombstone = probe == PROBE_TOMBSTONE;
    found->value = found->tombstone ? NULL : value.data;
    found->value_len = found->tombstone ? 0 : value.len;
    return 1;
}
