/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures_json: figures as JSON, and as the file figures.json of a build. docs/MANIFEST.md says what stands in it.
 *
 * Threads: a document belongs to one thread at a time. Memory: documents are new references.
 * Errors: -EBADMSG naming document, member, expected and found, also for figures that do not go together; -ENOMEM; store
 * errors; -ENOENT from figures_read() when the build has none.
 */
#ifndef FKV_BUILDER_FIGURES_JSON_H
#define FKV_BUILDER_FIGURES_JSON_H

#include "base/json.h"
#include "builder/figures.h"
#include "store/store.h"

enum { FIGURES_JSON_MAX = 128 << 10 };

/* A new object; NULL without memory. */
json_t *figures_encode(const struct build_figures *figures);
/* Believes nothing; *out is written on success only. */
int figures_decode(struct json_at at, struct build_figures *out, struct err *err);

/* The text of figures.json, one line; appends. */
int figures_text(const struct build_figures *figures, struct buf *out, struct err *err);
int figures_parse(const void *text, size_t len, const char *name, struct build_figures *out,
                  struct err *err);

/* dir is a build's or a version's. Writing replaces. */
int figures_write(struct store *store, const char *dir, const struct build_figures *figures,
                  struct err *err);
int figures_read(struct store *store, const char *dir, struct build_figures *out, struct err *err);

#endif
