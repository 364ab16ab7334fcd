/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/heartbeat.h"

#include "base/json.h"
#include "base/scope.h"
#include "manifest/seal.h"

#include <errno.h>
#include <string.h>

enum { COUNT_MAX = 65536 };

static const char *const state_names[] = {
    [NODE_FETCHING] = "fetching", [NODE_LOADING] = "loading", [NODE_READY] = "ready",
    [NODE_SERVING] = "serving",   [NODE_CACHED] = "cached",   [NODE_FAILED] = "failed",
};

enum { N_STATE_NAMES = sizeof state_names / sizeof *state_names };

const char *node_version_state_name(enum node_version_state state)
{
    return (unsigned)state < N_STATE_NAMES ? state_names[state] : NULL;
}

/* A JSON integer is signed: "no limit" and the like are written as the largest there is. */
static int put_count(json_t *json, const char *key, uint64_t n)
{
    return json_put_u64(json, key, n > INT64_MAX ? INT64_MAX : n);
}

static int put_time(json_t *json, const char *key, int64_t ns)
{
    return json_put_u64(json, key, ns < 0 ? 0 : (uint64_t)ns);
}

static int put_signed(json_t *json, const char *key, int64_t n)
{
    return json_put(json, key, json_integer(n));
}

/* A reason may quote anything, a host may be called anything: make it text that every reader takes. */
static int put_text(json_t *json, const char *key, const char *text, size_t max)
{
    char clean[HEARTBEAT_REASON_MAX + 1];
    size_t len = strnlen(text, max);
    memcpy(clean, text, len);
    clean[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)clean[i] < 0x20 || clean[i] == 0x7F)
            clean[i] = ' ';
    bool is_utf8 = text_check(key, clean, max, NULL) == 0;
    for (size_t i = 0; i < len && !is_utf8; i++)
        if ((unsigned char)clean[i] >= 0x80)
            clean[i] = '?';
    return json_put_string(json, key, clean);
}

static json_t *version_encode(const struct node_version *version)
{
    json_t *json = json_object();
    if (put_count(json, "version", version->version) ||
        json_put_string(json, "state", node_version_state_name(version->state)) ||
        put_count(json, "done", version->done) || put_count(json, "total", version->total) ||
        put_count(json, "failures", version->failures) ||
        put_time(json, "since_ns", version->since_ns) ||
        (version->reason && put_text(json, "reason", version->reason, HEARTBEAT_REASON_MAX))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *table_encode(const struct node_table *table)
{
    json_t *json = json_object();
    json_t *versions = json_array();
    int ret = json_put_string(json, "name", table->name);
    if (!ret)
        ret = put_count(json, "serving", table->serving);
    if (!ret)
        ret = put_count(json, "local_pin", table->local_pin);
    if (!ret)
        ret = put_time(json, "switched_ns", table->switched_ns);
    if (json_put(json, "versions", versions))
        ret = -ENOMEM;
    for (size_t i = 0; i < table->n_versions && !ret; i++)
        ret = json_append(versions, version_encode(&table->versions[i]));
    if (ret) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static int lists_encode(json_t *json, const struct heartbeat *heartbeat)
{
    json_t *labels = json_array();
    int ret = json_put(json, "labels", labels);
    for (size_t i = 0; i < heartbeat->n_labels && !ret; i++)
        ret = json_append(labels, json_string(heartbeat->labels[i]));
    json_t *tables = json_array();
    if (json_put(json, "tables", tables))
        return -ENOMEM;
    for (size_t i = 0; i < heartbeat->n_tables && !ret; i++)
        ret = json_append(tables, table_encode(&heartbeat->tables[i]));
    return ret;
}

static int instance_check(const char *instance, struct err *err)
{
    struct digest ignored;
    if (!instance[0] || digest_from_hex(instance, &ignored) == 0)
        return 0;
    return err_set(err, -EINVAL, "member \"instance\": expected %d hex digits, found \"%.80s\"",
                   RECORD_NONCE_LEN, instance);
}

static int names_check(const struct heartbeat *heartbeat, struct err *err)
{
    int ret = node_name_check(heartbeat->node, err);
    if (!ret)
        ret = instance_check(heartbeat->instance, err);
    if (!ret && heartbeat->n_labels > HEARTBEAT_LABELS_MAX)
        ret = err_set(err, -EINVAL, "heartbeat: at most %d labels", HEARTBEAT_LABELS_MAX);
    for (size_t i = 0; i < heartbeat->n_labels && !ret; i++)
        ret = label_name_check(heartbeat->labels[i], err);
    for (size_t i = 0; i < heartbeat->n_tables && !ret; i++) {
        const struct node_table *table = &heartbeat->tables[i];
        ret = table_name_check(table->name, err);
        for (size_t j = 0; j < table->n_versions && !ret; j++)
            if (!node_version_state_name(table->versions[j].state))
                ret = err_set(err, -EINVAL, "heartbeat: no version state has the number %d",
                              (int)table->versions[j].state);
    }
    return ret;
}

static int words_encode(json_t *json, const struct heartbeat *heartbeat)
{
    if (json_put_string(json, "node", heartbeat->node) ||
        put_text(json, "host", heartbeat->host, HEARTBEAT_WORD_MAX) ||
        put_text(json, "fkvd", heartbeat->fkvd, HEARTBEAT_WORD_MAX) ||
        json_put_string(json, "instance", heartbeat->instance))
        return -ENOMEM;
    return 0;
}

static int numbers_encode(json_t *json, const struct heartbeat *heartbeat)
{
    if (put_time(json, "time_ns", heartbeat->time_ns) ||
        put_time(json, "started_ns", heartbeat->started_ns) ||
        put_time(json, "contact_ns", heartbeat->contact_ns) ||
        put_signed(json, "ahead_ns", heartbeat->clock_ahead_ns) ||
        put_time(json, "poll_ns", heartbeat->poll_ns) || put_count(json, "pid", heartbeat->pid) ||
        put_count(json, "seq", heartbeat->seq) ||
        put_count(json, "memory_used", heartbeat->memory_used) ||
        put_count(json, "memory_budget", heartbeat->memory_budget) ||
        put_count(json, "cache_used", heartbeat->cache_used) ||
        put_count(json, "cache_limit", heartbeat->cache_limit) ||
        (heartbeat->stopped && json_put_bool(json, "stopped", true)))
        return -ENOMEM;
    return 0;
}

int heartbeat_encode(const struct heartbeat *heartbeat, struct buf *out, struct err *err)
{
    int ret = names_check(heartbeat, err);
    if (ret)
        return ret;
    size_t before = out->len;
    scope_json json_t *json = json_object();
    if (json_put_u64(json, "format", HEARTBEAT_FORMAT) || words_encode(json, heartbeat) ||
        numbers_encode(json, heartbeat) || lists_encode(json, heartbeat) ||
        json_write(json, false, out))
        return err_sys(err, -ENOMEM, "encoding a heartbeat");
    if (out->len - before > HEARTBEAT_JSON_MAX) {
        out->len = before;
        return err_set(err, -E2BIG, "heartbeat: longer than %d bytes", HEARTBEAT_JSON_MAX);
    }
    return 0;
}

/* Members that older daemons do not write stay as they are. */
static int optional_u64(struct json_at at, const char *key, uint64_t *out, struct err *err)
{
    return json_has(at, key) ? json_get_u64(at, key, INT64_MAX, out, err) : 0;
}

static int optional_ns(struct json_at at, const char *key, int64_t *out, struct err *err)
{
    return json_has(at, key) ? json_get_ns(at, key, out, err) : 0;
}

static int optional_signed(struct json_at at, const char *key, int64_t *out, struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    if (!json_has(at, key))
        return 0;
    if (!json_is_integer(value))
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected an integer", at.name, key);
    *out = json_integer_value(value);
    return 0;
}

/* Into out, of max + 1 bytes. */
static int optional_text(struct json_at at, const char *key, size_t max, char *out, struct err *err)
{
    const char *text = NULL;
    if (!json_has(at, key))
        return 0;
    int ret = json_get_string(at, key, max, &text, err);
    if (ret)
        return ret;
    if (text_check(key, text, max, err))
        return err_wrap(err, -EBADMSG, "%s: member", at.name);
    strcpy(out, text);
    return 0;
}

static int state_decode_name(struct json_at at, enum node_version_state *out, struct err *err)
{
    const char *name = NULL;
    int ret = json_get_string(at, "state", 32, &name, err);
    if (ret)
        return ret;
    for (int i = 0; i < N_STATE_NAMES; i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *out = (enum node_version_state)i;
            return 0;
        }
    }
    return err_set(err, -EBADMSG,
                   "%s: member \"state\": expected fetching, loading, …, found "
                   "\"%s\"",
                   at.name, name);
}

static int version_decode(struct json_at at, struct node_version *out, struct err *err)
{
    int ret = json_get_u64(at, "version", INT64_MAX, &out->version, err);
    if (!ret)
        ret = state_decode_name(at, &out->state, err);
    if (!ret)
        ret = json_get_u64(at, "done", INT64_MAX, &out->done, err);
    if (!ret)
        ret = json_get_u64(at, "total", INT64_MAX, &out->total, err);
    if (!ret)
        ret = optional_u64(at, "failures", &out->failures, err);
    if (!ret)
        ret = optional_ns(at, "since_ns", &out->since_ns, err);
    if (ret || !json_has(at, "reason"))
        return ret;
    const char *reason = NULL;
    ret = json_get_string(at, "reason", HEARTBEAT_REASON_MAX, &reason, err);
    if (ret)
        return ret;
    if (text_check("member \"reason\"", reason, HEARTBEAT_REASON_MAX, err))
        return err_wrap(err, -EBADMSG, "%s", at.name);
    out->reason = strdup(reason);
    return out->reason ? 0 : err_sys(err, -ENOMEM, "%s", at.name);
}

static int table_decode(struct json_at at, struct node_table *out, struct err *err)
{
    const char *name = NULL;
    const json_t *versions = NULL;
    int ret = json_get_string(at, "name", TABLE_NAME_MAX, &name, err);
    if (ret)
        return ret;
    if (table_name_check(name, err))
        return err_wrap(err, -EBADMSG, "%s", at.name);
    strcpy(out->name, name);
    ret = json_get_u64(at, "serving", INT64_MAX, &out->serving, err);
    if (!ret)
        ret = json_get_u64(at, "local_pin", INT64_MAX, &out->local_pin, err);
    if (!ret)
        ret = json_get_ns(at, "switched_ns", &out->switched_ns, err);
    if (!ret)
        ret = json_get_array(at, "versions", COUNT_MAX, &versions, err);
    if (ret)
        return ret;
    out->versions = calloc(json_array_size(versions) + 1, sizeof *out->versions);
    if (!out->versions)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < json_array_size(versions) && !ret; i++) {
        struct json_at entry = {json_array_get(versions, i), at.name};
        ret = version_decode(entry, &out->versions[i], err);
        out->n_versions++;
    }
    return ret;
}

static int labels_decode(struct json_at at, struct heartbeat *out, struct err *err)
{
    const json_t *labels = NULL;
    int ret = json_get_array(at, "labels", HEARTBEAT_LABELS_MAX, &labels, err);
    for (size_t i = 0; !ret && i < json_array_size(labels); i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        if (!label || label_name_check(label, err))
            return err_set(err, -EBADMSG, "%s: member \"labels\": expected names", at.name);
        out->labels[i] = strdup(label);
        if (!out->labels[i])
            return err_sys(err, -ENOMEM, "%s", at.name);
        out->n_labels++;
    }
    return ret;
}

static int tables_decode(struct json_at at, struct heartbeat *out, struct err *err)
{
    const json_t *tables = NULL;
    int ret = json_get_array(at, "tables", COUNT_MAX, &tables, err);
    if (ret)
        return ret;
    out->tables = calloc(json_array_size(tables) + 1, sizeof *out->tables);
    if (!out->tables)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < json_array_size(tables) && !ret; i++) {
        struct json_at entry = {json_array_get(tables, i), at.name};
        out->n_tables++;
        ret = table_decode(entry, &out->tables[i], err);
    }
    return ret;
}

static int words_decode(struct json_at at, struct heartbeat *out, struct err *err)
{
    const char *node = NULL;
    int ret = json_get_string(at, "node", NODE_NAME_MAX, &node, err);
    if (ret)
        return ret;
    if (node_name_check(node, err))
        return err_wrap(err, -EBADMSG, "%s", at.name);
    strcpy(out->node, node);
    ret = optional_text(at, "host", HEARTBEAT_WORD_MAX, out->host, err);
    if (!ret)
        ret = optional_text(at, "fkvd", HEARTBEAT_WORD_MAX, out->fkvd, err);
    if (!ret)
        ret = optional_text(at, "instance", RECORD_NONCE_LEN, out->instance, err);
    if (!ret && instance_check(out->instance, err))
        ret = err_wrap(err, -EBADMSG, "%s", at.name);
    return ret;
}

static int numbers_decode(struct json_at at, struct heartbeat *out, struct err *err)
{
    int ret = json_get_ns(at, "time_ns", &out->time_ns, err);
    if (!ret)
        ret = json_get_ns(at, "started_ns", &out->started_ns, err);
    if (!ret)
        ret = optional_ns(at, "contact_ns", &out->contact_ns, err);
    if (!ret)
        ret = optional_signed(at, "ahead_ns", &out->clock_ahead_ns, err);
    if (!ret)
        ret = optional_ns(at, "poll_ns", &out->poll_ns, err);
    if (!ret)
        ret = json_get_u64(at, "pid", INT64_MAX, &out->pid, err);
    if (!ret)
        ret = json_get_u64(at, "seq", INT64_MAX, &out->seq, err);
    if (!ret)
        ret = json_get_u64(at, "memory_used", INT64_MAX, &out->memory_used, err);
    if (!ret)
        ret = json_get_u64(at, "memory_budget", INT64_MAX, &out->memory_budget, err);
    if (!ret)
        ret = optional_u64(at, "cache_used", &out->cache_used, err);
    if (!ret)
        ret = optional_u64(at, "cache_limit", &out->cache_limit, err);
    if (!ret && json_has(at, "stopped"))
        ret = json_get_bool(at, "stopped", &out->stopped, err);
    return ret;
}

static int members_decode(struct json_at at, struct heartbeat *out, struct err *err)
{
    int ret = words_decode(at, out, err);
    if (!ret)
        ret = numbers_decode(at, out, err);
    if (!ret)
        ret = labels_decode(at, out, err);
    if (!ret)
        ret = tables_decode(at, out, err);
    return ret;
}

int heartbeat_decode(const void *text, size_t len, const char *name, struct heartbeat *out,
                     struct err *err)
{
    scope_json json_t *json = NULL;
    struct heartbeat heartbeat = {0};
    int ret = json_parse(text, len, name, &json, err);
    if (!ret)
        ret = json_check_format(json, name, HEARTBEAT_FORMAT, err);
    if (!ret)
        ret = members_decode((struct json_at){json, name}, &heartbeat, err);
    if (ret) {
        heartbeat_release(&heartbeat);
        return ret;
    }
    *out = heartbeat;
    return 0;
}
