/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/seal.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>

static const char open_text[] = ",\"checksum\":\"";
static const char close_text[] = "\"}\n";

enum {
    OPEN_LEN = sizeof open_text - 1,
    CLOSE_LEN = sizeof close_text - 1,
    SEAL_LEN = OPEN_LEN + DIGEST_HEX_LEN + CLOSE_LEN,
};

int seal_write(const json_t *object, struct buf *out)
{
    size_t before = out->len;
    int ret = json_write(object, false, out);
    if (ret)
        return ret;
    out->len -= 2; /* "}\n" */
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    digest_of(out->data + before, out->len - before, &digest);
    digest_to_hex(&digest, hex);
    ret = buf_printf(out, "%s%s%s", open_text, hex, close_text);
    if (ret)
        out->len = before;
    return ret;
}

int seal_parse(const void *text, size_t len, const char *name, json_t **out, struct err *err)
{
    const char *seal = len > SEAL_LEN ? (const char *)text + len - SEAL_LEN : "";
    char hex[DIGEST_HEX_LEN + 1] = "";
    struct digest found;
    struct digest expected;
    if (len > SEAL_LEN && memcmp(seal, open_text, OPEN_LEN) == 0 &&
        memcmp(seal + OPEN_LEN + DIGEST_HEX_LEN, close_text, CLOSE_LEN) == 0)
        memcpy(hex, seal + OPEN_LEN, DIGEST_HEX_LEN);
    if (digest_from_hex(hex, &found))
        return err_set(err, -EBADMSG,
                       "%s: expected a text that ends in its checksum, found %zu bytes that do not",
                       name, len);
    digest_of(text, len - SEAL_LEN, &expected);
    if (!digest_equal(&found, &expected)) {
        char right[DIGEST_HEX_LEN + 1];
        digest_to_hex(&expected, right);
        return err_set(err, -EBADMSG, "%s: corrupt: its checksum says %s, its bytes give %s", name,
                       hex, right);
    }
    return json_parse(text, len, name, out, err);
}

int json_check_format(const json_t *object, const char *name, uint32_t ours, struct err *err)
{
    uint32_t format = 0;
    int ret = json_get_u32((struct json_at){object, name}, "format", UINT32_MAX, &format, err);
    if (ret)
        return ret;
    if (format < 1)
        return err_set(err, -EBADMSG, "%s: member \"format\": there is no format 0", name);
    if (format > ours)
        return err_set(err, -ENOTSUP, "%s: format %u is newer than this program's %u; upgrade it",
                       name, format, ours);
    return 0;
}
