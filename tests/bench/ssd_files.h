/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssd_files: a `blk` or `idx` version from its directory, opened in this process as the daemon
 * opens it: tails in memory, blocks in open files, no cache.
 *
 * Threads: immutable once open. Memory: until the program ends. Failures end the program.
 */
#ifndef FKV_TESTS_BENCH_SSD_FILES_H
#define FKV_TESTS_BENCH_SSD_FILES_H

#include "format/version.h"
#include "node/disk_table.h"

struct ssd_files {
    struct version_desc desc;
    struct disk_shared shared;
    struct disk_part **parts;
    struct disk_table *table;
};

/* dir has version.json and parts/. */
void ssd_files_open(struct ssd_files *files, const char *dir);

/* What the parts are made of, as one JSON object. */
void ssd_files_print(const struct ssd_files *files);

#endif
