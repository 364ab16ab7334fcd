/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal: what makes parts a version: the base's parts linked beside a delta's own, the count of live keys, version.json.
 *
 * version.json is written last: a staging directory that has it is a sealed build.
 * A delta keeps tombstones of keys that its base does not have: dropping them would save little, and what is written would
 * depend on more than the delta's own input.
 *
 * Threads: folding runs on the engine. Memory: at once one new part, as in part_file.h, and one of the base's, as in base_probe.h.
 * Errors: store errors, -EBADMSG for a damaged base part.
 */
#ifndef FKV_BUILDER_SEAL_H
#define FKV_BUILDER_SEAL_H

#include "builder/engine.h"
#include "builder/join_totals.h"
#include "builder/meter.h"
#include "format/version.h"
#include "store/store.h"

struct seal_params {
    struct store *store;
    const char *dir;                 /* staging */
    const char *base_dir;            /* of a delta */
    const struct version_desc *base; /* NULL for a full version */
    uint64_t heap_max;               /* of each part read */
    const char *scratch_dir;
    uint32_t n_at_once;
    const struct join_totals *
        join; /* of a delta made by comparing all rows with the base, which has counted already; else NULL */
};

/*
 * desc has schema, n_levels and room for all its parts, of which those of the newest level are filled. Links the base's parts,
 * fills in their descriptions, and counts n_entries and the live keys of the whole.
 */
int seal_run(struct engine *engine, const struct seal_params *params, struct meter *meter,
             struct version_desc *desc, struct err *err);

/*
 * The same for who has no engine: the base's parts are linked and described, and n_entries summed up; n_keys is the newest level's, to
 * which a delta adds its base's, and what seal_fold_shard() found of each shard.
 */
int seal_link(const struct seal_params *params, struct version_desc *desc, struct err *err);
int seal_fold_shard(const struct seal_params *params, struct meter *meter,
                    const struct part_desc *part, uint64_t *n_added, uint64_t *n_removed,
                    struct err *err);

/* Writes version.json; one that is there already, of an attempt that was killed, stays. */
int seal_finish(struct store *store, const char *dir, const struct version_desc *desc,
                struct err *err);

#endif
