/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing_malloc: the nth allocation of the code under test gives nothing.
 *
 * The linker sends malloc, calloc, realloc, strdup and aligned_alloc of the program here (shared libraries keep their own, but for
 * Jansson, which failing_malloc_arm() hooks).
 *
 * Threads: one at a time. Errors: none.
 */
#ifndef FKV_TESTS_FAILING_MALLOC_H
#define FKV_TESTS_FAILING_MALLOC_H

#include <stdbool.h>

/* From now on the nth allocation fails (1: the next). */
void failing_malloc_arm(unsigned nth);
/* No more failures; true when there was one. */
bool failing_malloc_disarm(void);

#endif
