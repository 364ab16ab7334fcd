/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged_fixture: `blk` and `idx` parts made in memory from a list of entries, for tests and
 * fuzzers.
 *
 * Threads: one. Memory: paged_fixture_release() frees what a fixture made. Failures abort: a test
 * that cannot make its part has nothing to say.
 */
#ifndef FKV_TESTS_PAGED_FIXTURE_H
#define FKV_TESTS_PAGED_FIXTURE_H

#include "format/blk.h"
#include "format/blk_writer.h"
#include "format/idx.h"
#include "format/idx_writer.h"
#include "table_fixture.h"

#include <errno.h>

struct paged_fixture {
    struct schema schema;
    struct buf bytes; /* the part */
    uint8_t *tail;    /* its tail, aligned, exactly as long */
    uint64_t tail_len;
    struct paged_info info;
    struct blk *blk; /* one of these */
    struct idx *idx;
};

static inline void paged_fixture_release(struct paged_fixture *fixture)
{
    blk_free(fixture->blk);
    idx_free(fixture->idx);
    free(fixture->tail);
    buf_release(&fixture->bytes);
}

/* Writes the entries (sorted here by hash, then key) of the params' shard as a `blk` part. */
static inline int paged_fixture_write_blk(const struct paged_params *params,
                                          struct part_entry *entries, size_t n, struct buf *out,
                                          struct err *err)
{
    struct blk_writer *writer = NULL;
    struct part_sink sink = {fixture_append, out};
    int ret = blk_writer_new(params, sink, &writer, err);
    if (ret)
        return ret;
    qsort(entries, n, sizeof *entries, fixture_order);
    for (size_t i = 0; i < n && !ret; i++)
        if (schema_shard(params->schema, entries[i].hash) == params->shard)
            ret = blk_writer_add(writer, &entries[i], err);
    if (!ret)
        ret = blk_writer_finish(writer, NULL, err);
    blk_writer_free(writer);
    return ret;
}

static inline int paged_fixture_key_order(const void *a, const void *b)
{
    const struct part_entry *x = a;
    const struct part_entry *y = b;
    if (x->key_bytes && y->key_bytes)
        return paged_key_order(x, y);
    return x->key < y->key ? -1 : x->key > y->key;
}

/* Writes the entries (sorted here by key) of the params' shard as an `idx` part. */
static inline int paged_fixture_write_idx(const struct paged_params *params,
                                          struct part_entry *entries, size_t n, struct buf *out,
                                          struct err *err)
{
    struct idx_writer *writer = NULL;
    struct part_sink sink = {fixture_append, out};
    int ret = idx_writer_new(params, sink, &writer, err);
    if (ret)
        return ret;
    qsort(entries, n, sizeof *entries, paged_fixture_key_order);
    for (size_t i = 0; i < n && !ret; i++)
        if (schema_shard(params->schema, entries[i].hash) == params->shard)
            ret = idx_writer_add(writer, &entries[i], err);
    if (!ret)
        ret = idx_writer_finish(writer, NULL, err);
    idx_writer_free(writer);
    return ret;
}

/* Finds the tail of a part and copies it to memory of its own, as a reader does. 0 or what
 * paged_tail() said. */
static inline int paged_fixture_tail(struct paged_fixture *fixture, struct err *err)
{
    const struct buf *bytes = &fixture->bytes;
    uint64_t off = 0;
    if (bytes->len < PART_FOOTER_LEN)
        return -EINVAL;
    int ret = paged_tail(bytes->data + bytes->len - PART_FOOTER_LEN, bytes->len, "part", &off,
                         &fixture->info, err);
    if (ret)
        return ret;
    void *memory = NULL;
    fixture->tail_len = bytes->len - off;
    FIXTURE_MUST(posix_memalign(&memory, PART_SECTION_ALIGN, fixture->tail_len) == 0);
    fixture->tail = memory;
    memcpy(fixture->tail, bytes->data + off, fixture->tail_len);
    return 0;
}

static inline void paged_fixture_blk(struct paged_fixture *fixture,
                                     const struct paged_params *params, struct part_entry *entries,
                                     size_t n)
{
    fixture->schema = *params->schema;
    FIXTURE_MUST(paged_fixture_write_blk(params, entries, n, &fixture->bytes, NULL) == 0);
    FIXTURE_MUST(paged_fixture_tail(fixture, NULL) == 0);
    FIXTURE_MUST(blk_open(fixture->tail, fixture->tail_len, fixture->bytes.len, "part",
                          &fixture->blk, NULL) == 0);
}

static inline void paged_fixture_idx(struct paged_fixture *fixture,
                                     const struct paged_params *params, struct part_entry *entries,
                                     size_t n)
{
    fixture->schema = *params->schema;
    FIXTURE_MUST(paged_fixture_write_idx(params, entries, n, &fixture->bytes, NULL) == 0);
    FIXTURE_MUST(paged_fixture_tail(fixture, NULL) == 0);
    FIXTURE_MUST(idx_open(fixture->tail, fixture->tail_len, fixture->bytes.len, "part",
                          &fixture->idx, NULL) == 0);
}

/* "Reads" a block; the buffer is the caller's to free. */
static inline uint8_t *paged_fixture_read(const struct paged_fixture *fixture,
                                          struct block_place place)
{
    size_t off = (size_t)place.page * BLOCK_PAGE;
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    FIXTURE_MUST(off + len <= fixture->info.n_pages * BLOCK_PAGE);
    uint8_t *memory = malloc(len);
    FIXTURE_MUST(memory);
    memcpy(memory, fixture->bytes.data + off, len);
    return memory;
}

#endif
