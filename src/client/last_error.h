/* SPDX-License-Identifier: Apache-2.0 */
/*
 * last_error: the sentence behind fkv_last_error().
 *
 * Threads: each has its own. Memory: thread-local, fixed size.
 */
#ifndef FKV_CLIENT_LAST_ERROR_H
#define FKV_CLIENT_LAST_ERROR_H

#include "base/err.h"

/* Keeps err's sentence (or the system's text for code) for fkv_last_error(), and returns code. */
int last_error_set(int code, const struct err *err);

#endif
