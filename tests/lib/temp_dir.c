/* SPDX-License-Identifier: Apache-2.0 */
#include "temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void make_in(const char *base, char out[TEMP_DIR_MAX])
{
    int len = snprintf(out, TEMP_DIR_MAX, "%s/fkv-test-XXXXXX", base);
    if (len >= TEMP_DIR_MAX || !mkdtemp(out))
        abort();
}

void temp_dir_make(char out[TEMP_DIR_MAX])
{
    const char *base = getenv("TMPDIR");
    make_in(base ? base : "/tmp", out);
}

void temp_dir_make_fast(char out[TEMP_DIR_MAX])
{
    if (access("/dev/shm", W_OK | X_OK) == 0)
        make_in("/dev/shm", out);
    else
        temp_dir_make(out);
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
