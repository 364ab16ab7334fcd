/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a state, and its memory. Changing it is state_apply.c's. */
#include "manifest/state_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void table_state_release(struct table_state *table)
{
    free(table->versions);
    free(table->pins);
    free(table->tags);
    *table = (struct table_state){0};
}

void state_release(struct state *state)
{
    if (!state)
        return;
    for (size_t i = 0; i < state->n_tables; i++)
        table_state_release(&state->tables[i]);
    free(state->tables);
    *state = (struct state){0};
}

/* A copy of n entries with room for one more; -ENOMEM. */
static int array_copy(const void *from, size_t n, size_t size, void *out)
{
    void *copy = malloc((n + 1) * size);
    if (!copy)
        return -ENOMEM;
    if (n)
        memcpy(copy, from, n * size);
    memcpy(out, &copy, sizeof copy);
    return 0;
}

int table_state_copy(const struct table_state *table, struct table_state *out)
{
    struct table_state copy = *table;
    copy.versions = NULL;
    copy.pins = NULL;
    copy.tags = NULL;
    if (array_copy(table->versions, table->n_versions, sizeof *copy.versions, &copy.versions) ||
        array_copy(table->pins, table->n_pins, sizeof *copy.pins, &copy.pins) ||
        array_copy(table->tags, table->n_tags, sizeof *copy.tags, &copy.tags)) {
        table_state_release(&copy);
        return -ENOMEM;
    }
    *out = copy;
    return 0;
}

int state_copy(const struct state *state, struct state *out)
{
    struct state copy = {.seq = state->seq};
    copy.tables = calloc(state->n_tables + 1, sizeof *copy.tables);
    if (!copy.tables)
        return -ENOMEM;
    for (size_t i = 0; i < state->n_tables; i++) {
        int ret = table_state_copy(&state->tables[i], &copy.tables[i]);
        if (ret) {
            state_release(&copy);
            return ret;
        }
        copy.n_tables++;
    }
    *out = copy;
    return 0;
}

struct table_state *state_find_table(const struct state *state, const char *table)
{
    size_t low = 0;
    size_t high = state->n_tables;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(table, state->tables[mid].name);
        if (order == 0)
            return &state->tables[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

struct version_entry *table_state_find(const struct table_state *table, uint64_t version)
{
    size_t low = 0;
    size_t high = table->n_versions;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint64_t found = table->versions[mid].version;
        if (found == version)
            return &table->versions[mid];
        if (version < found)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

bool version_is_gone(const struct version_entry *version)
{
    return version->state == VERSION_RETIRED || version->state == VERSION_FORGOTTEN;
}

const struct version_entry *table_state_find_bad(const struct table_state *table,
                                                 const struct version_entry *version)
{
    /* A base has a lower number than its delta, so this ends. */
    while (version && !version->quarantined)
        version = version->base ? table_state_find(table, version->base) : NULL;
    return version;
}

uint64_t table_state_newest(const struct table_state *table)
{
    for (size_t i = table->n_versions; i > 0; i--) {
        const struct version_entry *version = &table->versions[i - 1];
        if (!version_is_gone(version) && !table_state_find_bad(table, version))
            return version->version;
    }
    return 0;
}

static bool is_good_former(const struct table_state *table, const struct version_entry *version)
{
    return version->state == VERSION_FORMER && !table_state_find_bad(table, version);
}

uint64_t table_state_pick_previous(const struct table_state *table)
{
    const struct version_entry *best = NULL;
    for (size_t i = 0; i < table->n_versions; i++) {
        const struct version_entry *version = &table->versions[i];
        bool is_later = !best || version->activated_ns > best->activated_ns;
        if (is_later && is_good_former(table, version))
            best = version;
    }
    return best ? best->version : 0;
}

const struct tag_entry *table_state_find_tag(const struct table_state *table, const char *name)
{
    for (size_t i = 0; i < table->n_tags; i++)
        if (strcmp(table->tags[i].name, name) == 0)
            return &table->tags[i];
    return NULL;
}

static int resolve_number(const struct table_state *table, const char *text, uint64_t *out,
                          struct err *err)
{
    errno = 0;
    uint64_t number = strtoull(text, NULL, 10);
    if (errno || !table_state_find(table, number))
        return err_set(err, -ENOENT, "table %s has no version %s", table->name, text);
    *out = number;
    return 0;
}

int table_state_resolve(const struct table_state *table, const char *text, uint64_t *out,
                        struct err *err)
{
    if (*text && text[strspn(text, "0123456789")] == '\0')
        return resolve_number(table, text, out, err);
    if (strcmp(text, "current") == 0 || strcmp(text, "previous") == 0) {
        uint64_t version = text[0] == 'c' ? table->current : table->previous;
        if (!version)
            return err_set(err, -ENOENT, "table %s has no %s version", table->name, text);
        *out = version;
        return 0;
    }
    const struct tag_entry *tag = table_state_find_tag(table, text);
    if (!tag)
        return err_set(err, -ENOENT,
                       "table %s has no version or tag \"%.80s\"; expected a number, a tag, "
                       "\"current\" or \"previous\"",
                       table->name, text);
    *out = tag->version;
    return 0;
}

bool table_state_is_held(const struct table_state *table, uint64_t version)
{
    for (size_t i = 0; i < table->n_pins; i++)
        if (table->pins[i].version == version)
            return true;
    for (size_t i = 0; i < table->n_tags; i++)
        if (table->tags[i].version == version)
            return true;
    return false;
}

/* Is it among the last keep former versions? */
static bool is_recent_former(const struct table_state *table, const struct version_entry *version)
{
    if (!is_good_former(table, version))
        return false;
    uint32_t n_later = 0;
    for (size_t i = 0; i < table->n_versions && n_later < table->keep; i++) {
        const struct version_entry *other = &table->versions[i];
        n_later += other->activated_ns > version->activated_ns && is_good_former(table, other);
    }
    return n_later < table->keep;
}

static bool is_kept_itself(const struct table_state *table, const struct version_entry *version)
{
    uint64_t number = version->version;
    if (version_is_gone(version))
        return false;
    if (number == table->current || number == table->previous || number == table->before)
        return true;
    if (version->state == VERSION_CANDIDATE && number > table->current &&
        !table_state_find_bad(table, version))
        return true;
    return is_recent_former(table, version) || table_state_is_held(table, number);
}

bool table_state_is_kept(const struct table_state *table, const struct version_entry *version)
{
    if (is_kept_itself(table, version))
        return true;
    if (version_is_gone(version))
        return false;
    for (size_t i = 0; i < table->n_versions; i++) {
        const struct version_entry *delta = &table->versions[i];
        if (delta->base == version->version && is_kept_itself(table, delta))
            return true;
    }
    return false;
}
