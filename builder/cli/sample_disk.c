/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "base/scope.h"
#include "builder/cli/sample.h"
#include "format/blk.h"
#include "format/idx.h"
#include "format/part_space.h"

#include <errno.h>
#include <string.h>

/* Blocks of a whole table that are read for their keys. */
enum { BLOCKS_MAX = 65536 };

static int offer_idx(struct sample *s, const struct idx *idx)
{
    struct idx_cursor cursor;
    int rc = s->key_type == KEY_U64 ? idx_seek_u64(idx, 0, &cursor)
                                    : idx_seek_bytes(idx, "", 0, &cursor);
    while (!rc && (rc = idx_next(&cursor)) == 1) {
        if (!idx_is_tombstone(idx, cursor.rank))
            sample_offer(s, cursor.key, cursor.key_bytes, cursor.key_len);
        rc = 0;
    }
    return rc;
}

/* A few entries of one block, from different places of it. */
static int offer_block(struct sample *s, const struct blk *blk, const struct block *block,
                       uint32_t n_wanted)
{
    uint32_t step = block->n > n_wanted ? block->n / n_wanted : 1;
    for (uint32_t i = 0; i < block->n; i += step) {
        struct part_entry entry;
        int rc = blk_entry(blk, block, i, &entry);
        if (rc)
            return rc;
        if (!entry.tombstone)
            sample_offer(s, entry.key, entry.key_bytes, entry.key_len);
    }
    return 0;
}

static int read_block(struct sample *s, const struct blk *blk, int fd, struct block_place place,
                      uint32_t n_wanted, struct err *err)
{
    const struct paged_info *info = blk_info(blk);
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    struct block block;
    scope_free uint8_t *data = malloc(len);
    if (!data)
        return err_sys(err, -ENOMEM, "a block of %zu bytes", len);
    int rc = sample_read(fd, (uint64_t)place.page * BLOCK_PAGE, data, len);
    if (rc)
        return err_sys(err, rc, "reading a block");
    rc = block_open(data, len, &info->shape, info->salt, place.page, &block, err);
    return rc ? rc : offer_block(s, blk, &block, n_wanted);
}

static int offer_blk(struct sample *s, const struct blk *blk, int fd, size_t n_parts,
                     struct err *err)
{
    uint64_t n_blocks = blk_info(blk)->n_blocks;
    uint64_t n_read = BLOCKS_MAX / n_parts + 1 < n_blocks ? BLOCKS_MAX / n_parts + 1 : n_blocks;
    if (!n_read)
        return 0;
    uint64_t step = n_blocks / n_read;
    uint64_t n_wanted = s->cap / n_parts / n_read + 1;
    struct block_place place = blk_block_at(blk, 0);
    int rc = 0;
    for (uint64_t i = 0; !rc && place.n_pages; i++) {
        if (i % step == 0)
            rc = read_block(s, blk, fd, place, (uint32_t)n_wanted, err);
        place = blk_block_at(blk, place.page + place.n_pages);
    }
    return rc;
}

static int offer_tail(struct sample *s, int fd, const struct part_space *space, uint64_t len,
                      const char *path, size_t n_parts, struct err *err)
{
    struct idx *idx = NULL;
    struct blk *blk = NULL;
    scope_free uint8_t *tail = aligned_alloc(PART_ALIGN, align_up(space->memory, PART_ALIGN));
    if (!tail)
        return err_sys(err, -ENOMEM, "%s: %llu bytes; name keys with --keys", path,
                       (unsigned long long)space->memory);
    int rc = sample_read(fd, len - space->memory, tail, space->memory);
    if (rc)
        return err_sys(err, rc, "reading %s", path);
    if (space->kind == KIND_IDX) {
        rc = idx_open(tail, space->memory, len, path, &idx, err);
        if (!rc && (rc = offer_idx(s, idx)))
            rc = err_sys(err, rc, "%s: its keys do not hold together", path);
    } else {
        rc = blk_open(tail, space->memory, len, path, &blk, err);
        if (!rc && (rc = offer_blk(s, blk, fd, n_parts, err)))
            rc = err_wrap(err, rc, "%s", path);
    }
    idx_free(idx);
    blk_free(blk);
    return rc;
}

int sample_disk_part(struct sample *s, int fd, uint64_t len, const char *path, size_t n_parts,
                     bool *is_mem, struct err *err)
{
    uint8_t footer[PART_FOOTER_LEN];
    struct part_space space;
    if (len < sizeof footer)
        return err_set(err, -EBADMSG, "%s: %llu bytes are no part", path, (unsigned long long)len);
    int rc = sample_read(fd, len - sizeof footer, footer, sizeof footer);
    if (rc)
        return err_sys(err, rc, "reading %s", path);
    rc = part_space_measure(footer, len, path, &space, err);
    if (rc)
        return rc;
    *is_mem = space.kind == KIND_MEM;
    if (*is_mem)
        return 0;
    if (space.info.key_type != s->key_type)
        return err_set(err, -EBADMSG, "%s: keys of another type than the table says", path);
    return offer_tail(s, fd, &space, len, path, n_parts, err);
}
