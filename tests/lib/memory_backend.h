/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_backend: a store that is a list of names in memory. Same rules as a directory, no disk.
 *
 * Threads: any; one lock. Memory: closed by the store that takes it over. Errors: as the directory's.
 */
#ifndef FKV_TESTS_MEMORY_BACKEND_H
#define FKV_TESTS_MEMORY_BACKEND_H

#include "store/backend.h"

struct backend *memory_backend_new(void);

#endif
