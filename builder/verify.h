/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: the last stage before version.json: every part just written is read back from the store, its checksums compared, and
 * every key in it looked up as a reader would and found with its own value.
 *
 * Threads: parts are tasks on the engine. Memory: n_at_once parts, each as in part_file.h.
 * Errors: -EBADMSG naming the part; store errors.
 */
#ifndef FKV_BUILDER_VERIFY_H
#define FKV_BUILDER_VERIFY_H

#include "builder/content_digest.h"
#include "builder/engine.h"
#include "builder/meter.h"
#include "format/any_part.h"
#include "format/version.h"
#include "store/store.h"

struct verify_params {
    struct store *store;
    const char *dir;
    const struct part_desc *parts;
    uint32_t n_parts;
    uint64_t heap_max;
    const char *scratch_dir;
    uint32_t n_at_once;
    struct content_digest *contents; /* of each part's live keys, when wanted; else NULL */
};

int verify_run(struct engine *engine, const struct verify_params *params, struct meter *meter,
               struct err *err);

/* One part of it, in this thread. */
int verify_one(const struct verify_params *params, uint32_t number, struct meter *meter,
               struct err *err);

/* The same for one part that is already open: every entry is found where a lookup looks. content may be NULL. */
int verify_part(const struct any_part *part, const struct part_desc *desc,
                struct content_digest *content, struct err *err);

#endif
