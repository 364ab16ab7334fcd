/* SPDX-License-Identifier: Apache-2.0 */
/*
 * percent: any bytes as one path component, and back.
 *
 * Letters, digits and "-_~" stand for themselves, "." too unless it comes first; every other byte
 * is %XX. So no text is "." or "..", none holds '/' or NUL, and one key has one canonical text.
 * Decoding accepts any spelling.
 *
 * Threads: pure functions. Memory: none.
 * Errors: -EINVAL for text that is no such spelling, -ENOSPC when the output does not fit.
 */
#ifndef FKV_BASE_PERCENT_H
#define FKV_BASE_PERCENT_H

#include <stddef.h>
#include <stdint.h>

/* Writes the text and a NUL; 3 * len + 1 bytes always suffice. */
int percent_encode(const void *data, size_t len, char *text, size_t cap);

/* Writes the bytes; *len says how many. strlen(text) bytes always suffice. */
int percent_decode(const char *text, uint8_t *data, size_t cap, size_t *len);

#endif
