/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: checked reading and canonical writing of JSON, on top of Jansson.
 *
 * The only header that includes <jansson.h>. Documents that fkv reads come from the store, so every
 * getter checks presence, type and range, and names the member it missed. u64 numbers above
 * INT64_MAX do not fit JSON integers here: ids, counts and sizes are limited to INT64_MAX, digests and
 * seeds are hex strings.
 *
 * Threads: a document belongs to one thread at a time.
 * Memory: json_parse() returns a reference the caller drops with json_decref(); strings returned by
 * getters live as long as the document.
 * Errors: -EBADMSG with the document's name, the member, what was expected and found; -ENOMEM.
 */
#ifndef FKV_BASE_JSON_H
#define FKV_BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A place in a document, for error texts: the object, and what to call it ("log/0000000007.json"). */
struct json_at {
    const json_t *object;
    const char *name;
};

static inline void json_release_at(json_t **json)
{
    json_decref(*json);
}
#define scope_json __attribute__((cleanup(json_release_at)))

/*
 * Parses one JSON object of at most 64 levels and no trailing bytes; duplicate members are refused.
 * name is what error texts call it. *out is a new reference.
 */
int json_parse(const void *text, size_t len, const char *name, json_t **out, struct err *err);

/* Required members. max is inclusive. String length limits are in bytes, NUL excluded. */
int json_get_u64(struct json_at at, const char *key, uint64_t max, uint64_t *out, struct err *err);
int json_get_u32(struct json_at at, const char *key, uint32_t max, uint32_t *out, struct err *err);
/* A moment in nanoseconds since 1970, not negative. */
int json_get_ns(struct json_at at, const char *key, int64_t *out, struct err *err);
int json_get_bool(struct json_at at, const char *key, bool *out, struct err *err);
int json_get_string(struct json_at at, const char *key, size_t max_len, const char **out,
                    struct err *err);
int json_get_array(struct json_at at, const char *key, size_t max_count, const json_t **out,
                   struct err *err);
int json_get_object(struct json_at at, const char *key, const json_t **out, struct err *err);
/* An integer or a real number from min to max. */
int json_get_double(struct json_at at, const char *key, double min, double max, double *out,
                    struct err *err);

/* Refuses a member that is none of names (NULL at the end): a word nobody reads is a mistake. */
int json_check_members(struct json_at at, const char *const *names, struct err *err);

/* True when the member is present and not null, so that an optional one may be read. */
bool json_has(struct json_at at, const char *key);

/* Serialises: compact without spaces and with members in the order they were added, or indented by 2
 * for people. Ends with a newline. Appends to out. Returns 0 or -ENOMEM. */
int json_write(const json_t *json, bool pretty, struct buf *out);

/* Setters that swallow the reference and return 0 or -ENOMEM (also for a NULL value). */
int json_put(json_t *object, const char *key, json_t *value);
int json_put_u64(json_t *object, const char *key, uint64_t value);
int json_put_string(json_t *object, const char *key, const char *value);
int json_put_bool(json_t *object, const char *key, bool value);
int json_put_double(json_t *object, const char *key, double value);
/* Appends to an array, swallowing the reference. */
int json_append(json_t *array, json_t *value);

#endif
