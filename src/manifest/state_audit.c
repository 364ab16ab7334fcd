/* SPDX-License-Identifier: Apache-2.0 */
/* Does a decoded state keep every invariant that the fold keeps? */
#include "manifest/state_impl.h"

#include <errno.h>
#include <string.h>

static int broken(const struct table_state *table, const char *what, struct err *err)
{
    return err_set(err, -EBADMSG, "table %s: %s", table->name, what);
}

static int versions_audit(const struct table_state *table, struct err *err)
{
    uint64_t last = 0;
    for (size_t i = 0; i < table->n_versions; i++) {
        const struct version_entry *version = &table->versions[i];
        if (version->version <= last)
            return broken(table, "versions do not ascend", err);
        if (version->base >= version->version)
            return broken(table, "a delta is older than its base", err);
        if ((version->state == VERSION_CURRENT) != (version->version == table->current))
            return broken(table, "\"current\" and the versions' states differ", err);
        bool was_current = version->state == VERSION_CURRENT || version->state == VERSION_FORMER;
        if (was_current && version->activated_ns < 1)
            return broken(table, "a version was current without being activated", err);
        if (version->base && !table_state_find(table, version->base))
            return broken(table, "the base of a delta is missing", err);
        last = version->version;
    }
    return 0;
}

static bool is_living(const struct table_state *table, uint64_t version)
{
    const struct version_entry *entry = table_state_find(table, version);
    return entry && !version_is_gone(entry);
}

/* Which time it is a state does not know, so a switch may still be to come. */
static bool is_canary(const struct table_state *table, const struct pin_entry *pin)
{
    return table_state_pin_counts(table, pin, 0) &&
           !table_state_find_bad(table, table_state_find(table, pin->version));
}

static int names_audit(const struct table_state *table, struct err *err)
{
    for (size_t i = 0; i < table->n_pins; i++) {
        const struct pin_entry *pin = &table->pins[i];
        if (pin_name_check(pin->name, err) || !is_living(table, pin->version) ||
            table_state_find_pin(table, pin->name) != pin)
            return broken(table, "a pin has a bad name or version", err);
        if (pin->canary && !is_canary(table, pin))
            return broken(table, "a canary pin that is over", err);
    }
    for (size_t i = 0; i < table->n_tags; i++) {
        const struct tag_entry *tag = &table->tags[i];
        if (tag_name_check(tag->name, err) || !is_living(table, tag->version) ||
            table_state_find_tag(table, tag->name) != tag)
            return broken(table, "a tag has a bad name or version", err);
    }
    return 0;
}

static int table_audit(const struct table_state *table, struct err *err)
{
    int ret = table_name_check(table->name, err);
    if (!ret)
        ret = versions_audit(table, err);
    if (ret)
        return ret;
    if (table->n_versions == 0)
        return broken(table, "it has no version", err);
    if (table->current && !is_living(table, table->current))
        return broken(table, "\"current\" names no living version", err);
    if (table->before && !is_living(table, table->before))
        return broken(table, "\"before\" names no living version", err);
    if (table->previous != table_state_pick_previous(table))
        return broken(table, "\"previous\" is not the former version that was current last", err);
    return names_audit(table, err);
}

int state_audit(const struct state *state, struct err *err)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        int ret = table_audit(&state->tables[i], err);
        if (ret)
            return ret;
        if (i > 0 && strcmp(state->tables[i - 1].name, state->tables[i].name) >= 0)
            return broken(&state->tables[i], "tables do not ascend by name", err);
    }
    if (state->seq == 0 && state->n_tables > 0)
        return err_set(err, -EBADMSG, "tables without a record");
    return 0;
}
