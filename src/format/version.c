/* SPDX-License-Identifier: Apache-2.0 */
#include "format/version.h"

#include "base/bytes.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TASK_MAX = 255, WHO_MAX = 511, SOURCE_MAX = 65536, HEX64_LEN = 16 };

void part_file_name(const struct part_desc *part, char out[PART_FILE_NAME_MAX])
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&part->digest, hex);
    snprintf(out, PART_FILE_NAME_MAX, "L%02u-S%04u-%.16s.part", part->level, part->shard, hex);
}

void version_desc_release(struct version_desc *desc)
{
    if (!desc)
        return;
    free(desc->task);
    free(desc->builder);
    free(desc->author);
    free(desc->created);
    free(desc->source);
    for (size_t i = 0; desc->parts && i < desc->n_parts; i++)
        free(desc->parts[i].chunks);
    free(desc->parts);
    memset(desc, 0, sizeof *desc);
}

uint64_t version_desc_len(const struct version_desc *desc)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < desc->n_parts; i++)
        sum += desc->parts[i].len;
    return sum;
}

static uint64_t chunks_of(uint64_t len)
{
    return len / PART_CHUNK_LEN + (len % PART_CHUNK_LEN != 0);
}

/* What part i must be. code is what a fault returns. */
static int part_check(const struct version_desc *desc, size_t i, const char *name, int code,
                      struct err *err)
{
    const struct part_desc *part = &desc->parts[i];
    uint32_t level = (uint32_t)(i / desc->schema.n_shards);
    uint32_t shard = (uint32_t)(i % desc->schema.n_shards);
    bool has_tail = desc->schema.kind != KIND_MEM;
    if (part->level != level || part->shard != shard)
        return err_set(err, code, "%s: part %zu: expected level %u, shard %u, found %u and %u",
                       name, i, level, shard, part->level, part->shard);
    if (part->len < PART_FOOTER_LEN || part->len % PART_ALIGN)
        return err_set(err, code, "%s: part %zu: a part has no length of %llu bytes", name, i,
                       (unsigned long long)part->len);
    if (part->tail_len > part->len || part->tail_len % PART_ALIGN ||
        (part->tail_len > 0) != has_tail)
        return err_set(err, code, "%s: part %zu: a %s part of %llu bytes has no tail of %llu bytes",
                       name, i, table_kind_name(desc->schema.kind), (unsigned long long)part->len,
                       (unsigned long long)part->tail_len);
    if (part->n_chunks != chunks_of(part->len))
        return err_set(err, code, "%s: part %zu: expected %llu chunks, found %u", name, i,
                       (unsigned long long)chunks_of(part->len), part->n_chunks);
    if (level == 0 && part->n_tombstones)
        return err_set(err, code, "%s: part %zu: level 0 has no tombstones, found %llu", name, i,
                       (unsigned long long)part->n_tombstones);
    return 0;
}

/* What must hold between the members, whoever wrote them. */
static int desc_check(const struct version_desc *desc, const char *name, int code, struct err *err)
{
    uint64_t n_newest = 0;
    uint64_t len = 0;
    uint64_t n_base = 0;

    if (desc->n_levels < 1 || desc->n_levels > LEVELS_MAX)
        return err_set(err, code, "%s: expected 1 to %d levels, found %u", name, LEVELS_MAX,
                       desc->n_levels);
    if ((desc->base != 0) != (desc->n_levels > 1))
        return err_set(err, code, "%s: %u levels do not go with base %llu", name, desc->n_levels,
                       (unsigned long long)desc->base);
    if (desc->checkpoint_of && desc->base)
        return err_set(err, code, "%s: a checkpoint (of version %llu) lies on no base, found %llu",
                       name, (unsigned long long)desc->checkpoint_of,
                       (unsigned long long)desc->base);
    if (desc->n_parts != (size_t)desc->n_levels * desc->schema.n_shards)
        return err_set(err, code, "%s: %u levels of %u shards need %zu parts, found %zu", name,
                       desc->n_levels, desc->schema.n_shards,
                       (size_t)desc->n_levels * desc->schema.n_shards, desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++) {
        const struct part_desc *part = &desc->parts[i];
        uint32_t level = (uint32_t)(i / desc->schema.n_shards);
        int ret = part_check(desc, i, name, code, err);
        if (ret)
            return ret;
        if (!add_u64(len, part->len, &len) || len > INT64_MAX)
            return err_set(err, code, "%s: the parts are longer than any disk", name);
        if (level == 0)
            n_base += part->n_keys;
        if (level == desc->n_levels - 1)
            n_newest += part->n_keys + part->n_tombstones;
    }
    if (n_newest != desc->n_entries)
        return err_set(err, code, "%s: expected %llu entries as in its parts, found %llu", name,
                       (unsigned long long)n_newest, (unsigned long long)desc->n_entries);
    if (desc->n_levels == 1 && n_base != desc->n_keys)
        return err_set(err, code, "%s: expected %llu keys as in its parts, found %llu", name,
                       (unsigned long long)n_base, (unsigned long long)desc->n_keys);
    return 0;
}

/* ---- decoding ---- */

static int copy_string(struct json_at at, const char *key, size_t max, char **out, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, key, max, &text, err);
    if (ret)
        return ret;
    *out = strdup(text);
    return *out ? 0 : err_sys(err, -ENOMEM, "%s", at.name);
}

static int decode_seed(struct json_at at, uint64_t *out, struct err *err)
{
    const char *hex = NULL;
    uint64_t value = 0;
    int ret = json_get_string(at, "hash_seed", HEX64_LEN, &hex, err);
    if (ret)
        return ret;
    if (strlen(hex) != HEX64_LEN || strspn(hex, "0123456789abcdef") != HEX64_LEN)
        return err_set(err, -EBADMSG,
                       "%s: member \"hash_seed\": expected 16 hex digits, found "
                       "\"%s\"",
                       at.name, hex);
    for (size_t i = 0; i < HEX64_LEN; i++)
        value = value << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    *out = value;
    return 0;
}

static int decode_mode(struct json_at at, uint32_t *out, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, "mode", 4, &text, err);
    if (ret)
        return ret;
    if (strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4)
        return err_set(err, -EBADMSG, "%s: member \"mode\": expected as \"0444\", found \"%s\"",
                       at.name, text);
    *out = (uint32_t)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
    return 0;
}

static int decode_names(struct json_at at, struct schema *out, struct err *err)
{
    const char *text = NULL;
    int ret = json_get_string(at, "owner", OWNER_NAME_MAX, &text, err);
    if (ret)
        return ret;
    snprintf(out->owner, sizeof out->owner, "%s", text);
    if ((ret = json_get_string(at, "group", OWNER_NAME_MAX, &text, err)))
        return ret;
    snprintf(out->group, sizeof out->group, "%s", text);
    return decode_mode(at, &out->mode, err);
}

static int decode_schema(struct json_at at, struct schema *out, struct err *err)
{
    const char *text = NULL;
    struct err why = {0};
    int ret = 0;
    if ((ret = json_get_string(at, "kind", 16, &text, err)))
        return ret;
    if (table_kind_from_name(text, &out->kind, &why))
        return err_set(err, -ENOTSUP, "%s: %s", at.name, why.text);
    if ((ret = json_get_string(at, "key", 16, &text, err)))
        return ret;
    if (key_type_from_name(text, &out->key_type, &why))
        return err_set(err, -EBADMSG, "%s: %s", at.name, why.text);
    if ((ret = json_get_string(at, "value", VALUE_TEXT_MAX, &text, err)))
        return ret;
    if (schema_set_value(out, text, &why))
        return err_set(err, -EBADMSG, "%s: %s", at.name, why.text);
    if ((ret = json_get_u32(at, "shards", SHARDS_MAX, &out->n_shards, err)) ||
        (ret = decode_seed(at, &out->hash_seed, err)) || (ret = decode_names(at, out, err)))
        return ret;
    if (schema_check(out, &why))
        return err_set(err, -EBADMSG, "%s: %s", at.name, why.text);
    return 0;
}

static int decode_digest(const char *hex, struct json_at at, struct digest *out, struct err *err)
{
    if (!hex || digest_from_hex(hex, out))
        return err_set(err, -EBADMSG, "%s: expected a digest of %d hex digits, found \"%.40s\"",
                       at.name, DIGEST_HEX_LEN, hex ? hex : "no string");
    return 0;
}

static int decode_chunks(struct json_at at, struct part_desc *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = json_get_array(at, "chunks", UINT32_MAX, &array, err);
    if (ret)
        return ret;
    out->n_chunks = (uint32_t)json_array_size(array);
    out->chunks = calloc(out->n_chunks ? out->n_chunks : 1, sizeof *out->chunks);
    if (!out->chunks)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (uint32_t i = 0; i < out->n_chunks && !ret; i++)
        ret = decode_digest(json_string_value(json_array_get(array, i)), at, &out->chunks[i], err);
    return ret;
}

/* A member that may be missing, which means 0. */
static int decode_optional(struct json_at at, const char *key, uint64_t *out, struct err *err)
{
    return json_has(at, key) ? json_get_u64(at, key, INT64_MAX, out, err) : 0;
}

int part_desc_decode(struct json_at at, struct part_desc *out, struct err *err)
{
    const char *hex = NULL;
    const char *file = NULL;
    char name[PART_FILE_NAME_MAX];
    int ret = 0;
    if ((ret = json_get_u32(at, "level", LEVELS_MAX - 1, &out->level, err)) ||
        (ret = json_get_u32(at, "shard", SHARDS_MAX - 1, &out->shard, err)) ||
        (ret = json_get_u64(at, "bytes", INT64_MAX, &out->len, err)) ||
        (ret = json_get_u64(at, "keys", UINT32_MAX * 64ULL, &out->n_keys, err)) ||
        (ret = json_get_u64(at, "tombstones", UINT32_MAX * 64ULL, &out->n_tombstones, err)) ||
        (ret = decode_optional(at, "tail_bytes", &out->tail_len, err)) ||
        (ret = decode_optional(at, "values_bytes", &out->values_len, err)) ||
        (ret = json_get_string(at, "xxh3_128", DIGEST_HEX_LEN, &hex, err)) ||
        (ret = decode_digest(hex, at, &out->digest, err)) ||
        (ret = json_get_string(at, "file", PART_FILE_NAME_MAX - 1, &file, err)))
        return ret;
    part_file_name(out, name);
    if (strcmp(name, file) != 0)
        return err_set(err, -EBADMSG, "%s: member \"file\": expected \"%s\", found \"%s\"", at.name,
                       name, file);
    return decode_chunks(at, out, err);
}

static int decode_parts(struct json_at at, struct version_desc *out, struct err *err)
{
    const json_t *array = NULL;
    int ret = json_get_array(at, "parts", (size_t)LEVELS_MAX * SHARDS_MAX, &array, err);
    if (ret)
        return ret;
    out->n_parts = json_array_size(array);
    out->parts = calloc(out->n_parts ? out->n_parts : 1, sizeof *out->parts);
    if (!out->parts)
        return err_sys(err, -ENOMEM, "%s", at.name);
    for (size_t i = 0; i < out->n_parts; i++) {
        struct json_at part = {json_array_get(array, i), at.name};
        struct err why = {0};
        if (!json_is_object(part.object))
            return err_set(err, -EBADMSG, "%s: part %zu: expected an object", at.name, i);
        if ((ret = part_desc_decode(part, &out->parts[i], &why)))
            return err_set(err, ret, "part %zu: %s", i, why.text);
    }
    return 0;
}

static int decode_strings(struct json_at at, struct version_desc *out, struct err *err)
{
    int ret = 0;
    if ((ret = copy_string(at, "task", TASK_MAX, &out->task, err)) ||
        (ret = copy_string(at, "builder", WHO_MAX, &out->builder, err)) ||
        (ret = copy_string(at, "author", WHO_MAX, &out->author, err)) ||
        (ret = copy_string(at, "created", TASK_MAX, &out->created, err)))
        return ret;
    return copy_string(at, "source", SOURCE_MAX, &out->source, err);
}

static int decode_desc(struct json_at at, struct version_desc *out, struct err *err)
{
    const json_t *schema = NULL;
    uint32_t format = 0;
    int ret = json_get_u32(at, "format", UINT32_MAX, &format, err);
    if (ret)
        return ret;
    if (format != VERSION_FORMAT)
        return err_set(err, -ENOTSUP, "%s: expected format %d, found %u: a newer fkv can read it",
                       at.name, VERSION_FORMAT, format);
    if ((ret = json_get_u64(at, "version", INT64_MAX, &out->version, err)) ||
        (ret = json_get_u64(at, "base", INT64_MAX, &out->base, err)) ||
        (ret = decode_optional(at, "checkpoint_of", &out->checkpoint_of, err)) ||
        (ret = json_get_object(at, "schema", &schema, err)) ||
        (ret = decode_schema((struct json_at){schema, at.name}, &out->schema, err)) ||
        (ret = json_get_u32(at, "levels", LEVELS_MAX, &out->n_levels, err)) ||
        (ret = json_get_u64(at, "keys", INT64_MAX, &out->n_keys, err)) ||
        (ret = json_get_u64(at, "entries", INT64_MAX, &out->n_entries, err)) ||
        (ret = decode_strings(at, out, err)) || (ret = decode_parts(at, out, err)))
        return ret;
    return desc_check(out, at.name, -EBADMSG, err);
}

int version_desc_decode(const void *text, size_t len, const char *name, struct version_desc *out,
                        struct err *err)
{
    scope_json json_t *json = NULL;
    struct version_desc desc = {0};
    int ret = 0;
    if (len > VERSION_JSON_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       VERSION_JSON_MAX, len);
    if ((ret = json_parse(text, len, name, &json, err)))
        return ret;
    ret = decode_desc((struct json_at){json, name}, &desc, err);
    if (ret)
        version_desc_release(&desc);
    else
        *out = desc;
    return ret;
}

/* ---- encoding ---- */

static json_t *encode_schema(const struct schema *schema)
{
    char value[VALUE_TEXT_MAX];
    char seed[HEX64_LEN + 1];
    char mode[8];
    json_t *json = json_object();
    schema_value_text(schema, value);
    snprintf(seed, sizeof seed, "%016llx", (unsigned long long)schema->hash_seed);
    snprintf(mode, sizeof mode, "0%03o", schema->mode & 0777);
    if (json &&
        (json_put_string(json, "kind", table_kind_name(schema->kind)) ||
         json_put_string(json, "key", key_type_name(schema->key_type)) ||
         json_put_string(json, "value", value) || json_put_u64(json, "shards", schema->n_shards) ||
         json_put_string(json, "hash_seed", seed) ||
         json_put_string(json, "owner", schema->owner) ||
         json_put_string(json, "group", schema->group) || json_put_string(json, "mode", mode))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *encode_chunks(const struct part_desc *part)
{
    char hex[DIGEST_HEX_LEN + 1];
    json_t *array = json_array();
    for (uint32_t i = 0; array && i < part->n_chunks; i++) {
        digest_to_hex(&part->chunks[i], hex);
        if (json_append(array, json_string(hex))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* 0 is not written: decode_optional() finds it again. */
static int put_optional(json_t *json, const char *key, uint64_t value)
{
    return value ? json_put_u64(json, key, value) : 0;
}

json_t *part_desc_encode(const struct part_desc *part)
{
    char hex[DIGEST_HEX_LEN + 1];
    char name[PART_FILE_NAME_MAX];
    json_t *json = json_object();
    digest_to_hex(&part->digest, hex);
    part_file_name(part, name);
    if (json &&
        (json_put_string(json, "file", name) || json_put_u64(json, "level", part->level) ||
         json_put_u64(json, "shard", part->shard) || json_put_u64(json, "bytes", part->len) ||
         json_put_u64(json, "keys", part->n_keys) ||
         json_put_u64(json, "tombstones", part->n_tombstones) ||
         put_optional(json, "tail_bytes", part->tail_len) ||
         put_optional(json, "values_bytes", part->values_len) ||
         json_put_string(json, "xxh3_128", hex) || json_put(json, "chunks", encode_chunks(part)))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *encode_parts(const struct version_desc *desc)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < desc->n_parts; i++) {
        if (json_append(array, part_desc_encode(&desc->parts[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* Refuses what version_desc_decode() would refuse, so that nothing unreadable is ever published. */
static int encode_check(const struct version_desc *desc, struct err *err)
{
    const struct {
        const char *name;
        const char *text;
        size_t max;
    } strings[] = {
        {"task", desc->task, TASK_MAX},       {"builder", desc->builder, WHO_MAX},
        {"author", desc->author, WHO_MAX},    {"created", desc->created, TASK_MAX},
        {"source", desc->source, SOURCE_MAX},
    };
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        size_t len = strings[i].text ? strlen(strings[i].text) : 0;
        if (len > strings[i].max)
            return err_set(err, -EINVAL, "version.json: %s is longer than %zu bytes",
                           strings[i].name, strings[i].max);
        if (!utf8_is_text(strings[i].text, len))
            return err_set(err, -EINVAL, "version.json: %s is not UTF-8", strings[i].name);
    }
    int ret = schema_check(&desc->schema, err);
    return ret ? ret : desc_check(desc, "version.json", -EINVAL, err);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

int version_desc_encode(const struct version_desc *desc, struct buf *out, struct err *err)
{
    scope_json json_t *json = json_object();
    int ret = encode_check(desc, err);
    if (ret)
        return ret;
    if (!json || json_put_u64(json, "format", VERSION_FORMAT) ||
        json_put_u64(json, "version", desc->version) || json_put_u64(json, "base", desc->base) ||
        put_optional(json, "checkpoint_of", desc->checkpoint_of) ||
        json_put(json, "schema", encode_schema(&desc->schema)) ||
        json_put_u64(json, "levels", desc->n_levels) || json_put_u64(json, "keys", desc->n_keys) ||
        json_put_u64(json, "entries", desc->n_entries) ||
        json_put_string(json, "task", text_or_empty(desc->task)) ||
        json_put_string(json, "builder", text_or_empty(desc->builder)) ||
        json_put_string(json, "author", text_or_empty(desc->author)) ||
        json_put_string(json, "created", text_or_empty(desc->created)) ||
        json_put_string(json, "source", text_or_empty(desc->source)) ||
        json_put(json, "parts", encode_parts(desc)) || json_write(json, true, out))
        return err_sys(err, -ENOMEM, "version.json");
    return 0;
}
