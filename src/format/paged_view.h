/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged_view: opening the tail of a `blk` or `idx` part. Internal to format.
 *
 * Threads: one at a time. Memory: sections point into the tail.
 */
#ifndef FKV_FORMAT_PAGED_VIEW_H
#define FKV_FORMAT_PAGED_VIEW_H

#include "format/filter.h"
#include "format/paged.h"
#include "format/paged_layout.h"

struct paged_tail {
    const uint8_t *memory;
    uint64_t off; /* of the tail in the part */
    uint64_t len; /* without the footer */
    const char *name;
    const struct paged_footer *footer;
    struct paged_info info;
};

/* Checks footer, memory and digest. memory[0, tail_len) is the end of a part of part_len bytes. */
int paged_tail_open(const void *memory, uint64_t tail_len, uint64_t part_len, const char *name,
                    enum paged_kind kind, struct paged_tail *tail, struct err *err);

/* Section i, whose place must lie in the tail. */
int paged_section(const struct paged_tail *tail, unsigned i, const char *what,
                  struct paged_bytes *out, struct err *err);
/* The same, of exactly len bytes. */
int paged_section_of(const struct paged_tail *tail, unsigned i, const char *what, uint64_t len,
                     const uint8_t **out, struct err *err);

/* The part's filter, to be released, and its bytes; no places and 0 when it has none. */
int paged_filter_open(const struct paged_tail *tail, struct filter *filter, uint64_t *len,
                      struct err *err);

#endif
