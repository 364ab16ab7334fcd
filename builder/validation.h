/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validation: what the validators said of a build, kept with it as validation.json: in the version's directory when it was
 * published, in staging when it was refused. docs/MANIFEST.md says what stands in it.
 *
 * Threads: plain data. Memory: about 20 KiB, no pointers; documents are new references.
 * Errors: -EBADMSG naming member, expected and found, -ENOTSUP for a newer format, -ENOENT when there is none; store errors.
 */
#ifndef FKV_BUILDER_VALIDATION_H
#define FKV_BUILDER_VALIDATION_H

#include "base/json.h"
#include "builder/validate.h"
#include "manifest/author.h"
#include "manifest/name.h"

enum { VALIDATION_JSON_MAX = 256 << 10 };

struct validation {
    char table[TABLE_NAME_MAX + 1];
    char task[TASK_NAME_MAX + 1];
    char author[AUTHOR_MAX];
    int64_t time_ns; /* by the store's clock */
    struct validate_report report;
};

/* Array of {name, verdict, figure, limit, sentence}; NULL without memory. */
json_t *validation_findings_encode(const struct validate_report *report);

/* A new object; NULL without memory. */
json_t *validation_encode(const struct validation *validation);
int validation_decode(const void *text, size_t len, const char *name, struct validation *out,
                      struct err *err);

/* dir is a build's or a version's. Writing replaces. */
int validation_write(struct store *store, const char *dir, const struct validation *validation,
                     struct err *err);
int validation_read(struct store *store, const char *dir, struct validation *out, struct err *err);

#endif
