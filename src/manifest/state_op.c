/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each operation does to its table, and when it is refused (docs/MANIFEST.md, "Fold").
 *
 * Invariants of a table between records:
 *   - versions ascend; exactly the one named by `current` is VERSION_CURRENT, so the current one is never gone
 *   - `previous` is table_state_pick_previous()
 *   - pinned and tagged versions are not gone; those of canary pins do not lie on a quarantined one either
 *
 * A refused operation may leave the table half changed: it is a staged copy, thrown away then.
 */
#include "manifest/state_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

int array_grow(void *entries, size_t n, size_t size, struct err *err)
{
    void *old = NULL;
    memcpy(&old, entries, sizeof old);
    void *grown = realloc(old, (n + 1) * size);
    if (!grown)
        return err_sys(err, -ENOMEM, "folding the manifest");
    memcpy(entries, &grown, sizeof grown);
    return 0;
}

static int find_version(const struct table_state *table, uint64_t version,
                        struct version_entry **out, struct err *err)
{
    *out = table_state_find(table, version);
    return *out ? 0
                : err_set(err, -ENOENT, "table %s has no version %llu", table->name, (ull)version);
}

int find_living(const struct table_state *table, uint64_t version, struct version_entry **out,
                struct err *err)
{
    int ret = find_version(table, version, out, err);
    if (ret)
        return ret;
    if (version_is_gone(*out))
        return err_set(err, -EPERM, "version %llu of table %s is retired%s", (ull)version,
                       table->name,
                       (*out)->state == VERSION_FORGOTTEN ? " and its files gone" : "");
    return 0;
}

static int publish(struct table_state *table, const struct op *op, int64_t time_ns, struct err *err)
{
    uint64_t last = table->n_versions ? table->versions[table->n_versions - 1].version : 0;
    if (table_state_find(table, op->version))
        return err_set(err, -EEXIST, "table %s has a version %llu already", table->name,
                       (ull)op->version);
    if (op->version <= last)
        return err_set(err, -EPERM, "version %llu of table %s: numbers ascend, the last is %llu",
                       (ull)op->version, table->name, (ull)last);
    uint64_t newest = table_state_newest(table);
    if (op->base && !table_state_find(table, op->base))
        return err_set(err, -ENOENT, "version %llu of table %s: its base %llu does not exist",
                       (ull)op->version, table->name, (ull)op->base);
    if (op->base && op->base != newest)
        return err_set(err, -ESTALE,
                       "version %llu of table %s is a delta on %llu, but %llu is the newest good "
                       "version now; build it again on that",
                       (ull)op->version, table->name, (ull)op->base, (ull)newest);
    int ret = array_grow(&table->versions, table->n_versions, sizeof *table->versions, err);
    if (ret)
        return ret;
    table->versions[table->n_versions++] = (struct version_entry){
        .version = op->version,
        .state = VERSION_CANDIDATE,
        .base = op->base,
        .n_keys = op->n_keys,
        .len = op->len,
        .digest = op->digest,
        .published_ns = time_ns,
    };
    return 0;
}

/* Clocks of hosts differ, but the order of activations must not: a later one always has a later time, none has 0. */
static int64_t ascending_time(const struct table_state *table, int64_t time_ns)
{
    if (time_ns < 1)
        time_ns = 1;
    for (size_t i = 0; i < table->n_versions; i++)
        if (table->versions[i].activated_ns >= time_ns &&
            table->versions[i].activated_ns < INT64_MAX)
            time_ns = table->versions[i].activated_ns + 1;
    return time_ns;
}

static void make_current(struct table_state *table, struct version_entry *to, const struct op *op,
                         int64_t time_ns)
{
    struct version_entry *old = table_state_find(table, table->current);
    /* What is served at this moment goes on being served until the new one takes effect. */
    uint64_t served = time_ns < table->effective_ns ? table->before : table->current;
    if (old)
        old->state = VERSION_FORMER;
    to->activated_ns = ascending_time(table, time_ns);
    to->state = VERSION_CURRENT;
    table->before = served;
    table->effective_ns = op->effective_ns;
    table->current = to->version;
}

static int find_target(const struct table_state *table, const struct op *op,
                       struct version_entry **out, struct err *err)
{
    int ret = find_living(table, op->version, out, err);
    if (ret)
        return ret;
    const struct version_entry *bad = table_state_find_bad(table, *out);
    if (!bad || op->force)
        return 0;
    if (bad == *out)
        return err_set(err, -EPERM,
                       "version %llu of table %s is quarantined; force it, or release it first",
                       (ull)op->version, table->name);
    return err_set(err, -EPERM,
                   "version %llu of table %s is a delta that lies on version %llu, which is "
                   "quarantined; force it, or %s",
                   (ull)op->version, table->name, (ull)bad->version,
                   version_is_gone(bad) ? "build a full version" : "release that one first");
}

static int activate(struct table_state *table, const struct op *op, int64_t time_ns,
                    struct err *err)
{
    struct version_entry *to = NULL;
    int ret = find_target(table, op, &to, err);
    if (ret)
        return ret;
    if (to->version != table->current)
        make_current(table, to, op, time_ns);
    else if (time_ns < table->effective_ns && op->effective_ns < table->effective_ns)
        table->effective_ns = op->effective_ns; /* it was to come, and comes sooner */
    return 0;
}

static int rollback(struct table_state *table, const struct op *op, int64_t time_ns,
                    struct err *err)
{
    struct version_entry *to = NULL;
    if (op->from != table->current)
        return err_set(err, -ESTALE,
                       "table %s: the current version is %llu, not %llu; look again before rolling "
                       "back",
                       table->name, (ull)table->current, (ull)op->from);
    if (op->version == op->from)
        return err_set(err, -EPERM, "table %s: version %llu is the current one already",
                       table->name, (ull)op->version);
    int ret = find_target(table, op, &to, err);
    if (ret)
        return ret;
    table_state_find(table, op->from)->quarantined = true;
    make_current(table, to, op, time_ns);
    return 0;
}

static int quarantine(struct table_state *table, const struct op *op, struct err *err)
{
    struct version_entry *version = NULL;
    int ret = find_living(table, op->version, &version, err);
    if (ret)
        return ret;
    if (version->version == table->current)
        return err_set(err, -EPERM,
                       "version %llu of table %s is current: roll back, which quarantines it",
                       (ull)op->version, table->name);
    version->quarantined = true;
    return 0;
}

static int release(struct table_state *table, const struct op *op, struct err *err)
{
    struct version_entry *version = NULL;
    int ret = find_living(table, op->version, &version, err);
    if (ret)
        return ret;
    if (!version->quarantined)
        return err_set(err, -EPERM, "version %llu of table %s is not quarantined", (ull)op->version,
                       table->name);
    version->quarantined = false;
    return 0;
}

static int tag(struct table_state *table, const struct op *op, struct err *err)
{
    struct version_entry *version = NULL;
    int ret = find_living(table, op->version, &version, err);
    if (ret)
        return ret;
    struct tag_entry *entry = (struct tag_entry *)table_state_find_tag(table, op->name);
    if (!entry) {
        ret = array_grow(&table->tags, table->n_tags, sizeof *table->tags, err);
        if (ret)
            return ret;
        entry = &table->tags[table->n_tags++];
        strcpy(entry->name, op->name);
    }
    entry->version = op->version;
    return 0;
}

static int untag(struct table_state *table, const struct op *op, struct err *err)
{
    struct tag_entry *entry = (struct tag_entry *)table_state_find_tag(table, op->name);
    if (!entry)
        return err_set(err, -ENOENT, "table %s has no tag %s", table->name, op->name);
    size_t i = (size_t)(entry - table->tags);
    memmove(entry, entry + 1, (--table->n_tags - i) * sizeof *entry);
    return 0;
}

static int retire(struct table_state *table, const struct op *op, int64_t time_ns, struct err *err)
{
    struct version_entry *version = NULL;
    int ret = find_version(table, op->version, &version, err);
    if (ret || version_is_gone(version))
        return ret;
    const char *why = NULL;
    if (version->version == table->current)
        why = "is current";
    else if (version->version == table->before && time_ns < table->effective_ns)
        why = "is served until the switch takes effect";
    else if (table_state_is_held(table, version->version))
        why = "is pinned or tagged";
    if (why)
        return err_set(err, -EPERM, "version %llu of table %s %s, so it cannot be retired",
                       (ull)op->version, table->name, why);
    version->state = VERSION_RETIRED;
    if (table->before == version->version)
        table->before = 0;
    return 0;
}

static bool is_base(const struct table_state *table, uint64_t version)
{
    for (size_t i = 0; i < table->n_versions; i++)
        if (table->versions[i].base == version)
            return true;
    return false;
}

/*
 * All but the newest FORGOTTEN_KEPT leave the state, from the highest number down: so a delta goes before its base, and the
 * highest number, which tells what the next one may be, always stays.
 */
static void drop_forgotten(struct table_state *table)
{
    size_t n_kept = 0;
    for (size_t i = table->n_versions; i-- > 0;) {
        struct version_entry *version = &table->versions[i];
        if (version->state != VERSION_FORGOTTEN || is_base(table, version->version) ||
            n_kept++ < FORGOTTEN_KEPT)
            continue;
        memmove(version, version + 1, (--table->n_versions - i) * sizeof *version);
    }
}

static int forget(struct table_state *table, const struct op *op, struct err *err)
{
    struct version_entry *version = NULL;
    int ret = find_version(table, op->version, &version, err);
    if (ret)
        return ret;
    if (!version_is_gone(version))
        return err_set(err, -EPERM,
                       "version %llu of table %s is not retired, so it is not to be "
                       "forgotten",
                       (ull)op->version, table->name);
    version->state = VERSION_FORGOTTEN;
    drop_forgotten(table);
    return 0;
}

int table_state_apply(struct table_state *table, const struct op *op, int64_t time_ns,
                      struct err *err)
{
    switch (op->kind) {
    case OP_PUBLISH:
        return publish(table, op, time_ns, err);
    case OP_ACTIVATE:
        return activate(table, op, time_ns, err);
    case OP_ROLLBACK:
        return rollback(table, op, time_ns, err);
    case OP_QUARANTINE:
        return quarantine(table, op, err);
    case OP_RELEASE:
        return release(table, op, err);
    case OP_PIN:
        return table_state_pin(table, op, err);
    case OP_UNPIN:
        return table_state_unpin(table, op);
    case OP_TAG:
        return tag(table, op, err);
    case OP_UNTAG:
        return untag(table, op, err);
    case OP_RETIRE:
        return retire(table, op, time_ns, err);
    case OP_FORGET:
        return forget(table, op, err);
    case OP_KEEP:
        table->keep = op->keep;
        return 0;
    }
    return err_set(err, -EINVAL, "operation: no kind has the number %d", (int)op->kind);
}
