/* SPDX-License-Identifier: Apache-2.0 */
/*
 * temp_dir: a directory of a test's own, removed with everything in it.
 *
 * Threads: any. Memory: the caller's buffer. Errors: aborts.
 */
#ifndef FKV_TESTS_TEMP_DIR_H
#define FKV_TESTS_TEMP_DIR_H

enum { TEMP_DIR_MAX = 128 };

/* Below $TMPDIR, or /tmp. */
void temp_dir_make(char out[TEMP_DIR_MAX]);
/* In memory where the machine has /dev/shm: syncing costs nothing, so races are closer. */
void temp_dir_make_fast(char out[TEMP_DIR_MAX]);
void temp_dir_remove(const char *dir);

#endif
