/* SPDX-License-Identifier: Apache-2.0 */
/* store.json: made last when a store is initialised, so a store that has it is complete. */
#include "manifest/manifest_impl.h"

#include "base/json.h"
#include "base/scope.h"
#include "manifest/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { STORE_FORMAT = 1, STORE_JSON_MAX = 64 << 10 };

int manifest_random_hex(char out[RECORD_NONCE_LEN + 1], struct err *err)
{
    struct digest random;
    if (getrandom(random.b, sizeof random.b, 0) != sizeof random.b)
        return err_sys(err, -errno, "drawing a random number");
    digest_to_hex(&random, out);
    return 0;
}

static int write_store_json(struct store *store, struct err *err)
{
    char id[RECORD_NONCE_LEN + 1];
    int ret = manifest_random_hex(id, err);
    if (ret)
        return ret;
    scope_json json_t *json = json_object();
    struct buf text = {0};
    if (json_put_u64(json, "format", STORE_FORMAT) || json_put_string(json, "id", id) ||
        json_write(json, false, &text))
        ret = err_sys(err, -ENOMEM, "making store.json");
    else
        ret = store_put_new(store, "store.json", text.data, text.len, err);
    buf_release(&text);
    return ret;
}

int manifest_init_store(struct store *store, struct err *err)
{
    static const char *const dirs[] = {"log", "tables", "tasks", "nodes"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        int ret = store_mkdir(store, dirs[i], err);
        if (ret)
            return ret;
    }
    struct err local = {0};
    struct store_stat st;
    int ret = store_stat(store, "store.json", &st, &local);
    if (ret == -ENOENT)
        ret = write_store_json(store, &local);
    if (ret == -EEXIST)
        return 0;
    if (ret && err)
        *err = local;
    return ret;
}

int manifest_read_id(struct store *store, char id[RECORD_NONCE_LEN + 1], struct err *err)
{
    struct buf text = {0};
    scope_json json_t *json = NULL;
    const char *found = NULL;
    int ret = store_get(store, "store.json", STORE_JSON_MAX, &text, err);
    if (ret == -ENOENT)
        err_set(err, ret, "%s is no fkv store yet: it has no store.json; `fkv init` makes one",
                store_url(store));
    if (!ret)
        ret = json_parse(text.data, text.len, "store.json", &json, err);
    if (!ret)
        ret = json_check_format(json, "store.json", STORE_FORMAT, err);
    if (!ret)
        ret = json_get_string((struct json_at){json, "store.json"}, "id", RECORD_NONCE_LEN, &found,
                              err);
    struct digest id_bytes;
    if (!ret && digest_from_hex(found, &id_bytes))
        ret = err_set(err, -EBADMSG, "store.json: member \"id\": expected %d hex digits",
                      RECORD_NONCE_LEN);
    if (!ret)
        strcpy(id, found);
    buf_release(&text);
    return ret;
}
