/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version: version.json, the table of contents of one version directory. docs/FORMAT.md is
 * normative.
 *
 * It names the schema and every part file with its length and checksums. Its own digest stands in
 * the manifest, so the chain manifest -> version.json -> chunk leaves no byte unchecked.
 *
 * Threads: plain data. Memory: release what decode filled with version_desc_release().
 * Errors: -EBADMSG with file, member, expected and found; -ENOTSUP for a newer format.
 */
#ifndef FKV_FORMAT_VERSION_H
#define FKV_FORMAT_VERSION_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "format/part.h"
#include "format/schema.h"

enum { VERSION_FORMAT = 1, VERSION_JSON_MAX = 64 << 20 };

/* One part file. Its name is part_file_name(): "parts" are <level>-<shard>-<digest>.part, so a
 * base's file keeps its name in every version that links it. */
struct part_desc {
    uint32_t shard;
    uint32_t level;
    uint64_t len;
    uint64_t n_keys;
    uint64_t n_tombstones;
    uint64_t tail_len;     /* blk, idx: bytes at the end that belong in memory; mem: 0, all do */
    uint64_t values_len;   /* bytes of all values before compression; 0: not known */
    struct digest digest;  /* XXH3-128 of the whole file */
    struct digest *chunks; /* XXH3-128 of each PART_CHUNK_LEN, the last one shorter */
    uint32_t n_chunks;
};

struct version_desc {
    uint64_t version; /* its number; 0 while staged */
    uint64_t base;    /* number of the version this delta lies on; 0 for a full version */
    uint64_t
        checkpoint_of; /* of a full version: the one whose content it has; 0: built from inputs */
    struct schema schema;
    uint32_t n_levels;
    uint64_t n_keys;         /* live keys of the whole version (base and deltas folded) */
    uint64_t n_entries;      /* keys and tombstones in this version's newest level */
    char *task;              /* build task that made it */
    char *builder;           /* program and version */
    char *author;            /* user@host */
    char *created;           /* RFC 3339, UTC */
    char *source;            /* inputs, for people */
    struct part_desc *parts; /* n_parts = n_levels * schema.n_shards, level-major */
    size_t n_parts;
};

enum { PART_FILE_NAME_MAX = 64 };

/* "L00-S0000-<first 16 hex of digest>.part" */
void part_file_name(const struct part_desc *part, char out[PART_FILE_NAME_MAX]);

/* One part's member of version.json, for who keeps it elsewhere meanwhile. Decoding fills *out as far as it came: free(out->chunks).
 * Encoding returns NULL without memory. */
int part_desc_decode(struct json_at at, struct part_desc *out, struct err *err);
json_t *part_desc_encode(const struct part_desc *part);

/* Decodes and checks; name is used in error texts. *out is released by the caller. */
int version_desc_decode(const void *text, size_t len, const char *name, struct version_desc *out,
                        struct err *err);

/* Appends the canonical JSON text. */
int version_desc_encode(const struct version_desc *desc, struct buf *out, struct err *err);

void version_desc_release(struct version_desc *desc);

/* Total bytes of all parts. */
uint64_t version_desc_len(const struct version_desc *desc);

#endif
