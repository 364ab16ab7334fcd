/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fold: one record onto a state, wholly or not at all.
 *
 * The tables that a record touches are copied into a stage, the operations run on the copies in their order, and only
 * when all were taken do the copies replace the originals. So a refused record leaves no trace, a later operation sees
 * the earlier ones of its record (publish, then activate), and the cost is that of the tables touched. What an operation
 * does to a table is state_op.c's.
 */
#include "manifest/state_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

struct stage {
    const struct state *state;
    struct table_state *tables; /* as many as the record has operations, at most */
    size_t n_tables;
    int64_t time_ns; /* of the record */
};

static void stage_release(struct stage *stage)
{
    for (size_t i = 0; i < stage->n_tables; i++)
        table_state_release(&stage->tables[i]);
    free(stage->tables);
}

/* The staged copy of the table, made on first use; a new one only for a publish. */
static int stage_table(struct stage *stage, const struct op *op, struct table_state **out,
                       struct err *err)
{
    for (size_t i = 0; i < stage->n_tables; i++) {
        if (strcmp(stage->tables[i].name, op->table) == 0) {
            *out = &stage->tables[i];
            return 0;
        }
    }
    struct table_state fresh = {.keep = KEEP_DEFAULT};
    const struct table_state *from = state_find_table(stage->state, op->table);
    if (!from && op->kind != OP_PUBLISH)
        return err_set(err, -ENOENT, "there is no table %s", op->table);
    strcpy(fresh.name, op->table);
    struct table_state *table = &stage->tables[stage->n_tables];
    if (table_state_copy(from ? from : &fresh, table))
        return err_sys(err, -ENOMEM, "table %s", op->table);
    stage->n_tables++;
    *out = table;
    return 0;
}

/* Canary pins that were over before the operation must not stand in its way; others end by it. */
static int stage_op(struct table_state *table, const struct op *op, int64_t time_ns,
                    struct err *err)
{
    table_state_end_canaries(table, time_ns);
    int ret = table_state_apply(table, op, time_ns, err);
    if (ret)
        return ret;
    table_state_end_canaries(table, time_ns);
    table->previous = table_state_pick_previous(table);
    return 0;
}

static int stage_record(struct stage *stage, const struct state *state, const struct record *record,
                        struct err *err)
{
    if (record->seq != state->seq + 1)
        return err_set(err, -EBADMSG, "expected record %llu, found %llu", (ull)state->seq + 1,
                       (ull)record->seq);
    stage->state = state;
    stage->time_ns = record->time_ns;
    stage->tables = calloc(record->n_ops + 1, sizeof *stage->tables);
    if (!stage->tables)
        return err_sys(err, -ENOMEM, "record %llu", (ull)record->seq);
    for (size_t i = 0; i < record->n_ops; i++) {
        const struct op *op = &record->ops[i];
        struct table_state *table = NULL;
        int ret = op_check(op, err);
        if (ret)
            return ret;
        ret = stage_table(stage, op, &table, err);
        if (!ret)
            ret = stage_op(table, op, stage->time_ns, err);
        if (ret)
            return err_wrap(err, ret, "%s", op_kind_name(op->kind));
    }
    return 0;
}

/* Puts a staged table in its place; state->tables has room. */
static void table_replace(struct state *state, struct table_state *table)
{
    struct table_state *old = state_find_table(state, table->name);
    if (old) {
        table_state_release(old);
        *old = *table;
    } else {
        size_t i = state->n_tables;
        while (i > 0 && strcmp(table->name, state->tables[i - 1].name) < 0)
            i--;
        memmove(&state->tables[i + 1], &state->tables[i], (state->n_tables - i) * sizeof *table);
        state->tables[i] = *table;
        state->n_tables++;
    }
    *table = (struct table_state){0};
}

int state_apply(struct state *state, const struct record *record, struct err *err)
{
    struct stage stage = {0};
    int ret = stage_record(&stage, state, record, err);
    if (!ret) {
        size_t n_most = state->n_tables + stage.n_tables;
        struct table_state *tables = realloc(state->tables, (n_most + 1) * sizeof *tables);
        if (tables)
            state->tables = tables;
        else
            ret = err_sys(err, -ENOMEM, "record %llu", (ull)record->seq);
    }
    for (size_t i = 0; i < stage.n_tables && !ret; i++)
        table_replace(state, &stage.tables[i]);
    if (!ret)
        state->seq = record->seq;
    stage_release(&stage);
    return ret;
}

int state_check(const struct state *state, const struct record *record, struct err *err)
{
    struct stage stage = {0};
    int ret = stage_record(&stage, state, record, err);
    stage_release(&stage);
    return ret;
}
