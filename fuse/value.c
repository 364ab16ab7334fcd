/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/value.h"

#include "base/bytes.h"
#include "base/percent.h"

#include <errno.h>

static int u64_key_of(const char *name, struct value_key *out)
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

int value_key_of(const struct version *version, const char *name, struct value_key *out)
{
    const struct mem_table *mem = version_mem(version);
    size_t len = 0;
    if (!mem)
        return -ESTALE;
    if (mem_table_schema(mem)->key_type == KEY_U64)
        return u64_key_of(name, out);
    if (percent_decode(name, out->bytes, sizeof out->bytes, &len) || len == 0)
        return -ENOENT;
    out->len = (uint32_t)len;
    return 0;
}

int value_find(const struct version *version, const struct value_key *key, struct single *out)
{
    const struct mem_table *mem = version_mem(version);
    int ret = mem ? single_find(mem, key->bytes, key->len, out) : -ESTALE;
    return ret == -EBADMSG ? -EIO : ret;
}
