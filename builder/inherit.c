/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/inherit.h"

#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Takes from `was` what the job does not say. */
static void schema_fill(struct job *job, const struct schema *was)
{
    struct schema *schema = &job->schema;
    const struct schema_given *given = &job->given;
    if (!given->kind)
        schema->kind = was->kind;
    if (!given->key)
        schema->key_type = was->key_type;
    if (!given->value) {
        schema->elem = was->elem;
        schema->dim = was->dim;
        schema->value_len = was->value_len;
    }
    if (!given->seed)
        schema->hash_seed = was->hash_seed;
    if (!given->shards && job->is_delta)
        schema->n_shards = was->n_shards;
    if (!given->owner)
        memcpy(schema->owner, was->owner, sizeof schema->owner);
    if (!given->group)
        memcpy(schema->group, was->group, sizeof schema->group);
    if (!given->mode)
        schema->mode = was->mode;
}

int inherit_schema(struct store *store, const struct state *state, struct job *job, struct err *err)
{
    const struct table_state *table = state_find_table(state, job->table);
    uint64_t id = table ? table_state_newest(table) : 0;
    if (!id && !(job->given.key && job->given.value))
        return err_set(err, -EINVAL,
                       "table %s has no version yet to take its shape from: say --key TYPE and "
                       "--value TYPE, for example --key u64 --value 'f32[64]'",
                       job->table);
    if (!id)
        return 0;
    struct version_desc desc = {0};
    char dir[LAYOUT_PATH_MAX];
    layout_version_dir(table->name, id, dir);
    int rc = version_desc_read(store, dir, &table_state_find(table, id)->digest, &desc, err);
    if (rc)
        return err_wrap(err, rc, "reading the shape of %s version %" PRIu64, table->name, id);
    schema_fill(job, &desc.schema);
    version_desc_release(&desc);
    return 0;
}
