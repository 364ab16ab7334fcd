/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record's decoder on any bytes, as they are and with a right checksum. What passes encodes and decodes to itself, and
 * folding it leaves a state that keeps its invariants.
 */
#include "manifest/state_impl.h"
#include "sealed.h"

#include <string.h>

static void fold(const struct record *record)
{
    /* Two tables with a history, so that operations find something. */
    static const char *const names[] = {"t", "ads"};
    struct state state = {0};
    struct record history = {.n_ops = 1};
    for (uint64_t seq = 1; seq <= 12; seq++) {
        struct op op = {.kind = seq % 2 ? OP_PUBLISH : OP_ACTIVATE, .version = (seq % 6 + 1) / 2};
        if (seq % 6 == 0)
            op.version = 3;
        strcpy(op.table, names[(seq - 1) / 6]);
        history.seq = seq;
        history.ops = &op;
        expect(state_apply(&state, &history, NULL) == 0);
    }
    struct record next = *record;
    next.seq = state.seq + 1;
    int checked = state_check(&state, &next, NULL);
    expect(state_apply(&state, &next, NULL) == checked);
    expect(state_audit(&state, NULL) == 0);
    expect(state.seq == (checked ? 12 : 13));
    state_release(&state);
}

static void try(const uint8_t *data, size_t len)
{
    struct record record = {0};
    struct record again = {0};
    struct buf text = {0};
    struct err err = {0};
    if (record_decode(data, len, "log/x", &record, &err)) {
        expect(err.code && err.text[0]);
        return;
    }
    expect(record_encode(&record, &text, NULL) == 0);
    expect(record_decode(text.data, text.len, "log/x", &again, NULL) == 0);
    expect(again.seq == record.seq && again.n_ops == record.n_ops);
    expect(memcmp(again.ops, record.ops, record.n_ops * sizeof *record.ops) == 0);
    fold(&record);
    record_release(&record);
    record_release(&again);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try(data, len);
    struct buf text = sealed(data, len);
    try(text.data, text.len);
    buf_release(&text);
    return 0;
}
