/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the log. A listing is taken once, at open: it finds the snapshots, and a gap between records, which probing
 * one number after the other could not tell from the end. After that each refresh only asks for the next number.
 */
#include "manifest/manifest_impl.h"

#include "base/json.h"
#include "base/scope.h"
#include "manifest/log_name.h"
#include "manifest/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { STORE_FORMAT = 1, STORE_JSON_MAX = 64 << 10 };

typedef unsigned long long ull;

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

static int read_store_json(struct store *store, char id[RECORD_NONCE_LEN + 1], struct err *err)
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

int manifest_read_record(struct manifest *manifest, uint64_t seq, struct record *out,
                         struct err *err)
{
    char path[LOG_NAME_MAX];
    struct buf text = {0};
    struct record record = {0};
    if (seq < 1 || seq > RECORD_SEQ_MAX)
        return err_set(err, -ENOENT, "there is no record %llu", (ull)seq);
    log_record_path(seq, path);
    int ret = store_get(manifest->store, path, RECORD_JSON_MAX, &text, err);
    if (ret == -E2BIG)
        ret = err_wrap(err, -EBADMSG, "corrupt");
    if (!ret)
        ret = record_decode(text.data, text.len, path, &record, err);
    buf_release(&text);
    if (!ret && record.seq != seq) {
        ret = err_set(err, -EBADMSG, "%s: member \"seq\": expected %llu, found %llu", path,
                      (ull)seq, (ull)record.seq);
        record_release(&record);
    }
    if (!ret)
        *out = record;
    return ret;
}

/* One record; 1 when it was folded, 0 at the end of the log. */
static int fold_next(struct manifest *manifest, const char *nonce, uint64_t *own, struct err *err)
{
    struct record record = {0};
    struct err local = {0};
    uint64_t seq = manifest->state.seq + 1;
    int ret = manifest_read_record(manifest, seq, &record, &local);
    if (ret == -ENOENT)
        return 0;
    if (!ret) {
        if (nonce && strcmp(nonce, record.nonce) == 0)
            *own = seq;
        ret = state_apply(&manifest->state, &record, &local);
        record_release(&record);
        if (ret && ret != -ENOMEM) {
            char path[LOG_NAME_MAX];
            log_record_path(seq, path);
            ret = err_wrap(&local, -EBADMSG, "%s breaks a rule", path);
        }
    }
    if (ret) {
        if (err)
            *err = local;
        return ret;
    }
    return 1;
}

int manifest_fold(struct manifest *manifest, const char *nonce, uint64_t *own, size_t *n_new,
                  struct err *err)
{
    size_t n = 0;
    int ret;
    while ((ret = fold_next(manifest, nonce, own, err)) > 0)
        n++;
    if (n_new)
        *n_new = n;
    return ret;
}

int manifest_refresh(struct manifest *manifest, size_t *n_new, struct err *err)
{
    return manifest_fold(manifest, NULL, NULL, n_new, err);
}

/* What a listing of log/ tells. */
struct log_index {
    uint64_t last;       /* highest record; 0: none */
    uint64_t *snapshots; /* those no newer than last */
    size_t n_snapshots;
};

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

static int index_read(struct store *store, struct log_index *out, struct err *err)
{
    struct store_list list = {0};
    int ret = store_list(store, "log", &list, err);
    if (ret)
        return ret;
    struct log_index index = {.snapshots = calloc(list.n_names + 1, sizeof *index.snapshots)};
    if (!index.snapshots) {
        store_list_release(&list);
        return err_sys(err, -ENOMEM, "%s/log", store_url(store));
    }
    for (size_t i = 0; i < list.n_names; i++) {
        uint64_t seq = log_record_seq(list.names[i]);
        uint64_t snapshot = log_snapshot_seq(list.names[i]);
        if (seq > index.last)
            index.last = seq;
        if (snapshot)
            index.snapshots[index.n_snapshots++] = snapshot;
    }
    store_list_release(&list);
    qsort(index.snapshots, index.n_snapshots, sizeof *index.snapshots, descending);
    *out = index;
    return 0;
}

static int read_snapshot(struct manifest *manifest, uint64_t seq)
{
    char path[LOG_NAME_MAX];
    struct buf text = {0};
    struct state state = {0};
    log_snapshot_path(seq, path);
    int ret = store_get(manifest->store, path, STATE_JSON_MAX, &text, NULL);
    if (!ret)
        ret = state_decode(text.data, text.len, path, &state, NULL);
    buf_release(&text);
    if (!ret && state.seq != seq) {
        state_release(&state);
        ret = -EBADMSG;
    }
    if (!ret)
        manifest->state = state;
    return ret;
}

/* The newest good one. A bad one is only slower, so none is an error. One ahead of the log is of another log. */
static void load_snapshot(struct manifest *manifest, const struct log_index *index)
{
    for (size_t i = 0; i < index->n_snapshots; i++) {
        uint64_t seq = index->snapshots[i];
        if (seq <= index->last && read_snapshot(manifest, seq) == 0) {
            manifest->snapshot_seq = seq;
            return;
        }
    }
}

static int load(struct manifest *manifest, struct err *err)
{
    struct log_index index = {0};
    int ret = read_store_json(manifest->store, manifest->id, err);
    if (!ret)
        ret = index_read(manifest->store, &index, err);
    if (!ret) {
        load_snapshot(manifest, &index);
        ret = manifest_refresh(manifest, NULL, err);
    }
    if (!ret && manifest->state.seq < index.last)
        ret = err_set(err, -EBADMSG,
                      "%s/log: record %llu is missing, though there is a record %llu; restore it",
                      store_url(manifest->store), (ull)manifest->state.seq + 1, (ull)index.last);
    free(index.snapshots);
    return ret;
}

int manifest_open(struct store *store, struct manifest **out, struct err *err)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    if (!manifest)
        return err_sys(err, -ENOMEM, "opening the manifest");
    manifest->store = store;
    int ret = load(manifest, err);
    if (ret) {
        manifest_close(manifest);
        return ret;
    }
    *out = manifest;
    return 0;
}

void manifest_close(struct manifest *manifest)
{
    if (!manifest)
        return;
    state_release(&manifest->state);
    free(manifest);
}

const struct state *manifest_state(const struct manifest *manifest)
{
    return &manifest->state;
}

const char *manifest_store_id(const struct manifest *manifest)
{
    return manifest->id;
}
