/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one entry of the manifest, as JSON and as a struct. docs/MANIFEST.md is normative.
 *
 * Threads: plain data. Memory: record_release() what decode filled.
 * Errors: decode: -EBADMSG with file, member, expected, found; -ENOTSUP for a newer format. encode: -EINVAL with the
 * member a caller filled wrongly. -ENOMEM.
 */
#ifndef FKV_MANIFEST_RECORD_H
#define FKV_MANIFEST_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "manifest/name.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RECORD_FORMAT = 1,
    RECORD_JSON_MAX = 1 << 20,
    RECORD_OPS_MAX = 1024,
    RECORD_TEXT_MAX = 1024, /* bytes of author and of reason */
    RECORD_NONCE_LEN = 32,  /* hex digits */
    RECORD_KEEP_MAX = 1000000,
};

/* Ten digits in a file's name. */
#define RECORD_SEQ_MAX 9999999999ULL

enum op_kind {
    OP_PUBLISH,    /* a version exists: candidate */
    OP_ACTIVATE,   /* becomes current at effective_at */
    OP_ROLLBACK,   /* an older version becomes current; the one left is quarantined */
    OP_QUARANTINE, /* cannot become current without force */
    OP_RELEASE,    /* ends a quarantine */
    OP_PIN,        /* a node (or label) stays at a version */
    OP_UNPIN,
    OP_TAG, /* a name for a version; keeps it from gc */
    OP_UNTAG,
    OP_RETIRE, /* may be collected; cannot become current any more */
    OP_FORGET, /* its files are gone (gc) */
    OP_KEEP,   /* how many former versions of the table gc and nodes keep */
};

struct op {
    enum op_kind kind;
    char table[TABLE_NAME_MAX + 1];
    uint64_t version;             /* all but UNPIN, UNTAG and KEEP */
    uint64_t from;                /* ROLLBACK: the version left */
    uint64_t base;                /* PUBLISH: of a delta, else 0 */
    uint64_t n_keys;              /* PUBLISH */
    uint64_t len;                 /* PUBLISH: bytes of all parts */
    struct digest digest;         /* PUBLISH: of version.json */
    int64_t effective_ns;         /* ACTIVATE, ROLLBACK: CLOCK_REALTIME, 0: at once */
    bool force;                   /* ACTIVATE, ROLLBACK: over a quarantine */
    bool canary;                  /* PIN: see pin_entry */
    uint32_t keep;                /* KEEP */
    char name[NODE_NAME_MAX + 1]; /* PIN, UNPIN: node, or "label:<label>"; TAG, UNTAG: the tag */
};

struct record {
    uint64_t seq;
    int64_t time_ns; /* CLOCK_REALTIME of the author */
    char nonce[RECORD_NONCE_LEN + 1];
    char *author; /* user@host */
    char *reason; /* may be empty */
    struct op *ops;
    size_t n_ops;
};

/* "publish" …; NULL for a number that is no kind. */
const char *op_kind_name(enum op_kind kind);

/* Are all members that this kind uses within their limits? -EINVAL names the first that is not. */
int op_check(const struct op *op, struct err *err);

int record_decode(const void *text, size_t len, const char *name, struct record *out,
                  struct err *err);
int record_encode(const struct record *record, struct buf *out, struct err *err);
void record_release(struct record *record);

#endif
