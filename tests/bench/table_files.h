/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_files: a version's part files from the store's directory, loaded into this process as the
 * daemon loads them.
 *
 * Threads: immutable once open. Memory: table_files_close(). Failures end the program.
 */
#ifndef FKV_TESTS_BENCH_TABLE_FILES_H
#define FKV_TESTS_BENCH_TABLE_FILES_H

#include "format/mem_table.h"
#include "format/version.h"
#include "io/load.h"

struct table_files {
    struct version_desc desc;
    struct memory *memory;
    struct part **parts;
    struct mem_table *table;
};

/* dir has version.json and parts/. */
void table_files_open(struct table_files *files, const char *dir);
void table_files_close(struct table_files *files);

#endif
