/* SPDX-License-Identifier: Apache-2.0 */
#include "temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void temp_dir_make(char out[TEMP_DIR_MAX])
{
    const char *base = getenv("TMPDIR");
    int len = snprintf(out, TEMP_DIR_MAX, "%s/fkv-test-XXXXXX", base ? base : "/tmp");
    if (len >= TEMP_DIR_MAX || !mkdtemp(out))
        abort();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    return remove(path);
}

void temp_dir_remove(const char *dir)
{
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        abort();
}
