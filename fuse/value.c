/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/value.h"

#include "base/bytes.h"
#include "base/percent.h"
#include "fuse/disk.h"
#include "query/disk_batch.h"

#include <errno.h>

static int u64_key_of(const char *name, struct file_key *out)
{
    uint64_t number = 0;
    if (name[0] == 0 || (name[0] == '0' && name[1]))
        return -ENOENT;
    for (const char *c = name; *c; c++) {
        if (*c < '0' || *c > '9' || !mul_u64(number, 10, &number) ||
            !add_u64(number, (uint64_t)(*c - '0'), &number))
            return -ENOENT;
    }
    out->len = sizeof number;
    store_le64(out->bytes, number);
    return 0;
}

int value_key_of(const struct version *version, const char *name, struct file_key *out)
{
    size_t len = 0;
    if (!version_is_loaded(version))
        return -ESTALE;
    if (version_schema(version)->key_type == KEY_U64)
        return u64_key_of(name, out);
    if (percent_decode(name, out->bytes, sizeof out->bytes, &len) || len == 0)
        return -ENOENT;
    out->len = (uint32_t)len;
    return 0;
}

int value_find(const struct version *version, const struct file_key *key, struct single *out)
{
    const struct mem_table *mem = version_mem(version);
    int ret = mem ? single_find(mem, key->bytes, key->len, out) : -ESTALE;
    return ret == -EBADMSG ? -EIO : ret;
}

bool value_is_on_disk(const struct version *version)
{
    return version_disk(version) != NULL;
}

int value_read(const struct version *version, const struct file_key *key,
               struct disk_worker *worker, struct buf *out)
{
    const struct disk_table *table = version_disk(version);
    if (!table)
        return -ESTALE;
    return worker ? disk_single_find(table, worker, key->bytes, key->len, out) : DISK_NEEDED;
}

static int find_len_on_disk(const struct version *version, const struct file_key *key,
                            struct disk_worker *worker, uint64_t *len)
{
    struct buf value = {0};
    int ret = value_read(version, key, worker, &value);
    if (!ret)
        *len = value.len;
    buf_release(&value);
    return ret;
}

int value_find_len(const struct version *version, const struct file_key *key,
                   struct disk_worker *worker, uint64_t *len)
{
    struct single value = {0};
    if (value_is_on_disk(version))
        return find_len_on_disk(version, key, worker, len);
    int ret = value_find(version, key, &value);
    if (!ret)
        *len = value.len;
    return ret;
}
