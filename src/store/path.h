/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path: names inside a store, checked before they reach a backend.
 *
 * A path is one to PATH components joined by '/'. A component is 1 to 255 bytes, neither "." nor "..", without
 * control characters. So a checked path can neither climb out of the store nor spoil a terminal.
 *
 * Threads: pure functions, but for the random number of a temporary name.
 * Memory: none. Errors: -EINVAL with the rule.
 */
#ifndef FKV_STORE_PATH_H
#define FKV_STORE_PATH_H

#include "store/store.h"

enum { PATH_COMPONENT_MAX = 255 };

int path_check(const char *path, struct err *err);

/* The last component, within path. */
const char *path_leaf(const char *path);

/* A new temporary name in the directory of path; -EINVAL when it would be too long, or getrandom's error. */
int path_temporary(const char *path, char out[STORE_PATH_MAX], struct err *err);

/* "dir/leaf" into out; -EINVAL when it would be too long. */
int path_join(const char *dir, const char *leaf, char out[STORE_PATH_MAX], struct err *err);

#endif
