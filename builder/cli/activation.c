/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/activation.h"

#include "builder/cli/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static uint64_t current_of(const struct state *state, const char *name)
{
    const struct table_state *table = state_find_table(state, name);
    return table ? table->current : 0;
}

int activation_init(struct activation *activation, struct session *session,
                    const struct fleet_target *targets, size_t n, struct err *err)
{
    const struct state *state = manifest_state(session->manifest);
    uint64_t *was = calloc(n + 1, sizeof *was);
    if (!was)
        return err_sys(err, -ENOMEM, "activating");
    for (size_t i = 0; i < n; i++)
        was[i] = current_of(state, targets[i].table);
    *activation = (struct activation){session, targets, was, state->seq, n};
    return 0;
}

void activation_release(struct activation *activation)
{
    free(activation->was);
    *activation = (struct activation){0};
}

static int check_not_gone_back(const struct activation *a, const struct state *state,
                               struct err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct fleet_target *target = &a->targets[i];
        struct history_switch back = {0};
        if (state->seq == a->seq)
            return 0;
        int rc = history_gone_back(a->session, target->table, a->seq, a->was[i], &back, err);
        if (rc)
            return rc;
        if (back.seq)
            return err_set(
                err, -ESTALE,
                "not activated: record %" PRIu64 " by %s took table %s back to version %" PRIu64
                " meanwhile; the candidate stays, fkv activate %s=%" PRIu64 " if you insist",
                back.seq, back.author, target->table, back.version, target->table, target->version);
    }
    return 0;
}

int activation_check(void *context, const struct state *state, struct err *err)
{
    const struct activation *a = context;
    const struct fleet_target *late = NULL;
    size_t n_late = 0;
    for (size_t i = 0; i < a->n; i++) {
        uint64_t current = current_of(state, a->targets[i].table);
        /* One who asks for an older version than the one that was current knows what he does. */
        if (current > a->targets[i].version && current != a->was[i]) {
            late = &a->targets[i];
            n_late++;
        }
    }
    if (!late)
        return check_not_gone_back(a, state, err);
    return err_set(err, n_late == a->n ? -EALREADY : -ESTALE,
                   "not activated: %s has a later version than %" PRIu64
                   " as its current one, %" PRIu64,
                   late->table, late->version, current_of(state, late->table));
}
