/* SPDX-License-Identifier: Apache-2.0 */
#include "query/disk_files.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

enum { CAP_MIN = 64 };

void disk_files_release(struct disk_files *files)
{
    free(files->table);
    *files = (struct disk_files){0};
}

void disk_files_forget(struct disk_files *files)
{
    for (uint32_t i = 0; i < files->cap; i++)
        files->table[i].is_used = false;
    files->n = 0;
}

void disk_files_clear(struct disk_files *files, struct reader *reader)
{
    for (uint32_t i = 0; i < files->cap && files->n; i++)
        if (files->table[i].is_used)
            reader_remove_file(reader, files->table[i].index);
    disk_files_forget(files);
}

void disk_files_begin(struct disk_files *files, struct reader *reader,
                      const struct disk_shared *shared)
{
    uint64_t n_closed = atomic_load_explicit(&shared->n_closed, memory_order_acquire);
    if (files->shared == shared && files->n_closed == n_closed)
        return;
    disk_files_clear(files, reader);
    files->shared = shared;
    files->n_closed = n_closed;
}

/* Where the serial is, or the free place where it would be; the table is not full. */
static struct disk_files_entry *place_of(const struct disk_files *files, uint64_t serial)
{
    uint32_t i = (uint32_t)hash_u64(serial, 0) & (files->cap - 1);
    while (files->table[i].is_used && files->table[i].serial != serial)
        i = (i + 1) & (files->cap - 1);
    return &files->table[i];
}

static int grow(struct disk_files *files)
{
    if (2 * files->n < files->cap)
        return 0;
    struct disk_files wider = *files;
    wider.cap = files->cap ? 2 * files->cap : CAP_MIN;
    wider.table = calloc(wider.cap, sizeof *wider.table);
    if (!wider.table)
        return -ENOMEM;
    for (uint32_t i = 0; i < files->cap; i++)
        if (files->table[i].is_used)
            *place_of(&wider, files->table[i].serial) = files->table[i];
    free(files->table);
    *files = wider;
    return 0;
}

/* Lets go of all that is not being read. */
static void shed(struct disk_files *files, struct reader *reader)
{
    struct disk_files kept = *files;
    kept.n = 0;
    kept.table = calloc(kept.cap, sizeof *kept.table);
    for (uint32_t i = 0; i < files->cap && kept.table; i++) {
        const struct disk_files_entry *entry = &files->table[i];
        if (!entry->is_used || reader_remove_file(reader, entry->index) == 0)
            continue;
        *place_of(&kept, entry->serial) = *entry;
        kept.n++;
    }
    if (!kept.table)
        return;
    free(files->table);
    *files = kept;
}

int disk_files_find(struct disk_files *files, struct reader *reader, const struct disk_part *part,
                    uint32_t *index)
{
    int ret = grow(files);
    if (ret)
        return ret;
    struct disk_files_entry *entry = place_of(files, part->serial);
    if (!entry->is_used) {
        uint32_t added = 0;
        if (reader_add_file(reader, &part->file, &added, NULL)) {
            shed(files, reader);
            if ((ret = reader_add_file(reader, &part->file, &added, NULL)))
                return ret;
            entry = place_of(files, part->serial);
        }
        *entry = (struct disk_files_entry){part->serial, added, true};
        files->n++;
    }
    *index = entry->index;
    return 0;
}
