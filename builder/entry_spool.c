/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/entry_spool.h"

#include <errno.h>
#include <stdlib.h>

enum { READ_LEN = 1 << 20 };

int entry_spool_init(struct entry_spool *spool, const char *scratch_dir, struct err *err)
{
    *spool = (struct entry_spool){.scratch = {.fd = -1}};
    int ret = scratch_open(&spool->scratch, scratch_dir, err);
    if (!ret)
        ret = run_writer_init(&spool->writer, &spool->scratch.file, err);
    if (ret)
        entry_spool_release(spool);
    return ret;
}

void entry_spool_release(struct entry_spool *spool)
{
    run_writer_release(&spool->writer);
    run_release(&spool->run);
    free(spool->buffer);
    buf_release(&spool->big);
    scratch_close(&spool->scratch);
    *spool = (struct entry_spool){.scratch = {.fd = -1}};
}

int entry_spool_add(struct entry_spool *spool, const struct part_entry *entry, struct err *err)
{
    struct record_head head = {.hash = entry->hash,
                               .value_len = entry->value_len,
                               .key_len = entry->key_len,
                               .flags = entry->tombstone ? RECORD_TOMBSTONE : 0};
    struct level_totals one = {.n_entries = 1,
                               .key_len = entry->key_bytes ? entry->key_len : sizeof entry->key,
                               .value_len = entry->value_len,
                               .value_max = entry->value_len};
    level_totals_add(&spool->totals, &one);
    return run_writer_add(&spool->writer, &head, entry->key_bytes, entry->value, err);
}

int entry_spool_rewind(struct entry_spool *spool, uint64_t hash_seed, struct err *err)
{
    int ret = run_writer_finish(&spool->writer, &spool->run, err);
    run_writer_release(&spool->writer);
    if (ret)
        return ret;
    spool->buffer = aligned_alloc(SCRATCH_ALIGN, READ_LEN);
    if (!spool->buffer)
        return err_sys(err, -ENOMEM, "reading what a shard has changed");
    struct run_memory memory = {.data = spool->buffer, .cap = READ_LEN};
    return run_reader_open(&spool->reader, &spool->run, hash_seed, 0, UINT64_MAX, memory, err);
}

int entry_spool_next(struct entry_spool *spool, struct part_entry *entry, struct err *err)
{
    int got = run_reader_next(&spool->reader, err);
    if (got <= 0)
        return got;
    int ret = run_reader_value(&spool->reader, &spool->big, err);
    if (ret)
        return ret;
    *entry = spool->reader.view.entry;
    return 1;
}
