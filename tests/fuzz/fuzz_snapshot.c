/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot's decoder on any bytes, as they are and with a right checksum. What passes keeps the invariants, encodes to
 * the same state, and every question to it has an answer.
 */
#include "manifest/state_impl.h"
#include "sealed.h"

#include <string.h>

static void ask(const struct state *state)
{
    static const char *const labels[] = {"canary"};
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        uint64_t found = 0;
        expect(state_find_table(state, table->name) == table);
        table_state_newest(table);
        expect(table_state_canary(table) == 0 || table_state_canary(table) > table->current);
        table_state_resolve(table, "current", &found, NULL);
        expect(table_state_wanted(table, "host", labels, 1, 5) <= INT64_MAX);
        for (size_t j = 0; j < table->n_versions; j++) {
            expect(table_state_find(table, table->versions[j].version) == &table->versions[j]);
            table_state_is_kept(table, &table->versions[j]);
        }
    }
}

/* A record on top of it: whatever the fold says, the state stays sound. */
static void fold(struct state *state)
{
    if (state->n_tables == 0 || state->seq >= RECORD_SEQ_MAX)
        return;
    const struct table_state *table = &state->tables[0];
    for (int kind = OP_PUBLISH; kind <= OP_KEEP; kind++) {
        struct op op = {.kind = (enum op_kind)kind, .version = table->versions[0].version};
        struct record record = {.seq = state->seq + 1, .ops = &op, .n_ops = 1};
        strcpy(op.table, table->name);
        strcpy(op.name, "stable");
        op.from = table->current;
        op.canary = state->seq % 2;
        op.effective_ns = (int64_t)(state->seq % 3);
        op.base = table_state_newest(table);
        if (kind == OP_PUBLISH)
            op.version = table->versions[table->n_versions - 1].version + 1;
        state_apply(state, &record, NULL);
        expect(state_audit(state, NULL) == 0);
        table = &state->tables[0];
    }
}

static void try(const uint8_t *data, size_t len)
{
    struct state state = {0};
    struct state again = {0};
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    if (state_decode(data, len, "log/x", &state, &err)) {
        expect(err.code && err.text[0]);
        return;
    }
    ask(&state);
    expect(state_encode(&state, &text, NULL) == 0);
    expect(state_decode(text.data, text.len, "log/x", &again, NULL) == 0);
    expect(state_encode(&again, &twice, NULL) == 0);
    expect(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    fold(&state);
    state_release(&state);
    state_release(&again);
    buf_release(&text);
    buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try(data, len);
    struct buf text = sealed(data, len);
    try(text.data, text.len);
    buf_release(&text);
    return 0;
}
