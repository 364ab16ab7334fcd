/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/delta_base.h"

#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <stdio.h>

static int newest_of(const struct job *job, const struct table_state *table, uint64_t *out,
                     struct err *err)
{
    uint64_t newest = table ? table_state_newest(table) : 0;
    if (!newest)
        return err_set(err, -ENOENT,
                       "table %s has no version that a delta can lie on: build a full one first",
                       job->table);
    if (job->base && !table_state_find(table, job->base))
        return err_set(err, -ENOENT, "table %s has no version %llu", job->table,
                       (unsigned long long)job->base);
    if (job->base && job->base != newest)
        return err_set(err, -ESTALE,
                       "table %s: a delta must lie on the newest version, %llu, not on %llu",
                       job->table, (unsigned long long)newest, (unsigned long long)job->base);
    *out = newest;
    return 0;
}

int delta_base_open(struct delta_base *base, struct store *store, const char *table,
                    uint64_t version, const struct digest *digest, struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    *base = (struct delta_base){.digest = *digest};
    layout_version_dir(table, version, dir);
    snprintf(base->dir, sizeof base->dir, "%s", dir);
    int ret = version_desc_read(store, base->dir, digest, &base->desc, err);
    if (ret)
        return ret;
    base->is_there = true;
    if (base->desc.version != version)
        return err_set(err, -EBADMSG, "%s/version.json: expected version %llu, found %llu",
                       base->dir, (unsigned long long)version,
                       (unsigned long long)base->desc.version);
    if (base->desc.n_levels >= LEVELS_MAX)
        return err_set(err, -ESTALE,
                       "table %s, version %llu has %u levels already, the most there may be: "
                       "merge them with fkv checkpoint %s, or build a full version",
                       table, (unsigned long long)version, base->desc.n_levels, table);
    return 0;
}

int delta_base_choose(struct delta_base *base, struct store *store, const struct state *state,
                      const struct job *job, struct err *err)
{
    const struct table_state *table = state ? state_find_table(state, job->table) : NULL;
    uint64_t version = 0;
    int ret = newest_of(job, table, &version, err);
    if (ret)
        return ret;
    return delta_base_open(base, store, job->table, version,
                           &table_state_find(table, version)->digest, err);
}

static int distance_check(const struct job *job, const struct schema *schema, struct err *err)
{
    char value[VALUE_TEXT_MAX];
    if (job->min_distance == 0 || schema->elem != ELEM_NONE)
        return 0;
    schema_value_text(schema, value);
    return err_set(err, -EINVAL,
                   "--min-distance: only vectors have a distance; the values of table %s are %s",
                   job->table, value);
}

int delta_base_shape(const struct delta_base *base, const struct job *job, struct schema *schema,
                     struct err *err)
{
    const struct schema *was = &base->desc.schema;
    if (!schema->kind)
        *schema = *was;
    if (schema->n_shards && schema->n_shards != was->n_shards)
        return err_set(err, -EINVAL,
                       "--shards: a delta has its base's %u, found %u; leave it out, or build a "
                       "full version",
                       was->n_shards, schema->n_shards);
    if (schema->hash_seed != was->hash_seed)
        return err_set(err, -EINVAL,
                       "--hash-seed: a delta has its base's %llx, found %llx; leave it out, or "
                       "build a full version",
                       (unsigned long long)was->hash_seed, (unsigned long long)schema->hash_seed);
    schema->n_shards = was->n_shards;
    if (schema_same_shape(was, schema, err))
        return distance_check(job, schema, err);
    return err_wrap(err, -ESTALE, "table %s: this delta cannot lie on version %llu", job->table,
                    (unsigned long long)base->desc.version);
}

void delta_base_release(struct delta_base *base)
{
    version_desc_release(&base->desc);
    *base = (struct delta_base){0};
}
