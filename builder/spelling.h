/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spelling: how far a word is from one that is known, for "did you mean".
 *
 * Threads: pure. Memory: none. Errors: none.
 */
#ifndef FKV_BUILDER_SPELLING_H
#define FKV_BUILDER_SPELLING_H

#include <stddef.h>

enum { SPELLING_FAR = 99 };

/* Letters to insert, remove, change or swap with their neighbour; SPELLING_FAR when the words have too little in common. */
size_t spelling_distance(const char *word, const char *known);

#endif
