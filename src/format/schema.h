/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema: the shape of one version of a table.
 *
 * Text forms, used by the builder's flags and by version.json:
 *   key    "u64" | "bytes"
 *   value  "bytes" | "bytes[N]" | "f32[D]" | "f16[D]" | "bf16[D]" | "i8[D]"
 *
 * Threads: plain data. Memory: none. Errors: -EINVAL with a sentence.
 */
#ifndef FKV_FORMAT_SCHEMA_H
#define FKV_FORMAT_SCHEMA_H

#include "base/elem.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_type {
    KEY_U64 = 1,
    KEY_BYTES = 2,
};

enum table_kind {
    KIND_MEM = 1,
    KIND_BLK = 2,
    KIND_IDX = 3,
};

enum {
    KEY_BYTES_MAX = 255,
    VALUE_LEN_MAX = 16 << 20,
    SHARDS_MAX = 4096,
    LEVELS_MAX = 64,     /* one base and up to 63 deltas */
    OWNER_NAME_MAX = 63, /* bytes of a user or group name */
    VALUE_TEXT_MAX = 32, /* "bytes[16777216]", NUL included */
};

struct schema {
    enum table_kind kind;
    enum key_type key_type;
    enum elem elem;                 /* ELEM_NONE: values are bytes */
    uint32_t dim;                   /* elements of a vector; 0 for bytes */
    uint32_t value_len;             /* bytes of every stored value when fixed; 0 when they vary */
    uint32_t n_shards;              /* 1 to SHARDS_MAX; the same for every level of a chain */
    uint64_t hash_seed;             /* seed of the key hash; the same for every level of a chain */
    char owner[OWNER_NAME_MAX + 1]; /* user name or decimal id; empty: the daemon's own */
    char group[OWNER_NAME_MAX + 1];
    uint32_t mode; /* permission bits of the table's files, within 0777; 0444 by default */
};

/* True when every value has value_len bytes (always so for vectors). */
static inline bool schema_value_is_fixed(const struct schema *schema)
{
    return schema->value_len != 0;
}

/* Checks every field against its limits and against each other. */
int schema_check(const struct schema *schema, struct err *err);

const char *key_type_name(enum key_type type);
int key_type_from_name(const char *name, enum key_type *out, struct err *err);
const char *table_kind_name(enum table_kind kind);
int table_kind_from_name(const char *name, enum table_kind *out, struct err *err);

/* Parses the text form of a value type into elem, dim and value_len of schema. */
int schema_set_value(struct schema *schema, const char *text, struct err *err);
/* Writes the text form, at most VALUE_TEXT_MAX bytes with the NUL. */
void schema_value_text(const struct schema *schema, char out[VALUE_TEXT_MAX]);

/*
 * True when a delta of schema `delta` may lie over a base of schema `base`: same kind, key type,
 * value type, shards and seed. Otherwise err names the first difference and the function is false.
 */
bool schema_same_shape(const struct schema *base, const struct schema *delta, struct err *err);

/* The placement hash of a key under this schema: hash_u64() or hash_bytes(). */
uint64_t schema_hash_u64(const struct schema *schema, uint64_t key);
uint64_t schema_hash_bytes(const struct schema *schema, const void *key, size_t len);

/* The shard of a placement hash: its 32 high bits scaled, so hash order is shard order. */
static inline uint32_t schema_shard(const struct schema *schema, uint64_t hash)
{
    return (uint32_t)(((hash >> 32) * schema->n_shards) >> 32);
}

#endif
