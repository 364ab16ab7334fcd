/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/lookup.h"

#include "base/scope.h"
#include "builder/cli/value.h"
#include "builder/number.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int lookup_parse_u64(const char *text, uint64_t *out, struct err *err)
{
    if (number_u64(text, strlen(text), out))
        return err_set(err, -EINVAL,
                       "the table's keys are u64: expected a number from 0 to "
                       "18446744073709551615, found '%s'",
                       text);
    return 0;
}

static int check_bytes(const char *text, struct err *err)
{
    size_t len = strlen(text);
    if (len < 1 || len > KEY_BYTES_MAX)
        return err_set(err, -EINVAL, "a key has 1 to %d bytes, found one of %zu", KEY_BYTES_MAX,
                       len);
    return 0;
}

int lookup_mount_error(int rc, const char *path, struct err *err)
{
    const char *story = fkv_last_error();
    if (rc == -ENOENT || rc == -ENOTDIR)
        return err_set(err, -ENOENT,
                       "%s; is fkvd mounted there (--mount), and does it serve the table? "
                       "--direct reads the store instead",
                       story[0] ? story : path);
    return err_set(err, rc, "%s: %s", path, story[0] ? story : strerror(-rc));
}

int lookup_mount_path(const char *mount, const char *table, const char *version, char out[PATH_MAX],
                      struct err *err)
{
    char link[PATH_MAX], target[64];
    int rc = table_name_check(table, err);
    if (rc)
        return rc;
    snprintf(out, PATH_MAX, "%s/%s", mount, table);
    if (!version || !strcmp(version, "current"))
        return 0;
    snprintf(target, sizeof target, "v/%s", version);
    if (!strcmp(version, "previous")) {
        snprintf(link, sizeof link, "%s/%s/previous", mount, table);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len < 0)
            return err_sys(err, -errno, "looking for the previous version: %s", link);
        target[len] = '\0';
    } else if (version[strspn(version, "0123456789")] != '\0') {
        return err_set(
            err, -EINVAL,
            "the mount knows numbers, current and previous, not '%s'; --direct knows tags",
            version);
    }
    if (snprintf(out, PATH_MAX, "%s/%s/%s", mount, table, target) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", mount);
    return 0;
}

int lookup_schema(const fkv_shape *shape, struct schema *schema, struct err *err)
{
    *schema = (struct schema){.dim = shape->dim, .value_len = shape->value_len};
    schema->key_type = shape->key_type == FKV_TYPE_U64 ? KEY_U64 : KEY_BYTES;
    if (elem_from_name(shape->elem, &schema->elem))
        return err_set(err, -ENOTSUP, "values of type %.8s are newer than this program",
                       shape->elem);
    return 0;
}

static int ask_u64(struct lookup *lookup, const char *const *keys, uint32_t n, const fkv_ask *ask,
                   struct err *err)
{
    uint64_t *ids = fkv_keys_u64(lookup->batch, n);
    if (!ids)
        return err_sys(err, -ENOMEM, "%u keys", n);
    for (uint32_t i = 0; i < n; i++) {
        int rc = lookup_parse_u64(keys[i], &ids[i], err);
        if (rc)
            return rc;
    }
    int rc = fkv_get_u64(lookup->batch, ids, n, ask, &lookup->result);
    return rc ? lookup_mount_error(rc, "lookup", err) : 0;
}

static int ask_bytes(struct lookup *lookup, const char *const *keys, uint32_t n, const fkv_ask *ask,
                     struct err *err)
{
    scope_free uint8_t *lens = calloc(n + 1, 1);
    if (!lens)
        return err_sys(err, -ENOMEM, "%u keys", n);
    for (uint32_t i = 0; i < n; i++) {
        int rc = check_bytes(keys[i], err);
        if (rc)
            return rc;
        lens[i] = (uint8_t)strlen(keys[i]);
    }
    int rc = fkv_get_bytes(lookup->batch, (const void *const *)keys, lens, n, ask, &lookup->result);
    return rc ? lookup_mount_error(rc, "lookup", err) : 0;
}

int lookup_in_mount(const char *mount, const char *table, const char *version,
                    const char *const *keys, uint32_t n, struct lookup *out, struct err *err)
{
    char path[PATH_MAX];
    fkv_shape shape = {0};
    int rc = lookup_mount_path(mount, table, version, path, err);
    if (rc)
        return rc;
    rc = fkv_open(path, NULL, &out->table);
    if (!rc)
        rc = fkv_get_shape(out->table, &shape);
    if (!rc)
        rc = fkv_batch_new(out->table, &out->batch);
    if (rc)
        return lookup_mount_error(rc, path, err);
    if (!shape.version)
        return err_set(err, -ENOENT, "%s: the table has no current version yet", path);
    rc = lookup_schema(&shape, &out->schema, err);
    if (rc)
        return rc;
    /* The answer must come from the version whose shape we know. */
    fkv_ask ask = {.exact_version = shape.version, .as_f32 = shape.dim != 0};
    rc = out->schema.key_type == KEY_U64 ? ask_u64(out, keys, n, &ask, err)
                                         : ask_bytes(out, keys, n, &ask, err);
    out->version = out->result.version;
    out->n_found = out->result.n_found;
    return rc;
}

static int find_in_store(struct lookup *lookup, const char *key, uint32_t i,
                         struct value_room *room, struct err *err)
{
    bool is_u64 = lookup->schema.key_type == KEY_U64;
    struct part_entry wanted = {0};
    struct part_entry found;
    int rc = is_u64 ? lookup_parse_u64(key, &wanted.key, err) : check_bytes(key, err);
    if (rc)
        return rc;
    if (!is_u64) {
        wanted.key_bytes = (const uint8_t *)key;
        wanted.key_len = (uint8_t)strlen(key);
    }
    int has = version_reader_find(lookup->reader, &wanted, room, &found);
    if (has < 0)
        return err_set(err, has, "looking up '%s'", key);
    if (has == 0)
        return 0;
    /* The next key may take the room of this value. */
    lookup->values[i] = malloc((size_t)found.value_len + 1);
    if (!lookup->values[i])
        return err_sys(err, -ENOMEM, "a value of %u bytes", found.value_len);
    if (found.value_len)
        memcpy(lookup->values[i], found.value, found.value_len);
    lookup->lens[i] = found.value_len;
    lookup->n_found++;
    return 0;
}

int lookup_in_store(const struct session *session, const char *table, const char *version,
                    const char *const *keys, uint32_t n, struct lookup *out, struct err *err)
{
    const struct version_entry *v = NULL;
    int rc = session_version(session, table, version ? version : "current", &v, err);
    if (!rc)
        rc = session_read_version(session, table, v, &out->reader, err);
    if (rc)
        return rc;
    out->version = v->version;
    out->schema = version_reader_desc(out->reader)->schema;
    out->values = calloc(n + 1, sizeof *out->values);
    out->lens = calloc(n + 1, sizeof *out->lens);
    if (!out->values || !out->lens)
        return err_sys(err, -ENOMEM, "%u keys", n);
    struct value_room room = {0};
    out->n_values = n;
    for (uint32_t i = 0; !rc && i < n; i++)
        rc = find_in_store(out, keys[i], i, &room, err);
    value_room_release(&room);
    return rc;
}

bool lookup_found(const struct lookup *lookup, uint32_t i)
{
    return lookup->reader ? lookup->values[i] != NULL : lookup->result.status[i] == FKV_FOUND;
}

static int add_bytes(const uint8_t *value, uint32_t len, enum lookup_form form, struct buf *out)
{
    switch (form) {
    case LOOKUP_TEXT:
        return value_add_escaped(out, value, len);
    case LOOKUP_JSON:
        return value_add_json_bytes(out, value, len);
    case LOOKUP_RAW:
        return buf_add(out, value, len);
    }
    return 0;
}

int lookup_add_value(const struct lookup *lookup, uint32_t i, enum lookup_form form,
                     struct buf *out)
{
    const struct schema *schema = &lookup->schema;
    uint32_t len = lookup->reader ? lookup->lens[i] : 0;
    const uint8_t *value = lookup->reader ? lookup->values[i] : fkv_value(&lookup->result, i, &len);
    if (schema->elem == ELEM_NONE || form == LOOKUP_RAW)
        return add_bytes(value, len, form, out);
    scope_free float *floats = calloc(schema->dim + 1, sizeof *floats);
    if (!floats)
        return -ENOMEM;
    if (lookup->reader)
        value_decode(schema, value, floats);
    else
        memcpy(floats, value, 4 * (size_t)schema->dim);
    return value_add_floats(out, floats, schema->dim, form == LOOKUP_JSON ? "[" : "",
                            form == LOOKUP_JSON ? "]" : "");
}

void lookup_release(struct lookup *lookup)
{
    fkv_batch_free(lookup->batch);
    fkv_close(lookup->table);
    version_reader_close(lookup->reader);
    for (uint32_t i = 0; i < lookup->n_values; i++)
        free(lookup->values[i]);
    free(lookup->values);
    free(lookup->lens);
}
