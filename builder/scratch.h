/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch: a file for spilled runs that has no name, so nothing is left behind however the build ends.
 *
 * Written with O_DIRECT where the file system has it: spilling must not push everything else out of the page cache, and where a
 * cgroup bounds memory, pages that wait to be written count in it and cannot be given back in time: the process would be killed.
 * Offsets, lengths and buffers are multiples of SCRATCH_ALIGN.
 *
 * Threads: one appends; any number read what was appended before. Memory: none.
 * Errors: -ENOSPC, -EIO … with the directory and how to choose another.
 */
#ifndef FKV_BUILDER_SCRATCH_H
#define FKV_BUILDER_SCRATCH_H

#include "builder/run_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCRATCH_ALIGN = 4096 };

struct scratch {
    struct run_file file; /* how runs see it; its len is the file's */
    int fd;
    const char *dir; /* borrowed */
};

/* Where scratch files go: dir; when it is NULL $TMPDIR, or /var/tmp. */
const char *scratch_dir(const char *dir);

/* dir as above. */
int scratch_open(struct scratch *scratch, const char *dir, struct err *err);
void scratch_close(struct scratch *scratch);
int scratch_append(struct scratch *scratch, const void *data, size_t len, struct err *err);
int scratch_read(const struct scratch *scratch, uint64_t off, void *data, size_t len,
                 struct err *err);

#endif
