/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_out: the bytes of a part on their way to its sink, front to back.
 *
 * It knows where it is, pads, writes sections, and can take a digest of everything after some
 * point. Internal to the writers of format.
 *
 * Threads: one at a time. Memory: a stage of 1 MiB. Errors: what the sink returns, -ENOMEM.
 */
#ifndef FKV_FORMAT_PART_OUT_H
#define FKV_FORMAT_PART_OUT_H

#include "base/buf.h"
#include "base/hash.h"
#include "format/part_layout.h"
#include "format/part_writer.h"

struct part_out {
    struct part_sink sink;
    uint64_t off;                /* bytes given so far */
    struct buf stage;            /* of them, not yet given to the sink */
    struct digest_state *digest; /* NULL until part_out_digest_begin() */
};

void part_out_init(struct part_out *out, struct part_sink sink);
void part_out_release(struct part_out *out);

int part_out_add(struct part_out *out, const void *data, size_t len, struct err *err);
/* Zero bytes up to a multiple of align, a power of two of at most PART_ALIGN. */
int part_out_pad(struct part_out *out, uint64_t align, struct err *err);
/* A section: aligned to PART_SECTION_ALIGN, its place told in *section. */
int part_out_section(struct part_out *out, const void *data, size_t len,
                     struct part_section *section, struct err *err);
int part_out_flush(struct part_out *out, struct err *err);

/* What is added from now on goes into a digest, which end gives and ends. */
int part_out_digest_begin(struct part_out *out, struct err *err);
void part_out_digest_end(struct part_out *out, struct digest *digest);

#endif
