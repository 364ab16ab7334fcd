/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: whom they hold, and when a canary pin ends.
 *
 * A canary pin is over once its version is current or passed over and that switch has taken effect, or when its version lies on a
 * quarantined one. One that is over is taken out by the next operation on its table; until then it holds nobody.
 */
#include "manifest/state_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

const struct pin_entry *table_state_find_pin(const struct table_state *table, const char *name)
{
    for (size_t i = 0; i < table->n_pins; i++)
        if (strcmp(table->pins[i].name, name) == 0)
            return &table->pins[i];
    return NULL;
}

bool table_state_pin_counts(const struct table_state *table, const struct pin_entry *pin,
                            int64_t now_ns)
{
    return !pin->canary || pin->version > table->current || now_ns < table->effective_ns;
}

uint64_t table_state_canary(const struct table_state *table)
{
    uint64_t newest = table->current;
    for (size_t i = 0; i < table->n_pins; i++)
        if (table->pins[i].canary && table->pins[i].version > newest)
            newest = table->pins[i].version;
    return newest == table->current ? 0 : newest;
}

static const struct pin_entry *find_counting(const struct table_state *table, const char *name,
                                             int64_t now_ns)
{
    const struct pin_entry *pin = table_state_find_pin(table, name);
    return pin && table_state_pin_counts(table, pin, now_ns) ? pin : NULL;
}

uint64_t table_state_wanted(const struct table_state *table, const char *node,
                            const char *const *labels, size_t n_labels, int64_t now_ns)
{
    const struct pin_entry *pin = find_counting(table, node, now_ns);
    for (size_t i = 0; i < n_labels && !pin; i++) {
        char name[NODE_NAME_MAX + 1];
        int len = snprintf(name, sizeof name, "label:%s", labels[i]);
        if (len > 0 && (size_t)len < sizeof name)
            pin = find_counting(table, name, now_ns);
    }
    if (pin)
        return pin->version;
    return now_ns < table->effective_ns ? table->before : table->current;
}

static void remove_pin(struct table_state *table, size_t i)
{
    struct pin_entry *pin = &table->pins[i];
    memmove(pin, pin + 1, (--table->n_pins - i) * sizeof *pin);
}

void table_state_end_canaries(struct table_state *table, int64_t time_ns)
{
    for (size_t i = table->n_pins; i-- > 0;) {
        const struct pin_entry *pin = &table->pins[i];
        if (!table_state_pin_counts(table, pin, time_ns) ||
            (pin->canary && table_state_find_bad(table, table_state_find(table, pin->version))))
            remove_pin(table, i);
    }
}

/* A trial is of something new and good, and does not take a node from whoever held it on purpose. */
static int canary_check(const struct table_state *table, const struct version_entry *version,
                        const struct pin_entry *pin, struct err *err)
{
    const struct version_entry *bad = table_state_find_bad(table, version);
    if (version->version <= table->current)
        return err_set(err, -EPERM,
                       "version %llu of table %s is not ahead of the current one, %llu: there is "
                       "nothing to try; pin it without canary to hold nodes at it",
                       (ull)version->version, table->name, (ull)table->current);
    if (bad)
        return err_set(err, -EPERM,
                       "version %llu of table %s cannot be tried as a canary: version %llu is "
                       "quarantined; pin it without canary to look into it",
                       (ull)version->version, table->name, (ull)bad->version);
    if (pin && !pin->canary)
        return err_set(err, -EPERM,
                       "%s is held at version %llu of table %s by a pin; unpin it before it tries "
                       "version %llu",
                       pin->name, (ull)pin->version, table->name, (ull)version->version);
    return 0;
}

int table_state_pin(struct table_state *table, const struct op *op, struct err *err)
{
    struct version_entry *version = NULL;
    struct pin_entry *pin = (struct pin_entry *)table_state_find_pin(table, op->name);
    int ret = find_living(table, op->version, &version, err);
    if (!ret && op->canary)
        ret = canary_check(table, version, pin, err);
    if (!ret && !pin)
        ret = array_grow(&table->pins, table->n_pins, sizeof *table->pins, err);
    if (ret)
        return ret;
    if (!pin) {
        pin = &table->pins[table->n_pins++];
        strcpy(pin->name, op->name);
    }
    pin->version = op->version;
    pin->canary = op->canary;
    return 0;
}

/* Without a pin here it is no mistake: the node may be pinned by hand on its host, which the log does not know, and takes
 * this record as the word to let go. */
int table_state_unpin(struct table_state *table, const struct op *op)
{
    const struct pin_entry *pin = table_state_find_pin(table, op->name);
    if (pin)
        remove_pin(table, (size_t)(pin - table->pins));
    return 0;
}
