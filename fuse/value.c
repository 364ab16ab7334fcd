/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/value.h"

#include "base/bytes.h"
#include "base/percent.h"
#include "query/batch.h"

#include <errno.h>

enum { BODY_GUESS = 4096 };

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
    if ((uint32_t)mem_table_schema(mem)->key_type == FKV_KEY_U64)
        return u64_key_of(name, out);
    if (percent_decode(name, out->bytes, sizeof out->bytes, &len) || len == 0)
        return -ENOENT;
    out->len = (uint32_t)len;
    return 0;
}

/* Runs a batch of one key into a new blob of cap bytes; -ENOSPC with *needed. */
static int read_once(const struct mem_table *mem, const struct batch_request *request, size_t cap,
                     struct value *out, uint64_t *needed)
{
    struct batch_result result = {0};
    struct blob *body = blob_new(cap);
    if (!body)
        return -ENOMEM;
    int ret = batch_run(mem, request, body->data, cap, &result);
    if (!ret && body->data[0] != BATCH_FOUND)
        ret = body->data[0] == BATCH_ABSENT ? -ENOENT : -EIO;
    if (ret) {
        *needed = result.len;
        blob_unref(body);
        return ret;
    }
    out->body = body;
    out->data = body->data + result.values_off;
    out->len = result.stride;
    if (result.locs_off) {
        const uint8_t *loc = body->data + result.locs_off;
        out->data += 8 * (uint64_t)load_le32(loc);
        out->len = load_le32(loc + 4);
    }
    return 0;
}

int value_read(const struct version *version, const struct value_key *key, struct value *out)
{
    const struct mem_table *mem = version_mem(version);
    uint8_t keys[sizeof(uint32_t) + VALUE_KEY_MAX];
    uint64_t needed = 0;
    if (!mem)
        return -ESTALE;
    const struct schema *schema = mem_table_schema(mem);
    size_t head = (uint32_t)schema->key_type == FKV_KEY_U64 ? 0 : sizeof(uint32_t);
    if (head)
        store_le32(keys, key->len);
    memcpy(keys + head, key->bytes, key->len);
    const struct batch_request request = {
        .n_keys = 1,
        .keys = keys,
        .keys_len = head + key->len,
        .form = (uint32_t)schema->elem == FKV_ELEM_BYTES ? BATCH_AS_STORED : BATCH_AS_F32,
    };
    int ret = read_once(mem, &request, BODY_GUESS, out, &needed);
    if (ret == -ENOSPC)
        ret = read_once(mem, &request, needed, out, &needed);
    if (!ret && request.form == BATCH_AS_STORED && schema->value_len)
        out->len = schema->value_len; /* a stride may be longer */
    return ret;
}

void value_release(struct value *value)
{
    blob_unref(value->body);
    *value = (struct value){0};
}
