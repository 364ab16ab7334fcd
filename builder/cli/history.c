/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/history.h"

#include <stdio.h>
#include <string.h>

/* What a record does to the table's current version; NULL: nothing. */
static const struct op *find_switch(const struct record *record, const char *table)
{
    for (size_t i = 0; i < record->n_ops; i++) {
        const struct op *op = &record->ops[i];
        if ((op->kind == OP_ACTIVATE || op->kind == OP_ROLLBACK) && !strcmp(op->table, table))
            return op;
    }
    return NULL;
}

static void keep(const struct record *record, const struct op *op, struct history_switch *out)
{
    *out = (struct history_switch){.seq = record->seq, .version = op->version};
    snprintf(out->author, sizeof out->author, "%s", record->author ? record->author : "?");
}

int history_last(const struct session *session, const char *table, uint64_t after,
                 struct history_switch *out, struct err *err)
{
    *out = (struct history_switch){0};
    for (uint64_t seq = manifest_state(session->manifest)->seq; !out->seq && seq > after; seq--) {
        struct record record = {0};
        int rc = manifest_read_record(session->manifest, seq, &record, err);
        if (rc)
            return rc;
        const struct op *op = find_switch(&record, table);
        if (op)
            keep(&record, op, out);
        record_release(&record);
    }
    return 0;
}

int history_gone_back(const struct session *session, const char *table, uint64_t after,
                      uint64_t current, struct history_switch *out, struct err *err)
{
    uint64_t last = manifest_state(session->manifest)->seq;
    *out = (struct history_switch){0};
    for (uint64_t seq = after + 1; !out->seq && seq <= last; seq++) {
        struct record record = {0};
        int rc = manifest_read_record(session->manifest, seq, &record, err);
        if (rc)
            return rc;
        const struct op *op = find_switch(&record, table);
        if (op && (op->kind == OP_ROLLBACK || op->version < current))
            keep(&record, op, out);
        else if (op)
            current = op->version;
        record_release(&record);
    }
    return 0;
}
