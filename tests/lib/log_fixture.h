/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_fixture: a store in memory with a manifest, and the records that tests append.
 *
 * Include unit.h first. Threads: one at a time. Memory: log_fixture_close(). Errors: fail the test.
 */
#ifndef FKV_TESTS_LOG_FIXTURE_H
#define FKV_TESTS_LOG_FIXTURE_H

#include "faulty_backend.h"
#include "manifest/manifest_impl.h"
#include "memory_backend.h"

#include <string.h>

struct log_fixture {
    struct backend *memory;
    struct store *plain;   /* straight to memory, for looking and for meddling */
    struct faulty *faulty; /* counts, fails, looks on */
    struct store *store;   /* through faulty */
};

static inline void log_fixture_open(struct log_fixture *f)
{
    f->memory = memory_backend_new();
    f->faulty = faulty_new(f->memory, true);
    assert_int_equal(store_open_backend(f->memory, "memory:", &f->plain, NULL), 0);
    assert_int_equal(store_open_backend(&f->faulty->backend, "faulty:", &f->store, NULL), 0);
    assert_int_equal(manifest_init_store(f->plain, NULL), 0);
}

static inline void log_fixture_close(struct log_fixture *f)
{
    store_close(f->store);
    store_close(f->plain);
}

static inline struct manifest *must_open(struct store *store)
{
    struct manifest *manifest = NULL;
    struct err err = {0};
    int ret = manifest_open(store, &manifest, &err);
    if (ret)
        print_error("%s\n", err.text);
    assert_int_equal(ret, 0);
    return manifest;
}

/* Builds a publish of the next version of a table. */
struct next_version {
    const char *table;
    struct op op;
    unsigned n_built;
};

static inline uint64_t last_version(const struct state *state, const char *table)
{
    const struct table_state *found = state_find_table(state, table);
    return found ? found->versions[found->n_versions - 1].version : 0;
}

static inline int build_next(void *context, const struct state *state, struct op_list *ops,
                             struct err *err)
{
    struct next_version *next = context;
    next->op = (struct op){.kind = OP_PUBLISH, .version = last_version(state, next->table) + 1};
    strcpy(next->op.table, next->table);
    next->n_built++;
    *ops = (struct op_list){&next->op, 1};
    return 0;
}

static inline uint64_t must_append(struct manifest *manifest, const char *table)
{
    struct next_version next = {.table = table};
    struct err err = {0};
    uint64_t seq = 0;
    int ret = manifest_append(manifest, "test", build_next, &next, &seq, &err);
    if (ret)
        print_error("%s\n", err.text);
    assert_int_equal(ret, 0);
    return seq;
}

#endif
