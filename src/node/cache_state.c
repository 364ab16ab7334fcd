/* SPDX-License-Identifier: Apache-2.0 */
#include "node/cache_state.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLES_MAX = 4096, VERSIONS_MAX = 1 << 20 };

void cache_state_release(struct cache_state *state)
{
    for (size_t i = 0; i < state->n_tables; i++)
        free(state->tables[i].versions);
    free(state->tables);
    *state = (struct cache_state){0};
}

static json_t *encode_version(const struct cached_version *version)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&version->digest, hex);
    return json_pack("{sI, ss}", "version", (json_int_t)version->id, "digest", hex);
}

static json_t *encode_table(const struct cached_table *table)
{
    scope_json json_t *versions = json_array();
    for (size_t i = 0; i < table->n_versions; i++)
        if (json_append(versions, encode_version(&table->versions[i])))
            return NULL;
    json_t *json =
        json_pack("{ss, sI, sI, sI, sI, sI, sO}", "name", table->name, "serving",
                  (json_int_t)table->serving, "previous", (json_int_t)table->previous, "local_pin",
                  (json_int_t)table->local_pin, "pin_seq", (json_int_t)table->pin_seq,
                  "switched_ns", (json_int_t)table->switched_ns, "versions", versions);
    if (!json || !table->local_pin || !json_put_u64(json, "pin_ns", (uint64_t)table->pin_ns))
        return json;
    json_decref(json);
    return NULL;
}

int cache_state_encode(const struct cache_state *state, struct buf *out)
{
    scope_json json_t *tables = json_array();
    for (size_t i = 0; i < state->n_tables; i++)
        if (json_append(tables, encode_table(&state->tables[i])))
            return -ENOMEM;
    scope_json json_t *json = json_pack(
        "{si, ss, sI, sI, sO}", "format", CACHE_STATE_FORMAT, "store_id", state->store_id, "seq",
        (json_int_t)state->seq, "contact_ns", (json_int_t)state->contact_ns, "tables", tables);
    return json ? json_write(json, true, out) : -ENOMEM;
}

static int get_ns(struct json_at at, const char *key, int64_t *out, struct err *err)
{
    uint64_t ns = 0;
    int ret = json_get_u64(at, key, INT64_MAX, &ns, err);
    *out = (int64_t)ns;
    return ret;
}

static int decode_version(struct json_at at, struct cached_version *out, struct err *err)
{
    const char *hex = NULL;
    int ret = json_get_u64(at, "version", INT64_MAX, &out->id, err);
    if (!ret && out->id == 0)
        ret =
            err_set(err, -EBADMSG, "%s: member \"version\": expected 1 or more, found 0", at.name);
    if (!ret)
        ret = json_get_string(at, "digest", DIGEST_HEX_LEN, &hex, err);
    if (!ret && digest_from_hex(hex, &out->digest))
        ret = err_set(err, -EBADMSG, "%s: member \"digest\": expected 32 hex digits, found \"%s\"",
                      at.name, hex);
    return ret;
}

static int decode_versions(struct json_at at, struct cached_table *out, struct err *err)
{
    const json_t *versions = NULL;
    int ret = json_get_array(at, "versions", VERSIONS_MAX, &versions, err);
    if (ret)
        return ret;
    size_t n = json_array_size(versions);
    out->versions = calloc(n ? n : 1, sizeof *out->versions);
    if (!out->versions)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < n && !ret; i++) {
        struct json_at entry = {json_array_get(versions, i), at.name};
        ret = decode_version(entry, &out->versions[i], err);
        out->n_versions = i + 1;
    }
    return ret;
}

static int decode_table(struct json_at at, struct cached_table *out, struct err *err)
{
    const char *name = NULL;
    int ret = json_get_string(at, "name", TABLE_NAME_MAX, &name, err);
    if (!ret && table_name_check(name, err))
        ret = err_wrap(err, -EBADMSG, "%s: member \"name\"", at.name);
    if (ret)
        return ret;
    snprintf(out->name, sizeof out->name, "%s", name);
    ret = json_get_u64(at, "serving", INT64_MAX, &out->serving, err);
    if (!ret)
        ret = json_get_u64(at, "previous", INT64_MAX, &out->previous, err);
    if (!ret)
        ret = json_get_u64(at, "local_pin", INT64_MAX, &out->local_pin, err);
    if (!ret)
        ret = json_get_u64(at, "pin_seq", INT64_MAX, &out->pin_seq, err);
    if (!ret && json_has(at, "pin_ns"))
        ret = get_ns(at, "pin_ns", &out->pin_ns, err);
    if (!ret)
        ret = get_ns(at, "switched_ns", &out->switched_ns, err);
    return ret ? ret : decode_versions(at, out, err);
}

static int decode_tables(struct json_at at, struct cache_state *out, struct err *err)
{
    const json_t *tables = NULL;
    int ret = json_get_array(at, "tables", TABLES_MAX, &tables, err);
    if (ret)
        return ret;
    size_t n = json_array_size(tables);
    out->tables = calloc(n ? n : 1, sizeof *out->tables);
    if (!out->tables)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < n && !ret; i++) {
        struct json_at entry = {json_array_get(tables, i), at.name};
        out->n_tables = i + 1;
        ret = decode_table(entry, &out->tables[i], err);
    }
    return ret;
}

static int decode(struct json_at at, struct cache_state *out, struct err *err)
{
    uint32_t format = 0;
    const char *store_id = NULL;
    int ret = json_get_u32(at, "format", UINT32_MAX, &format, err);
    if (!ret && format != CACHE_STATE_FORMAT)
        ret = err_set(err, -ENOTSUP, "%s: expected format %d, found %u", at.name,
                      CACHE_STATE_FORMAT, format);
    if (!ret)
        ret = json_get_string(at, "store_id", STORE_ID_MAX, &store_id, err);
    if (ret)
        return ret;
    snprintf(out->store_id, sizeof out->store_id, "%s", store_id);
    ret = json_get_u64(at, "seq", INT64_MAX, &out->seq, err);
    if (!ret)
        ret = get_ns(at, "contact_ns", &out->contact_ns, err);
    return ret ? ret : decode_tables(at, out, err);
}

int cache_state_decode(const void *text, size_t len, const char *name, struct cache_state *out,
                       struct err *err)
{
    scope_json json_t *json = NULL;
    int ret = json_parse(text, len, name, &json, err);
    if (ret)
        return ret;
    struct cache_state state = {0};
    ret = decode((struct json_at){json, name}, &state, err);
    if (ret) {
        cache_state_release(&state);
        return ret;
    }
    *out = state;
    return 0;
}
