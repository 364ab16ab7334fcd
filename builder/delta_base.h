/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_base: the version that a delta lies on, and what the delta has from it.
 *
 * Threads: one opens; then immutable and shared. Memory: the version's description; release it.
 * Errors: -ENOENT when there is none, -ESTALE when it is not the newest, has levels enough or another shape; store errors.
 */
#ifndef FKV_BUILDER_DELTA_BASE_H
#define FKV_BUILDER_DELTA_BASE_H

#include "builder/job.h"
#include "format/version.h"
#include "manifest/manifest.h"
#include "store/store.h"

struct delta_base {
    bool is_there;
    char dir[STORE_PATH_MAX];
    struct version_desc desc;
    struct digest digest; /* of its version.json */
};

/* The newest version, which must be the one that the job asks for, if it does. */
int delta_base_choose(struct delta_base *base, struct store *store, const struct state *state,
                      const struct job *job, struct err *err);
/* That very version, chosen before. */
int delta_base_open(struct delta_base *base, struct store *store, const char *table,
                    uint64_t version, const struct digest *digest, struct err *err);
/* Fills in what the job leaves open of a delta's schema, and checks that the rest agrees. */
int delta_base_shape(const struct delta_base *base, const struct job *job, struct schema *schema,
                     struct err *err);
void delta_base_release(struct delta_base *base);

#endif
