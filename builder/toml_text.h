/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml_text: TOML made fit for its parser (toml.h), which is not made for any bytes, and its answers made right again.
 *
 * Threads: pure functions. Memory: none is kept. Errors: -EBADMSG with the document's name, line and column; -ENOMEM.
 */
#ifndef FKV_BUILDER_TOML_TEXT_H
#define FKV_BUILDER_TOML_TEXT_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* Appends text to out as the parser may have it; refuses what nests too deep, is not UTF-8, or has letters of plane 15. */
int toml_text_prepare(const char *text, size_t len, const char *name, struct buf *out,
                      struct err *err);

/* Appends what the parser made of a prepared text, with the letters it had before. */
int toml_text_restore(const char *text, size_t len, struct buf *out);

#endif
