/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/base_probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A page read alone takes about as long as this many in one go. */
enum { PAGES_A_READ = 64 };

static int part_read(struct base_probe *probe, uint64_t off, void *data, size_t len,
                     struct err *err)
{
    size_t n = 0;
    int ret = store_reader_read(probe->reader, off, data, len, &n, err);
    if (!ret && n != len)
        ret = err_set(err, -EBADMSG, "%s: expected %zu bytes at %llu, found %zu: truncated",
                      probe->path, len, (unsigned long long)off, n);
    return ret;
}

static int tail_open(struct base_probe *probe, const struct part_desc *desc, uint64_t off,
                     const struct paged_info *info, struct err *err)
{
    probe->tail_len = (size_t)(desc->len - off);
    probe->tail = aligned_alloc(PART_ALIGN, probe->tail_len);
    if (!probe->tail)
        return err_sys(err, -ENOMEM, "%s: %zu bytes", probe->path, probe->tail_len);
    int ret = part_read(probe, off, probe->tail, probe->tail_len, err);
    if (ret)
        return ret;
    return info->kind == PAGED_BLK
               ? blk_open(probe->tail, probe->tail_len, desc->len, probe->path, &probe->blk, err)
               : idx_open(probe->tail, probe->tail_len, desc->len, probe->path, &probe->idx, err);
}

/* Opens a part by its tail; *is_whole when it is better read through. */
static int disk_open(struct base_probe *probe, const struct base_probe_params *params,
                     const struct part_desc *desc, uint64_t n_wanted, bool *is_whole,
                     struct err *err)
{
    uint8_t footer[PART_FOOTER_LEN];
    struct paged_info info;
    uint64_t off = 0;
    int ret = store_reader_open(params->store, probe->path, &probe->reader, err);
    if (ret)
        return ret;
    uint64_t found = store_reader_len(probe->reader);
    if (found != desc->len || found < PART_FOOTER_LEN)
        return err_set(err, -EBADMSG, "%s: expected %llu bytes, found %llu", probe->path,
                       (unsigned long long)desc->len, (unsigned long long)found);
    ret = part_read(probe, desc->len - sizeof footer, footer, sizeof footer, err);
    if (!ret)
        ret = paged_tail(footer, desc->len, probe->path, &off, &info, err);
    if (ret)
        return ret;
    *is_whole = info.kind == PAGED_BLK && n_wanted >= info.n_pages / PAGES_A_READ;
    return *is_whole ? 0 : tail_open(probe, desc, off, &info, err);
}

int base_probe_open(struct base_probe *probe, const struct base_probe_params *params,
                    const struct part_desc *desc, uint64_t n_wanted, struct err *err)
{
    /* Only parts on disk have a tail. Beside one beyond heap_max, mapping the part takes less. */
    bool is_whole =
        desc->tail_len == 0 || desc->len <= params->whole_max || desc->tail_len > params->heap_max;
    *probe = (struct base_probe){0};
    int ret = part_file_path(params->dir, desc, probe->path, err);
    if (!ret && !is_whole)
        ret = disk_open(probe, params, desc, n_wanted, &is_whole, err);
    if (!ret && is_whole)
        ret = part_memory_load(&probe->whole, params->store, params->dir, desc, params->heap_max,
                               params->scratch_dir, err);
    if (ret)
        base_probe_close(probe);
    return ret;
}

void base_probe_close(struct base_probe *probe)
{
    part_memory_release(&probe->whole);
    store_reader_close(probe->reader);
    blk_free(probe->blk);
    idx_free(probe->idx);
    free(probe->tail);
    free(probe->pages);
    *probe = (struct base_probe){0};
}

/* Makes probe->block the block at a place. */
static int block_read(struct base_probe *probe, struct block_place place, struct err *err)
{
    const struct paged_info *info = blk_info(probe->blk);
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    if (probe->place.n_pages && probe->place.page == place.page)
        return 0;
    probe->place = (struct block_place){0};
    if (len > probe->pages_cap) {
        free(probe->pages);
        probe->pages = aligned_alloc(PART_ALIGN, len);
        probe->pages_cap = probe->pages ? len : 0;
        if (!probe->pages)
            return err_sys(err, -ENOMEM, "%s: a block of %zu bytes", probe->path, len);
    }
    int ret = part_read(probe, (uint64_t)place.page * BLOCK_PAGE, probe->pages, len, err);
    if (!ret)
        ret =
            block_open(probe->pages, len, &info->shape, info->salt, place.page, &probe->block, err);
    if (ret)
        return err_wrap(err, ret, "%s", probe->path);
    probe->place = place;
    return 0;
}

static int blk_search(struct base_probe *probe, const struct part_entry *wanted, bool *is_tombstone,
                      struct err *err)
{
    const struct blk *parts[1] = {probe->blk};
    struct block_place place = {0};
    struct probe_value value;
    blk_locate(parts, 1, &wanted->hash, 1, &place);
    if (place.n_pages == 0)
        return 0;
    int ret = block_read(probe, place, err);
    if (ret)
        return ret;
    enum probe found =
        block_find(&probe->block, wanted->hash, wanted->key_bytes, wanted->key_len, &value);
    if (found == PROBE_CORRUPT)
        return err_set(err, -EBADMSG, "%s: the block at page %u is corrupt", probe->path,
                       place.page);
    *is_tombstone = found == PROBE_TOMBSTONE;
    return found != PROBE_ABSENT;
}

static int idx_search(const struct base_probe *probe, const struct part_entry *wanted,
                      bool *is_tombstone, struct err *err)
{
    uint64_t rank = IDX_NONE;
    int ret = 0;
    if (wanted->key_bytes)
        ret = idx_find_bytes(probe->idx, wanted->key_bytes, wanted->key_len, &rank);
    else
        idx_find_u64(probe->idx, &wanted->key, 1, &rank);
    if (ret)
        return err_set(err, ret, "%s: its keys are corrupt", probe->path);
    if (rank == IDX_NONE)
        return 0;
    *is_tombstone = idx_is_tombstone(probe->idx, rank);
    return 1;
}

int base_probe_find(struct base_probe *probe, const struct part_entry *wanted, bool *is_tombstone,
                    struct err *err)
{
    struct part_entry found;
    if (probe->blk)
        return blk_search(probe, wanted, is_tombstone, err);
    if (probe->idx)
        return idx_search(probe, wanted, is_tombstone, err);
    int has = any_part_find(probe->whole.part, wanted, &found);
    if (has < 0)
        return err_set(err, has, "%s is corrupt", probe->path);
    *is_tombstone = has && found.tombstone;
    return has;
}
