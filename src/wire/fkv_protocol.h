/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fkv_protocol.h: the batch lookup protocol of fkv, version 1. docs/PROTOCOL.md is normative; this
 * header is its only C definition. libfkv speaks it; include it directly only to write another
 * client.
 *
 * A lookup file (<table>/batch follows `current`; <table>/v/<id>/batch is pinned) answers in three
 * ways:
 *
 *   1. shared memory   FKV_IOC_ATTACH once, then FKV_IOC_LOOKUP a batch: keys are read from, and the
 *                      answer is written to, the client's memfd (sealed against shrinking); offsets
 *                      count from its start
 *   2. write, read     one write() of request + keys, then read() until it returns 0: reply + body
 *   3. inline ioctl    FKV_IOC_INLINE with both in one buffer of FKV_INLINE_MAX bytes
 *
 * In 2 and 3 offsets count from the start of the message; keys_off is at least
 * sizeof(struct fkv_lookup). All numbers are little-endian.
 */
#ifndef FKV_PROTOCOL_H
#define FKV_PROTOCOL_H

#include <stdint.h>
#include <sys/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FKV_PROTOCOL_VERSION 1u
#define FKV_MAGIC            0x31564b46u /* "FKV1" */

#define FKV_KEYS_MAX    1048576u     /* keys in one batch */
#define FKV_ARENA_MAX   (4ull << 30) /* bytes of one arena */
#define FKV_INLINE_MAX  16383u       /* the FUSE limit on an ioctl's argument */
#define FKV_MESSAGE_MAX (1u << 20)   /* bytes of one written request */
#define FKV_BODY_MAX    (64u << 20)  /* bytes of the body of a reply that is read; else -ENOSPC */

/* Status of one key. */
#define FKV_STATUS_FOUND  0u
#define FKV_STATUS_ABSENT 1u
#define FKV_STATUS_FAILED 2u /* the value could not be read (SSD tables) */

/* fkv_lookup.flags */
#define FKV_FORM_MASK     0x3u /* how vectors come back */
#define FKV_FORM_STORED   0x0u
#define FKV_FORM_F32      0x1u
#define FKV_WANT_MASK     0xcu /* which version may answer */
#define FKV_WANT_ANY      0x0u
#define FKV_WANT_EXACT    0x4u  /* only `version`, else -ESTALE */
#define FKV_WANT_AT_LEAST 0x8u  /* `version` or newer, else -EAGAIN */
#define FKV_SCAN          0x10u /* entries in order of key, of an idx table; see struct fkv_record */

/* Key and value types (struct fkv_info). */
#define FKV_KEY_U64    1u
#define FKV_KEY_BYTES  2u
#define FKV_ELEM_BYTES 0u
#define FKV_ELEM_F32   1u
#define FKV_ELEM_F16   2u
#define FKV_ELEM_BF16  3u
#define FKV_ELEM_I8    4u

/* What answers at this file now. 64 bytes. */
struct fkv_info {
    uint32_t magic;
    uint32_t protocol;
    uint64_t version; /* current (or pinned) version; 0: the table has none yet */
    uint64_t n_keys;
    uint32_t key_type;
    uint32_t elem;
    uint32_t dim;       /* elements of a vector; 0 for bytes */
    uint32_t value_len; /* bytes of a stored value when fixed; 0: they vary */
    uint64_t daemon_id; /* changes when the daemon restarts */
    uint64_t reserved[2];
};

/* Names the arena: a memfd of the calling process with F_SEAL_SHRINK. Again after it has grown. 16
 * bytes. */
struct fkv_attach {
    uint32_t magic;
    int32_t fd;
    uint64_t len; /* bytes to map, at most the file's length; a multiple of 4096 */
};

/*
 * One batch: request in the first half, reply in the second. 128 bytes.
 *
 * keys  u64: n_keys * 8 bytes. bytes: le32 ends[n_keys] (running end of each key), then the bytes
 *       of all keys.
 * body  at out_off: status u8[n_keys]; locs {u32 off8, u32 len}[n_keys] at locs_off when values
 *       vary; values at values_off. Value i: fixed: values_off + i * stride, value_len bytes;
 *       varying: values_off + 8 * off8, len bytes.
 */
struct fkv_lookup {
    uint32_t magic;
    uint32_t flags;
    uint64_t version;     /* see FKV_WANT_* */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC of this host; 0: none */
    uint32_t n_keys;
    uint32_t key_type;
    uint64_t keys_off;
    uint64_t keys_len;
    uint64_t out_off; /* 1: a multiple of 64; 2 and 3: ignored, the body follows the reply */
    uint64_t out_len;
    /* reply; the client sends zeros */
    int32_t error; /* 0 or -errno of the whole batch */
    uint32_t n_found;
    uint64_t served;     /* the version that answered, the same for every key */
    uint64_t values_off; /* this and locs_off: from out_off */
    uint64_t locs_off;   /* 0: values are fixed */
    uint32_t stride;     /* 0: values vary */
    uint32_t value_len;  /* bytes of a value when fixed; the rest of a stride is zeros */
    uint64_t body_len;   /* bytes written at out_off; with -ENOSPC: bytes needed */
    uint64_t has_more;   /* FKV_SCAN: 1 when the range goes on behind the last record */
    uint64_t reserved1;
};

/*
 * A scan's request: n_keys is the most records wanted, at least 1; keys are the bounds, from <= key
 * < to. u64: le64 from, le64 to (0: no end). bytes: le32 ends[2], then both, up to 256 bytes each; an
 * empty `to`: no end. Its body is n_found records: this head, the key (u64: 8 bytes), zeros to a
 * multiple of 8, the value, zeros to a multiple of 8. 8 bytes.
 */
struct fkv_record {
    uint32_t value_len; /* 0 when FAILED */
    uint8_t key_len;
    uint8_t status; /* FOUND or FAILED */
    uint16_t zero;
};

/* Only for arithmetic on the reply's locs. */
struct fkv_loc {
    uint32_t off8;
    uint32_t len;
};

#define FKV_IOC_INFO   _IOR('F', 0x51, struct fkv_info)
#define FKV_IOC_ATTACH _IOW('F', 0x52, struct fkv_attach)
#define FKV_IOC_LOOKUP _IOWR('F', 0x53, struct fkv_lookup)
#define FKV_IOC_INLINE _IOC(_IOC_READ | _IOC_WRITE, 'F', 0x54, FKV_INLINE_MAX)

#ifdef __cplusplus
}
#endif

#endif
