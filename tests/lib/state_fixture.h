/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_fixture: operations on a table "ads", taken or refused, for the tests of the fold.
 *
 * Include unit.h first. Threads: one at a time. Memory: the state is the test's. Errors: fail the test.
 */
#ifndef FKV_TESTS_STATE_FIXTURE_H
#define FKV_TESTS_STATE_FIXTURE_H

#include "manifest/state_impl.h"

#include <string.h>

#define S 1000000000LL

/* One record with these operations, an hour (in the log's time) after the one before it. */
static inline int apply_at(struct state *state, int64_t time_ns, const struct op *ops, size_t n_ops,
                           struct err *err)
{
    struct record record = {
        .seq = state->seq + 1,
        .time_ns = time_ns,
        .ops = (struct op *)ops,
        .n_ops = n_ops,
    };
    int checked = state_check(state, &record, NULL);
    int ret = state_apply(state, &record, err);
    assert_int_equal(checked, ret);
    return ret;
}

static inline int apply(struct state *state, struct op op, struct err *err)
{
    *err = (struct err){0};
    return apply_at(state, (int64_t)(state->seq + 1) * 3600 * S, &op, 1, err);
}

static inline void must(struct state *state, struct op op)
{
    struct err err = {0};
    int ret = apply(state, op, &err);
    if (ret)
        print_error("%s\n", err.text);
    assert_int_equal(ret, 0);
}

/* Refused with that code, a text with these words, and without a trace. */
static inline void refused(struct state *state, struct op op, int code, const char *says)
{
    struct err err = {0};
    struct buf before = {0};
    struct buf after = {0};
    assert_int_equal(state_encode(state, &before, NULL), 0);
    assert_int_equal(apply(state, op, &err), code);
    if (!strstr(err.text, says))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, says));
    assert_int_equal(state_encode(state, &after, NULL), 0);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    buf_release(&before);
    buf_release(&after);
}

static inline struct op publish(uint64_t version, uint64_t base)
{
    return (struct op){.kind = OP_PUBLISH,
                       .table = "ads",
                       .version = version,
                       .base = base,
                       .n_keys = 10 * version,
                       .len = 100 * version};
}
static inline struct op activate(uint64_t version)
{
    return (struct op){.kind = OP_ACTIVATE, .table = "ads", .version = version};
}
static inline struct op rollback(uint64_t from, uint64_t version)
{
    return (struct op){.kind = OP_ROLLBACK, .table = "ads", .from = from, .version = version};
}
static inline struct op plain(enum op_kind kind, uint64_t version)
{
    return (struct op){.kind = kind, .table = "ads", .version = version};
}
static inline struct op named(enum op_kind kind, uint64_t version, const char *name)
{
    struct op op = plain(kind, version);
    strcpy(op.name, name);
    return op;
}
static inline struct op forced(struct op op)
{
    op.force = true;
    return op;
}
static inline struct op effective(struct op op, int64_t ns)
{
    op.effective_ns = ns;
    return op;
}

/* Versions 1 to n, published and activated one after the other. */
static inline void release_versions(struct state *state, uint64_t n)
{
    for (uint64_t v = 1; v <= n; v++) {
        must(state, publish(v, 0));
        must(state, activate(v));
    }
}

static inline const struct table_state *ads(const struct state *state)
{
    return state_find_table(state, "ads");
}

static inline const struct version_entry *version(const struct state *state, uint64_t number)
{
    return table_state_find(ads(state), number);
}

#endif
