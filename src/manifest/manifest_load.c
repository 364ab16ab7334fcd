/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where to begin: the newest good snapshot, and no record missing after it.
 *
 * A short log is listed: that shows every snapshot and every gap. A listing of a hundred thousand names takes a
 * second over a network, so a long log is searched instead. Records have no gap and are never removed, so "is there a
 * record n" is true up to the end and false from there: doubling and halving finds the last hundred in some 20 requests, and
 * snapshots lie at hundreds.
 *
 * In a damaged log, with records missing, the search may find an end that is none. Then one of these tells:
 *   - the fold stops before the record that the search saw
 *   - the snapshots at that end were removed long ago, for newer ones: without one near the end the log is listed after all
 *   - the end was in one of the last few hundreds, but there is a snapshot beyond it: listed after all
 *   - it was in the last hundred: then records at 2, 3, 5, 9 … after the end are asked for
 * So all that goes unseen is a run of missing records in the last hundred with fewer records after it than are missing, or a log
 * whose snapshots were meddled with too. Every gap shows in a listing, `ls log`.
 */
#include "manifest/manifest_impl.h"

#include "manifest/log_name.h"

#include <errno.h>
#include <stdlib.h>

enum {
    LISTED_MAX = 10 * SNAPSHOT_EVERY, /* a log with this record is not listed */
    SNAPSHOT_TRIES = 3,
    SNAPSHOTS_AHEAD = SNAPSHOT_TRIES + 1,
    RECORDS_AHEAD = SNAPSHOT_EVERY,
};

typedef unsigned long long ull;

/* What is known of the log before it is folded. */
struct log_index {
    uint64_t last;       /* there is this record; 0: none */
    uint64_t *snapshots; /* newest first */
    size_t n_snapshots;
};

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

static int index_list(struct store *store, struct log_index *out, struct err *err)
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

/* 1 when there is such a file, 0 when not. */
static int has_file(struct store *store, const char *path, struct err *err)
{
    struct store_stat st;
    struct err local = {0};
    int ret = store_stat(store, path, &st, &local);
    if (!ret || ret == -ENOENT)
        return ret == 0;
    if (err)
        *err = local;
    return ret;
}

static int has_record(struct store *store, uint64_t seq, struct err *err)
{
    char path[LOG_NAME_MAX];
    if (seq > RECORD_SEQ_MAX)
        return 0;
    log_record_path(seq, path);
    return has_file(store, path, err);
}

/* The last record whose number is a multiple of SNAPSHOT_EVERY, given that there is record LISTED_MAX. */
static int find_last_hundred(struct store *store, uint64_t *out, struct err *err)
{
    uint64_t there = LISTED_MAX / SNAPSHOT_EVERY;
    uint64_t missing = 0; /* not known yet */
    while (!missing || missing - there > 1) {
        uint64_t probe = missing ? there + (missing - there) / 2 : there * 2;
        int ret = has_record(store, probe * SNAPSHOT_EVERY, err);
        if (ret < 0)
            return ret;
        *(ret ? &there : &missing) = probe;
    }
    *out = there * SNAPSHOT_EVERY;
    return 0;
}

/* 1 when the snapshot was read, 0 when it is missing or bad: that is only slower. */
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
    if (ret)
        return 0;
    if (state.seq != seq) {
        state_release(&state);
        return 0;
    }
    manifest->state = state;
    manifest->snapshot_seq = seq;
    return 1;
}

/* The newest good one. One ahead of the log is of another log. */
static void read_newest_snapshot(struct manifest *manifest, const struct log_index *index)
{
    for (size_t i = 0; i < index->n_snapshots; i++)
        if (index->snapshots[i] <= index->last && read_snapshot(manifest, index->snapshots[i]))
            return;
}

static int missing_error(struct manifest *manifest, uint64_t last, struct err *err)
{
    return err_set(err, -EBADMSG,
                   "%s/log: record %llu is missing, though there is a record %llu; restore it",
                   store_url(manifest->store), (ull)manifest->state.seq + 1, (ull)last);
}

/* Folds to the end, which must not be before record last. */
static int fold_to_end(struct manifest *manifest, uint64_t last, struct err *err)
{
    int ret = manifest_refresh(manifest, NULL, err);
    if (!ret && manifest->state.seq < last)
        ret = missing_error(manifest, last, err);
    return ret;
}

static int load_listed(struct manifest *manifest, struct err *err)
{
    struct log_index index = {0};
    int ret = index_list(manifest->store, &index, err);
    if (ret)
        return ret;
    read_newest_snapshot(manifest, &index);
    free(index.snapshots);
    return fold_to_end(manifest, index.last, err);
}

/* 1 when a snapshot says that the log is longer. */
static int has_snapshot_ahead(const struct manifest *manifest, struct err *err)
{
    uint64_t hundred = manifest->state.seq / SNAPSHOT_EVERY;
    for (uint64_t i = 1; i <= SNAPSHOTS_AHEAD; i++) {
        char path[LOG_NAME_MAX];
        if (hundred + i > RECORD_SEQ_MAX / SNAPSHOT_EVERY)
            return 0;
        log_snapshot_path((hundred + i) * SNAPSHOT_EVERY, path);
        int ret = has_file(manifest->store, path, err);
        if (ret)
            return ret;
    }
    return 0;
}

/* Is the end the end? What was appended since it was found is folded, and asked about in turn. */
static int check_end(struct manifest *manifest, struct err *err)
{
    for (uint64_t step = 1; step < RECORDS_AHEAD; step *= 2) {
        uint64_t seq = manifest->state.seq + 1 + step;
        int ret = has_record(manifest->store, seq, err);
        if (ret > 0)
            ret = fold_to_end(manifest, seq, err);
        if (ret)
            return ret;
    }
    int ret = has_snapshot_ahead(manifest, err);
    if (ret <= 0)
        return ret;
    state_release(&manifest->state);
    return load_listed(manifest, err);
}

static int load_searched(struct manifest *manifest, struct err *err)
{
    uint64_t last = 0;
    int ret = find_last_hundred(manifest->store, &last, err);
    if (ret)
        return ret;
    int found = 0;
    for (uint64_t i = 0; i < SNAPSHOT_TRIES && !found; i++)
        found = read_snapshot(manifest, last - i * SNAPSHOT_EVERY);
    if (!found)
        return load_listed(manifest, err);
    ret = fold_to_end(manifest, last, err);
    return ret ? ret : check_end(manifest, err);
}

int manifest_load(struct manifest *manifest, struct err *err)
{
    int is_long = has_record(manifest->store, LISTED_MAX, err);
    if (is_long < 0)
        return is_long;
    return is_long ? load_searched(manifest, err) : load_listed(manifest, err);
}
