/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot: a state as sealed JSON. What a reader could work out again (previous, which version is current) is written all
 * the same and checked against the rest, so that a snapshot which breaks an invariant is refused.
 */
#include "manifest/seal.h"
#include "manifest/state_impl.h"

#include "base/scope.h"
#include "manifest/record_op.h"

#include <errno.h>
#include <string.h>

enum { STATE_FORMAT = 1, COUNT_MAX = 1 << 24 };

static const char *const state_names[] = {
    [VERSION_CANDIDATE] = "candidate", [VERSION_CURRENT] = "current",
    [VERSION_FORMER] = "former",       [VERSION_RETIRED] = "retired",
    [VERSION_FORGOTTEN] = "forgotten",
};

enum { N_STATE_NAMES = sizeof state_names / sizeof *state_names };

const char *version_state_name(enum version_state state)
{
    return (unsigned)state < N_STATE_NAMES ? state_names[state] : NULL;
}

static json_t *version_encode(const struct version_entry *version)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&version->digest, hex);
    json_t *json = json_object();
    if (json_put_u64(json, "version", version->version) ||
        json_put_string(json, "state", state_names[version->state]) ||
        json_put_bool(json, "quarantined", version->quarantined) ||
        json_put_u64(json, "base", version->base) ||
        json_put_u64(json, "n_keys", version->n_keys) || json_put_u64(json, "len", version->len) ||
        json_put_string(json, "digest", hex) ||
        json_put_u64(json, "published_ns", (uint64_t)version->published_ns) ||
        json_put_u64(json, "activated_ns", (uint64_t)version->activated_ns)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* {"name": …, "version": …}: a tag, or what a pin begins with. */
static json_t *name_encode(const char *name, uint64_t version)
{
    json_t *json = json_object();
    if (json_put_string(json, "name", name) || json_put_u64(json, "version", version)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *pin_encode(const struct pin_entry *pin)
{
    json_t *json = name_encode(pin->name, pin->version);
    if (json_put_bool(json, "canary", pin->canary)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static int lists_encode(const struct table_state *table, json_t *json)
{
    json_t *versions = json_array();
    int ret = json_put(json, "versions", versions);
    for (size_t i = 0; i < table->n_versions && !ret; i++)
        ret = json_append(versions, version_encode(&table->versions[i]));
    json_t *pins = json_array();
    if (json_put(json, "pins", pins))
        return -ENOMEM;
    for (size_t i = 0; i < table->n_pins && !ret; i++)
        ret = json_append(pins, pin_encode(&table->pins[i]));
    json_t *tags = json_array();
    if (json_put(json, "tags", tags))
        return -ENOMEM;
    for (size_t i = 0; i < table->n_tags && !ret; i++)
        ret = json_append(tags, name_encode(table->tags[i].name, table->tags[i].version));
    return ret;
}

static json_t *table_encode(const struct table_state *table)
{
    json_t *json = json_object();
    if (json_put_string(json, "name", table->name) ||
        json_put_u64(json, "current", table->current) ||
        json_put_u64(json, "previous", table->previous) ||
        json_put_u64(json, "effective_ns", (uint64_t)table->effective_ns) ||
        json_put_u64(json, "before", table->before) || json_put_u64(json, "keep", table->keep) ||
        lists_encode(table, json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

int state_encode(const struct state *state, struct buf *out, struct err *err)
{
    scope_json json_t *json = json_object();
    json_t *tables = json_array();
    int ret = json_put_u64(json, "format", STATE_FORMAT);
    if (!ret)
        ret = json_put_u64(json, "seq", state->seq);
    if (json_put(json, "tables", tables))
        ret = -ENOMEM;
    for (size_t i = 0; i < state->n_tables && !ret; i++)
        ret = json_append(tables, table_encode(&state->tables[i]));
    if (!ret)
        ret = seal_write(json, out);
    return ret ? err_sys(err, ret, "encoding a snapshot") : 0;
}

static int version_state_decode(struct json_at at, enum version_state *out, struct err *err)
{
    const char *name = NULL;
    int ret = json_get_string(at, "state", 32, &name, err);
    if (ret)
        return ret;
    for (int i = 0; i < N_STATE_NAMES; i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *out = (enum version_state)i;
            return 0;
        }
    }
    return err_set(err, -EBADMSG, "%s: member \"state\": no version state \"%s\"", at.name, name);
}

static int version_decode(struct json_at at, struct version_entry *out, struct err *err)
{
    int ret = json_get_u64(at, "version", INT64_MAX, &out->version, err);
    if (!ret)
        ret = version_state_decode(at, &out->state, err);
    if (!ret)
        ret = json_get_bool(at, "quarantined", &out->quarantined, err);
    if (!ret)
        ret = json_get_u64(at, "base", INT64_MAX, &out->base, err);
    if (!ret)
        ret = json_get_u64(at, "n_keys", INT64_MAX, &out->n_keys, err);
    if (!ret)
        ret = json_get_u64(at, "len", INT64_MAX, &out->len, err);
    if (!ret)
        ret = json_get_digest(at, "digest", &out->digest, err);
    if (!ret)
        ret = json_get_ns(at, "published_ns", &out->published_ns, err);
    if (!ret)
        ret = json_get_ns(at, "activated_ns", &out->activated_ns, err);
    return ret;
}

/* The array member key with room for its entries in *entries. */
static int array_decode(struct json_at at, const char *key, size_t size, const json_t **array,
                        void *entries, struct err *err)
{
    int ret = json_get_array(at, key, COUNT_MAX, array, err);
    if (ret)
        return ret;
    void *room = calloc(json_array_size(*array) + 1, size);
    if (!room)
        return err_sys(err, -ENOMEM, "%s", at.name);
    memcpy(entries, &room, sizeof room);
    return 0;
}

static int versions_decode(struct json_at at, struct table_state *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = array_decode(at, "versions", sizeof *out->versions, &array, &out->versions, err);
    for (size_t i = 0; !ret && i < json_array_size(array); i++) {
        struct json_at entry = {json_array_get(array, i), at.name};
        ret = version_decode(entry, &out->versions[i], err);
        out->n_versions += !ret;
    }
    return ret;
}

static int name_decode(struct json_at at, char *name, size_t max, uint64_t *version,
                       struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, "name", max, &text, err);
    if (!ret)
        ret = json_get_u64(at, "version", INT64_MAX, version, err);
    if (!ret)
        strcpy(name, text);
    return ret;
}

static int pins_decode(struct json_at at, struct table_state *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = array_decode(at, "pins", sizeof *out->pins, &array, &out->pins, err);
    for (size_t i = 0; !ret && i < json_array_size(array); i++) {
        struct json_at entry = {json_array_get(array, i), at.name};
        struct pin_entry *pin = &out->pins[i];
        ret = name_decode(entry, pin->name, NODE_NAME_MAX, &pin->version, err);
        if (!ret)
            ret = json_get_bool(entry, "canary", &pin->canary, err);
        out->n_pins += !ret;
    }
    return ret;
}

static int tags_decode(struct json_at at, struct table_state *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = array_decode(at, "tags", sizeof *out->tags, &array, &out->tags, err);
    for (size_t i = 0; !ret && i < json_array_size(array); i++) {
        struct json_at entry = {json_array_get(array, i), at.name};
        struct tag_entry *tag = &out->tags[i];
        ret = name_decode(entry, tag->name, TAG_NAME_MAX, &tag->version, err);
        out->n_tags += !ret;
    }
    return ret;
}

static int table_decode(struct json_at at, struct table_state *out, struct err *err)
{
    const char *name = NULL;
    int ret = json_get_string(at, "name", TABLE_NAME_MAX, &name, err);
    if (ret)
        return ret;
    strcpy(out->name, name);
    ret = json_get_u64(at, "current", INT64_MAX, &out->current, err);
    if (!ret)
        ret = json_get_u64(at, "previous", INT64_MAX, &out->previous, err);
    if (!ret)
        ret = json_get_ns(at, "effective_ns", &out->effective_ns, err);
    if (!ret)
        ret = json_get_u64(at, "before", INT64_MAX, &out->before, err);
    if (!ret)
        ret = json_get_u32(at, "keep", RECORD_KEEP_MAX, &out->keep, err);
    if (!ret)
        ret = versions_decode(at, out, err);
    if (!ret)
        ret = pins_decode(at, out, err);
    if (!ret)
        ret = tags_decode(at, out, err);
    return ret;
}

static int tables_decode(struct json_at at, struct state *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = json_get_u64(at, "seq", RECORD_SEQ_MAX, &out->seq, err);
    if (!ret)
        ret = array_decode(at, "tables", sizeof *out->tables, &array, &out->tables, err);
    for (size_t i = 0; !ret && i < json_array_size(array); i++) {
        out->n_tables++;
        ret =
            table_decode((struct json_at){json_array_get(array, i), at.name}, &out->tables[i], err);
    }
    return ret;
}

int state_decode(const void *text, size_t len, const char *name, struct state *out, struct err *err)
{
    scope_json json_t *json = NULL;
    struct state state = {0};
    if (len > STATE_JSON_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       STATE_JSON_MAX, len);
    int ret = seal_parse(text, len, name, &json, err);
    if (!ret)
        ret = json_check_format(json, name, STATE_FORMAT, err);
    if (!ret)
        ret = tables_decode((struct json_at){json, name}, &state, err);
    if (!ret && state_audit(&state, err))
        ret = err_wrap(err, -EBADMSG, "%s", name);
    if (ret) {
        state_release(&state);
        return ret;
    }
    *out = state;
    return 0;
}
