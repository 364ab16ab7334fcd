/* SPDX-License-Identifier: Apache-2.0 */
/*
 * author: who is doing this, for records and version.json.
 *
 * Threads: any. Memory: the caller's buffer. Errors: none; what cannot be found out reads "uid-<n>" or "unknown".
 */
#ifndef FKV_MANIFEST_AUTHOR_H
#define FKV_MANIFEST_AUTHOR_H

enum { AUTHOR_MAX = 256 };

/* "user@host" of this process, printable ASCII. */
void author_current(char out[AUTHOR_MAX]);

#endif
