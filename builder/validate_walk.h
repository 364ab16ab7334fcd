/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_walk: reads a whole build as a reader would, and counts.
 *
 *   every live entry is looked up the way a lookup would; it must be found, at the very bytes the walk stands on. A key
 *   stored twice in one part can be found in one place only, so the other place shows up as a duplicate.
 *   every tombstone of the newest level must not be found.
 *
 * Checksums were compared when the reader opened the build.
 *
 * Threads: one at a time. Memory: a value. Errors: of reading.
 */
#ifndef FKV_BUILDER_VALIDATE_WALK_H
#define FKV_BUILDER_VALIDATE_WALK_H

#include "builder/figures.h"
#include "builder/version_reader.h"

struct validate_walk {
    uint64_t n_live;              /* keys of the whole version */
    uint64_t n_lost;              /* live entries that a lookup does not find */
    uint64_t n_double;            /* live entries that a lookup finds elsewhere */
    uint64_t n_undead;            /* deleted keys that a lookup finds */
    struct build_figures figures; /* of the newest level; added up as verification does */
};

int validate_walk_run(const struct version_reader *build, struct validate_walk *out,
                      struct err *err);

#endif
