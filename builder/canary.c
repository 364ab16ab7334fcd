/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/canary.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int taken(const struct table_state *table, const struct pin_entry *pin, struct err *err)
{
    bool is_label = !strncmp(pin->name, "label:", 6);
    const char *name = is_label ? pin->name + 6 : pin->name;
    return err_set(err, -EPERM,
                   "table %s: %s %s is pinned at version %" PRIu64
                   ", so it cannot try another; first: fkv unpin %s --%s %s",
                   table->name, is_label ? "label" : "node", name, pin->version, table->name,
                   is_label ? "label" : "node", name);
}

int canary_check(const struct table_state *table, const char *const *names, size_t n_names,
                 struct err *err)
{
    uint64_t version = table ? table_state_canary(table) : 0;
    if (version)
        return err_set(err, -EPERM,
                       "table %s: version %" PRIu64
                       " is on canary already; end that first with fkv promote %s or fkv abort %s",
                       table->name, version, table->name, table->name);
    for (size_t i = 0; table && i < table->n_pins; i++) {
        for (size_t j = 0; j < n_names; j++) {
            if (!table->pins[i].canary && !strcmp(table->pins[i].name, names[j]))
                return taken(table, &table->pins[i], err);
        }
    }
    return 0;
}
