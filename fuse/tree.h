/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the shape of the mounted view, as arithmetic on inode numbers.
 *
 *   /                              ROOT
 *   /.fkvd/{status.json,metrics}   DAEMON_DIR, STATUS, METRICS
 *   /<table>/                      TABLE        table
 *   /<table>/{current,previous}    CURRENT, PREVIOUS
 *   /<table>/batch                 BATCH
 *   /<table>/<temporary link>      LINK         part: which one (see links.h)
 *   /<table>/v/                    VERSIONS
 *   /<table>/v/<id>/               VERSION      table, version
 *   /<table>/v/<id>/batch …        VERSION_BATCH, VERSION_JSON, KEYS, PARTS
 *   /<table>/v/<id>/parts/<name>   PART         part: its index
 *   /<table>/v/<id>/key/<key>      KEY          its own numbering (see keyfile.h)
 *
 * An inode number is kind:5 | table:12 | part:18 | version:29, so nothing has to be remembered for
 * it. The root is 1, as FUSE wants. A KEY has a serial number in its lower 59 bits instead.
 *
 * Threads: pure functions. Memory: none. Errors: false, or 0 for no such name.
 */
#ifndef FKV_FUSE_TREE_H
#define FKV_FUSE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tree_kind {
    TREE_ROOT,
    TREE_DAEMON_DIR,
    TREE_STATUS,
    TREE_METRICS,
    TREE_TABLE,
    TREE_CURRENT,
    TREE_PREVIOUS,
    TREE_BATCH,
    TREE_LINK,
    TREE_VERSIONS,
    TREE_VERSION,
    TREE_VERSION_BATCH,
    TREE_VERSION_JSON,
    TREE_KEYS,
    TREE_PARTS,
    TREE_PART,
    TREE_KEY,
    TREE_KIND_COUNT,
};

enum {
    TREE_ROOT_INO = 1,
    TREE_TABLES_MAX = 1 << 12,
    TREE_PARTS_MAX = 1 << 18,
    TREE_LINK_TEXT_MAX = 24, /* "v/<id>" and a NUL */
};
#define TREE_VERSION_MAX ((UINT64_C(1) << 29) - 1)
#define TREE_SERIAL_MAX  ((UINT64_C(1) << 59) - 1)

struct tree_node {
    enum tree_kind kind;
    uint32_t table;
    uint32_t part;
    uint64_t version;
    uint64_t serial; /* KEY only; the others are 0 then */
};

/* The number of a node whose fields are within their limits, and back; false for a number that no
 * node has. */
uint64_t tree_ino(const struct tree_node *node);
bool tree_node_of(uint64_t ino, struct tree_node *out);

bool tree_is_dir(enum tree_kind kind);
bool tree_is_link(enum tree_kind kind);
bool tree_is_lookup(enum tree_kind kind); /* a file that answers batches */

/* The fixed names: the kind of a child of that name of a directory of that kind, and the name of
 * such a child. ROOT's are .fkvd only: tables are the node's business, and so are version numbers,
 * parts and keys. */
bool tree_child_kind(enum tree_kind parent, const char *name, enum tree_kind *out);
const char *tree_name(enum tree_kind kind); /* NULL when its name is not fixed */

/* A version number in its one spelling: digits, no leading zero, 1 to TREE_VERSION_MAX. */
bool tree_version_of(const char *name, uint64_t *out);

/* Exactly "v/<number>": what `current` may be made to point at. */
bool tree_target_of(const char *target, uint64_t *version);
void tree_target_text(uint64_t version, char out[TREE_LINK_TEXT_MAX]);

#endif
