/* SPDX-License-Identifier: Apache-2.0 */
/* Without memory: the nth allocation fails, for every n, and nothing leaks or is half done. */
#include "unit.h"

#include "failing_malloc.h"
#include "format/any_part.h"
#include "paged_entries.h"

#include <errno.h>

enum { N = 3000, ROOM = 4 << 20 };

static uint8_t *part;
static size_t part_len;

static int append(void *context, const void *data, size_t len, struct err *err)
{
    if (len > ROOM - part_len)
        return -ENOSPC;
    memcpy(part + part_len, data, len);
    part_len += len;
    return 0;
}

static int write_blk(const struct paged_params *params, const struct entries *e)
{
    struct blk_writer *writer = NULL;
    part_len = 0;
    int ret = blk_writer_new(params, (struct part_sink){append, NULL}, &writer, NULL);
    for (size_t i = 0; i < e->n && !ret; i++)
        ret = blk_writer_add(writer, &e->at[i], NULL);
    if (!ret)
        ret = blk_writer_finish(writer, NULL, NULL);
    blk_writer_free(writer);
    return ret;
}

static int write_idx(const struct paged_params *params, const struct entries *e)
{
    struct idx_writer *writer = NULL;
    part_len = 0;
    int ret = idx_writer_new(params, (struct part_sink){append, NULL}, &writer, NULL);
    for (size_t i = 0; i < e->n && !ret; i++)
        ret = idx_writer_add(writer, &e->at[i], NULL);
    if (!ret)
        ret = idx_writer_finish(writer, NULL, NULL);
    idx_writer_free(writer);
    return ret;
}

static int open_tail(enum paged_kind kind)
{
    struct paged_info info;
    struct blk *blk = NULL;
    struct idx *idx = NULL;
    uint64_t off = 0;
    assert_int_equal(
        paged_tail(part + part_len - PART_FOOTER_LEN, part_len, "part", &off, &info, NULL), 0);
    int ret = kind == PAGED_BLK
                  ? blk_open(part + off, part_len - off, part_len, "part", &blk, NULL)
                  : idx_open(part + off, part_len - off, part_len, "part", &idx, NULL);
    assert_int_equal(ret == 0, blk || idx);
    blk_free(blk);
    idx_free(idx);
    return ret;
}

static int open_any(void)
{
    struct any_part *any = NULL;
    int ret = any_part_open(part, part_len, "part", &any, NULL);
    assert_int_equal(ret == 0, any != NULL);
    any_part_free(any);
    return ret;
}

static void survives(enum key_type key_type, enum paged_kind kind, uint32_t level)
{
    struct schema schema = fixture_schema(key_type, "bytes", 1);
    struct entries e = entries_make(&schema, N, len_varied);
    static const uint8_t dictionary[100];
    struct paged_params params = {.schema = &schema,
                                  .level = level,
                                  .n_entries = N,
                                  .n_bytes = N * 150,
                                  .has_filter = true,
                                  .dictionary = {dictionary, sizeof dictionary}};
    bool was_hit = true;
    unsigned nth = 1;
    qsort(e.at, N, sizeof *e.at, kind == PAGED_BLK ? fixture_order : paged_fixture_key_order);
    for (; was_hit; nth++) {
        failing_malloc_arm(nth);
        int ret = kind == PAGED_BLK ? write_blk(&params, &e) : write_idx(&params, &e);
        was_hit = failing_malloc_disarm();
        assert_int_equal(ret, was_hit ? -ENOMEM : 0);
    }
    assert_true(nth > 20);
    was_hit = true;
    for (nth = 1; was_hit; nth++) {
        failing_malloc_arm(nth);
        int ret = open_tail(kind);
        was_hit = failing_malloc_disarm();
        assert_int_equal(ret, was_hit ? -ENOMEM : 0);
    }
    assert_true(nth > 2);
    was_hit = true;
    for (nth = 1; was_hit; nth++) {
        failing_malloc_arm(nth);
        int ret = open_any();
        was_hit = failing_malloc_disarm();
        assert_int_equal(ret, was_hit ? -ENOMEM : 0);
    }
    assert_true(nth > 3);
    entries_free(&e);
}

static void paged__survives_each_failed_allocation(void **state)
{
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, BLOCK_PAGE, ROOM), 0);
    part = memory;
    survives(KEY_U64, PAGED_BLK, 0);
    survives(KEY_BYTES, PAGED_BLK, 1);
    survives(KEY_U64, PAGED_IDX, 1);
    survives(KEY_BYTES, PAGED_IDX, 0);
    free(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paged__survives_each_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
