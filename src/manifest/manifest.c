/* SPDX-License-Identifier: Apache-2.0 */
/* Following the log: each refresh asks for the next number until it is missing. Where to begin is manifest_load.c's. */
#include "manifest/manifest_impl.h"

#include "manifest/log_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Clocks drift by some 50 microseconds a second at most: 3 ms in this time. */
#define CLOCK_KEPT_NS (60 * 1000000000LL)
/* As long as none was ever read. */
#define CLOCK_RETRY_NS 1000000000LL

typedef unsigned long long ull;

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

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int manifest_read_clock(struct manifest *manifest, int64_t *out, struct err *err)
{
    struct store_time *time = &manifest->time;
    int64_t now_ns = monotonic_ns();
    int ret = 0;
    if (now_ns >= manifest->clock_until_ns || !time->is_stores) {
        ret = store_time_read(time, manifest->store, "log", err);
        manifest->clock_until_ns = now_ns + (time->is_stores ? CLOCK_KEPT_NS : CLOCK_RETRY_NS);
        if (time->was_set)
            manifest->clock_set_ns = store_clock_now_ns(&time->clock);
    }
    *out = store_clock_now_ns(&time->clock);
    return time->is_stores ? 0 : ret;
}

int64_t manifest_now_ns(struct manifest *manifest)
{
    int64_t now_ns = 0;
    if (!manifest->time.is_stores && monotonic_ns() < manifest->clock_until_ns)
        return store_clock_now_ns(&manifest->time.clock);
    manifest_read_clock(manifest, &now_ns, NULL);
    return now_ns;
}

void manifest_doubt_clock(struct manifest *manifest)
{
    manifest->clock_until_ns = 0;
}

int64_t manifest_clock_set_ns(const struct manifest *manifest)
{
    return manifest->clock_set_ns;
}

int64_t manifest_write_cost_ns(const struct manifest *manifest)
{
    int64_t read_ns = manifest->time.cost_ns;
    return manifest->put_cost_ns > read_ns ? manifest->put_cost_ns : read_ns;
}

int manifest_open(struct store *store, struct manifest **out, struct err *err)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    if (!manifest)
        return err_sys(err, -ENOMEM, "opening the manifest");
    manifest->store = store;
    int ret = manifest_read_id(store, manifest->id, err);
    if (!ret)
        ret = manifest_load(manifest, err);
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
