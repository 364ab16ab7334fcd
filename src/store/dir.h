/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir: the files of the directory backend (dir.c): reading by offset, appending through write_behind.
 *
 * Threads: a file belongs to one thread at a time. Memory: dir_file_close() frees and closes.
 * Errors: -errno of the system call.
 */
#ifndef FKV_STORE_DIR_H
#define FKV_STORE_DIR_H

#include "store/backend.h"

/* Takes fd over on success. len is what it holds now. */
int dir_file_new(int fd, uint64_t len, struct backend_file **out);
void dir_file_close(struct backend_file *file);
uint64_t dir_file_len(const struct backend_file *file);
int dir_file_read(struct backend_file *file, uint64_t off, void *data, size_t len, size_t *n_read,
                  struct err *err);
void dir_file_read_direct(struct backend_file *file);
int dir_file_append(struct backend_file *file, const void *data, size_t len, struct err *err);
int dir_file_sync(struct backend_file *file, struct err *err);

#endif
