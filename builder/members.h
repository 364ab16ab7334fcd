/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members: a JSON object read into a struct, and written from it, by one table that names each member once.
 *
 * Reading is strict: a member that the table does not name, a wrong type and a number out of range are refused. An absent member
 * leaves its field as it was. Writing leaves out what reading would leave at zero (false, 0, NULL), so what was written and read
 * again is written the same.
 *
 * Threads: tables are constant; a document belongs to one thread at a time.
 * Memory: strings are borrowed from the document.
 * Errors: -EBADMSG with the document's name, the member with its section ("job.toml: schema.value: expected …, found …");
 * -ENOMEM. Writing: -EINVAL for a text that JSON cannot hold.
 */
#ifndef FKV_BUILDER_MEMBERS_H
#define FKV_BUILDER_MEMBERS_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum member_kind {
    MEMBER_BOOL,     /* bool */
    MEMBER_U32,      /* uint32_t within [min, max] */
    MEMBER_U64,      /* uint64_t within [min, max] */
    MEMBER_SIZE,     /* uint64_t, bytes within [min, max]: a number or "512M" */
    MEMBER_DURATION, /* int64_t, ns: seconds or "10m"; always written */
    MEMBER_REAL,     /* double, not negative */
    MEMBER_TEXT,     /* const char *, 1 to max bytes without control characters */
    MEMBER_WORD,     /* an enum: the index of the word; always written */
    MEMBER_OWN,      /* by functions of its own */
};

/* Where a member stands, for error texts. */
struct member_at {
    const char *document; /* "job.toml" */
    const char *section;  /* "" or "schema." */
    const char *name;
};

struct member {
    const char *name;
    enum member_kind kind;
    size_t offset; /* of the field in the struct */
    uint64_t min;
    uint64_t max;
    const char *const *words; /* NULL at the end */
    /* MEMBER_OWN. value is not NULL. */
    int (*decode)(const struct member_at *at, const json_t *value, void *object, struct err *err);
    /* *out is a new reference; left NULL: nothing to write. */
    int (*encode)(const struct member_at *at, const void *object, json_t **out, struct err *err);
};

/* A section of a document. */
struct member_table {
    const char *section; /* "", or "schema." */
    const struct member *members;
    size_t n;
};

/* All sections of a document, the one without a name first: where a misspelt or misplaced member may have been meant for. */
struct member_book {
    const struct member_table *tables;
    size_t n;
};

/* Reads json, which is tables[which] of the book, in the table's order; refuses what is no object. */
int members_decode(const struct member_book *book, size_t which, const json_t *json,
                   const char *document, void *object, struct err *err);

/* The other way round; *out is a new reference. */
int members_encode(const struct member_table *table, const char *document, const void *object,
                   json_t **out, struct err *err);

/* "job.toml: schema.value: expected <expected>, found <found>"; returns -EBADMSG. */
int member_fault(const struct member_at *at, const json_t *found, struct err *err,
                 const char *expected, ...) __attribute__((format(printf, 4, 5)));

/* For members of their own. A string of 1 to max bytes; is_line: without control characters. */
int member_text(const struct member_at *at, const json_t *value, size_t max, bool is_line,
                const char **out, struct err *err);
/* The index of the string in words. */
int member_word(const struct member_at *at, const json_t *value, const char *const *words, int *out,
                struct err *err);
/* A list of up to max_count strings of 1 to max_len bytes each; *out is the caller's to free, its strings are the document's. */
int member_list(const struct member_at *at, const json_t *value, size_t max_count, size_t max_len,
                const char ***out, size_t *n, struct err *err);
/* New references, of text and of lists. */
int member_put_text(const struct member_at *at, const char *text, json_t **out, struct err *err);
int member_put_list(const struct member_at *at, const char *const *words, size_t n, json_t **out,
                    struct err *err);

#endif
