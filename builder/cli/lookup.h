/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup: a few keys looked up for a person, through the mount by libfkv or in a version read from the store.
 *
 * Threads: one. Memory: lookup_release(); values live until then.
 * Errors: libfkv's, told with its words; those of version_reader.h.
 */
#ifndef FKV_CLI_LOOKUP_H
#define FKV_CLI_LOOKUP_H

#include "builder/cli/cli.h"
#include "builder/version_reader.h"
#include "client/fkv.h"

#include <limits.h>

struct lookup {
    uint64_t version; /* that answered */
    struct schema schema;
    uint32_t n_found;
    /* of the mount */
    fkv_table *table;
    fkv_batch *batch;
    fkv_result result;
    /* of the store */
    struct version_reader *reader;
    uint8_t **values; /* n, freed with the lookup; NULL: absent */
    uint32_t *lens;
    uint32_t n_values;
};

/* mount/table, or mount/table/v/<id> for a version ("current", "previous" or a number). */
int lookup_in_mount(const char *mount, const char *table, const char *version,
                    const char *const *keys, uint32_t n, struct lookup *out, struct err *err);
int lookup_in_store(const struct session *session, const char *table, const char *version,
                    const char *const *keys, uint32_t n, struct lookup *out, struct err *err);

bool lookup_found(const struct lookup *lookup, uint32_t i);

/* Appends the value of key i in one of the forms; raw is the value's bytes (vectors as f32 from the mount, else as stored). */
enum lookup_form { LOOKUP_TEXT, LOOKUP_JSON, LOOKUP_RAW };
int lookup_add_value(const struct lookup *lookup, uint32_t i, enum lookup_form form,
                     struct buf *out);

void lookup_release(struct lookup *lookup);

/* What goes into a lookup, for others that ask the mount. */

/* The directory to open: the table, or one version of it ("previous", a number); links say which that is. */
int lookup_mount_path(const char *mount, const char *table, const char *version, char out[PATH_MAX],
                      struct err *err);
/* libfkv's last failure about path, with what may help. */
int lookup_mount_error(int rc, const char *path, struct err *err);
/* Key and value type; kind and the rest stay 0. */
int lookup_schema(const fkv_shape *shape, struct schema *schema, struct err *err);
int lookup_parse_u64(const char *text, uint64_t *out, struct err *err);

#endif
