/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: entries in order of key, fetched a piece at a time.
 *
 * A scan has a lookup file of its own, v/<id>/batch: its lease keeps the version whole, so all
 * pieces are of one version without asking for it anew. Of a table that follows `current`, it is the
 * version that is current when the scan begins; of a pinned one, the table's.
 *
 * The range moves along with the walk: `from` is always what comes right behind the last entry
 * given, so a piece that was lost is simply asked for again.
 */
#include "client/scan_range.h"

#include "client/batch.h"
#include "client/last_error.h"
#include "wire/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fkv_scan {
    struct fkv_table *own; /* the version's; NULL when the caller's table is pinned */
    struct fkv_batch *batch;
    struct fkv_ask ask;
    uint64_t version;
    struct scan_range range;
    uint64_t left; /* entries still to be given */
    struct wire_records records;
    bool has_more;    /* behind these records */
    uint8_t key[256]; /* the last one given, if it is bytes */
};

/* "/fkv/ads/batch", 43 -> "/fkv/ads/v/43". */
static char *version_dir(const struct fkv_table *table, uint64_t version)
{
    char *dir = NULL;
    size_t len = strlen(table->file) - strlen("/batch");
    if (asprintf(&dir, "%.*s/v/%llu", (int)len, table->file, (unsigned long long)version) < 0)
        return NULL;
    return dir;
}

/* Opens that version, pinned. -ENOENT: it is not there (any more). */
static int open_version(struct fkv_scan *scan, const struct fkv_table *table, uint64_t version,
                        uint64_t deadline_ns, struct err *err)
{
    uint64_t now = channel_now_ns();
    struct fkv_options options = table->options;
    char *dir = version_dir(table, version);
    if (!dir)
        return err_set(err, -ENOMEM, "no memory for a scan");
    options.timeout_ns = deadline_ns > now ? deadline_ns - now : 1;
    int r = table_open(dir, &options, table->place.ops, &scan->own, err);
    free(dir);
    if (r)
        return r;
    scan->own->options = table->options;
    if (scan->own->place.pinned == version)
        return 0;
    fkv_close(scan->own); /* its directory went away while it was opened */
    scan->own = NULL;
    return err_set(err, -ENOENT, "version %llu is gone", (unsigned long long)version);
}

/* Which version a scan that begins now is of. */
static int choose_version(const struct fkv_table *table, const struct fkv_ask *ask,
                          uint64_t deadline_ns, uint64_t *out, struct err *err)
{
    struct channel channel;
    channel_init(&channel, &table->place);
    int r = table_connect(table, &channel, deadline_ns, err);
    channel_close(&channel);
    if (r)
        return r;
    unsigned long long now = channel.info.version;
    *out = ask->exact_version ? ask->exact_version : now;
    if (!*out)
        return err_set(err, -ENOENT, "%s: the table has no current version yet", table->file);
    if (*out < ask->at_least_version)
        return err_set(err, -EAGAIN, "%s: version %llu is still to come; %llu is current",
                       table->file, (unsigned long long)ask->at_least_version, now);
    return 0;
}

/* The version may be retired between the question and the open, when another has become current. */
static int pin_version(struct fkv_scan *scan, const struct fkv_table *table, uint64_t deadline_ns,
                       struct err *err)
{
    uint64_t version = 0;
    for (unsigned attempt = 0;; attempt++) {
        int r = choose_version(table, &scan->ask, deadline_ns, &version, err);
        if (!r)
            r = open_version(scan, table, version, deadline_ns, err);
        else
            return r;
        if (r != -ENOENT)
            return r;
        if (scan->ask.exact_version)
            return err_set(err, -ESTALE, "%s: version %llu is not served here", table->file,
                           (unsigned long long)version);
        if (channel_now_ns() >= deadline_ns)
            return r;
        channel_pause(attempt, deadline_ns);
    }
}

static int begin(struct fkv_scan *scan, struct fkv_table *table, const struct fkv_range *range,
                 struct err *err)
{
    uint64_t deadline_ns = scan->ask.deadline_ns ? scan->ask.deadline_ns : table_deadline_ns(table);
    if (scan->ask.exact_version && scan->ask.at_least_version)
        return err_set(err, -EINVAL, "exact_version and at_least_version exclude each other");
    int r = table->place.pinned ? 0 : pin_version(scan, table, deadline_ns, err);
    if (r)
        return r;
    struct fkv_table *pinned = scan->own ? scan->own : table;
    scan->version = pinned->place.pinned;
    r = fkv_batch_new(pinned, &scan->batch);
    if (r)
        return err_set(err, r, "%s", fkv_last_error());
    scan->left = range->limit ? range->limit : UINT64_MAX;
    scan->has_more = true;
    return scan_range_init(&scan->range, range, scan->batch->channel.info.key_type, err);
}

int fkv_scan_new(fkv_table *table, const fkv_range *range, const fkv_ask *ask, fkv_scan **out)
{
    static const struct fkv_range everything;
    struct err err = {0};
    struct fkv_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return last_error_set(-ENOMEM, NULL);
    if (ask)
        scan->ask = *ask;
    int r = begin(scan, table, range ? range : &everything, &err);
    if (r) {
        fkv_scan_free(scan);
        return last_error_set(r, &err);
    }
    *out = scan;
    return 0;
}

void fkv_scan_free(fkv_scan *scan)
{
    if (!scan)
        return;
    fkv_batch_free(scan->batch);
    fkv_close(scan->own);
    free(scan);
}

uint64_t fkv_scan_version(const fkv_scan *scan)
{
    return scan->version;
}

/* Asks for the next piece. */
static int fetch(struct fkv_scan *scan, struct err *err)
{
    uint8_t bounds[SCAN_BOUNDS_LEN_MAX];
    struct question question;
    struct answer answer;
    struct keys keys = {
        .n = scan->left < FKV_KEYS_MAX ? (uint32_t)scan->left : FKV_KEYS_MAX,
        .bounds = bounds,
        .bounds_len = scan_range_write(&scan->range, bounds),
        .bounds_type = scan->range.key_type,
    };
    uint32_t form = scan->ask.as_f32 ? FKV_FORM_F32 : FKV_FORM_STORED;
    int r = batch_question(scan->batch, &keys, &scan->ask, form | FKV_SCAN, &question, err);
    if (!r)
        r = batch_ask_until(scan->batch, &question, &answer, err);
    if (r)
        return r;
    scan->records = wire_records(answer.body, answer.reply.body_len, answer.reply.n_found,
                                 scan->range.key_type);
    scan->has_more = answer.reply.has_more;
    return 0;
}

/* Takes a record over: its key is copied, checked to lie where it should, and left behind. */
static int take(struct fkv_scan *scan, const struct wire_record *record, struct fkv_entry *out,
                struct err *err)
{
    bool is_found = record->status == FKV_STATUS_FOUND;
    memcpy(scan->key, record->key, record->key_len);
    struct fkv_entry entry = {
        .value = is_found ? record->value : NULL,
        .value_len = record->value_len,
        .status = record->status,
    };
    int r = scan_range_pass(&scan->range, scan->key, record->key_len, err);
    if (r)
        return r;
    if (scan->range.key_type == FKV_KEY_U64) {
        memcpy(&entry.key_u64, scan->key, sizeof entry.key_u64);
    } else {
        entry.key = scan->key;
        entry.key_len = record->key_len;
    }
    scan->left--;
    *out = entry;
    return 1;
}

static int next(struct fkv_scan *scan, struct fkv_entry *out, struct err *err)
{
    struct wire_record record;
    for (;;) {
        int r = scan->left ? wire_records_next(&scan->records, &record, err) : 0;
        if (r == 1)
            r = take(scan, &record, out, err);
        if (r < 0) { /* nothing more of this piece is believed; another call asks for it anew */
            scan->records = (struct wire_records){0};
            scan->has_more = true;
        }
        if (r || !scan->left || !scan->has_more || scan_range_is_over(&scan->range))
            return r;
        r = fetch(scan, err);
        if (r)
            return r;
    }
}

int fkv_scan_next(fkv_scan *scan, fkv_entry *out)
{
    struct err err = {0};
    int r = next(scan, out, &err);
    return r < 0 ? last_error_set(r, &err) : r;
}
