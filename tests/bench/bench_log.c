/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_log STORE_DIR N_RECORDS N_TABLES [VERSION_JSON]: a long log in an initialised directory store, with its two newest snapshots.
 *
 * Without VERSION_JSON it is a history: every table in turn publishes a version, activates it, and retires and forgets the fourth last. With it,
 * each table has one version, described by that file, current from the first record on, and the other records set and take a tag:
 * daemons can serve all of it (the caller puts the files there).
 *
 * Records are folded as they are made, so they keep the rules, but are not synced one by one: a hundred thousand of those would
 * take minutes.
 */
#include "bench_util.h"

#include "manifest/log_name.h"
#include "manifest/manifest.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#define FIRST_NS  1767225600000000000ll /* 2026-01-01 */
#define SECOND_NS 1000000000ll

enum { TABLES_MAX = 1000, KEPT = 3 };

struct maker {
    int dir;
    struct state state;
    struct buf text;
    uint64_t n_tables;
    struct op ops[TABLES_MAX];
};

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench_log: %s\n", err_text(err, r));
    exit(1);
}

static void write_file(const struct maker *maker, const char *path)
{
    int fd = openat(maker->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    BENCH_MUST(fd >= 0);
    BENCH_MUST(write(fd, maker->text.data, maker->text.len) == (ssize_t)maker->text.len);
    close(fd);
}

static void append(struct maker *maker, size_t n_ops)
{
    struct err err = {0};
    char path[LOG_NAME_MAX];
    struct record record = {
        .seq = maker->state.seq + 1,
        .time_ns = FIRST_NS + (int64_t)maker->state.seq * SECOND_NS,
        .author = (char[]){"bench@localhost"},
        .reason = (char[]){"hourly update"},
        .ops = maker->ops,
        .n_ops = n_ops,
    };
    snprintf(record.nonce, sizeof record.nonce, "%032llx", (unsigned long long)record.seq);
    buf_clear(&maker->text);
    must(record_encode(&record, &maker->text, &err), &err);
    must(state_apply(&maker->state, &record, &err), &err);
    log_record_path(record.seq, path);
    write_file(maker, path);
}

static void snapshot(struct maker *maker)
{
    struct err err = {0};
    char path[LOG_NAME_MAX];
    buf_clear(&maker->text);
    must(state_encode(&maker->state, &maker->text, &err), &err);
    log_snapshot_path(maker->state.seq, path);
    write_file(maker, path);
}

static struct op op_of(enum op_kind kind, uint64_t table, uint64_t version)
{
    struct op op = {.kind = kind, .version = version};
    snprintf(op.table, sizeof op.table, "t%03llu", (unsigned long long)table);
    return op;
}

static struct op publish_of(uint64_t table, uint64_t version, const struct digest *digest)
{
    struct op op = op_of(OP_PUBLISH, table, version);
    op.n_keys = 1000000;
    op.len = 75000000;
    op.digest = *digest;
    return op;
}

/* The hourly life of a table: the i-th record of the whole log. */
static void append_history(struct maker *maker, uint64_t i)
{
    uint64_t table = i / 4 % maker->n_tables;
    uint64_t version = i / 4 / maker->n_tables + 1;
    struct digest digest;
    digest_of(&i, sizeof i, &digest);
    switch (i % 4) {
    case 0:
        maker->ops[0] = publish_of(table, version, &digest);
        break;
    case 1:
        maker->ops[0] = op_of(OP_ACTIVATE, table, version);
        break;
    default: /* while there is none so old: a tag */
        maker->ops[0] = op_of(OP_TAG, table, version);
        strcpy(maker->ops[0].name, "newest");
        if (version > KEPT)
            maker->ops[0] = op_of(i % 4 == 2 ? OP_RETIRE : OP_FORGET, table, version - KEPT);
        else if (i % 4 == 3)
            maker->ops[0].kind = OP_UNTAG;
    }
    append(maker, 1);
}

static void append_served(struct maker *maker, uint64_t i, const struct digest *digest)
{
    if (i < 2) {
        for (uint64_t t = 0; t < maker->n_tables; t++)
            maker->ops[t] = i ? op_of(OP_ACTIVATE, t, 1) : publish_of(t, 1, digest);
        append(maker, maker->n_tables);
        return;
    }
    maker->ops[0] = op_of(i % 2 ? OP_UNTAG : OP_TAG, i / 2 % maker->n_tables, i % 2 ? 0 : 1);
    strcpy(maker->ops[0].name, "newest");
    append(maker, 1);
}

static void digest_file(const char *path, struct digest *out)
{
    static uint8_t text[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    BENCH_MUST(fd >= 0);
    ssize_t n = read(fd, text, sizeof text);
    BENCH_MUST(n > 0 && (size_t)n < sizeof text);
    close(fd);
    digest_of(text, (size_t)n, out);
}

int main(int argc, char **argv)
{
    static struct maker maker;
    struct digest digest;
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: bench_log STORE_DIR N_RECORDS N_TABLES [VERSION_JSON]\n");
        return 2;
    }
    uint64_t n_records = strtoull(argv[2], NULL, 10);
    maker.n_tables = strtoull(argv[3], NULL, 10);
    BENCH_MUST(maker.n_tables >= 1 && maker.n_tables <= TABLES_MAX);
    maker.dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    BENCH_MUST(maker.dir >= 0);
    if (argc == 5)
        digest_file(argv[4], &digest);
    for (uint64_t i = 0; i < n_records; i++) {
        if (argc == 5)
            append_served(&maker, i, &digest);
        else
            append_history(&maker, i);
        uint64_t seq = maker.state.seq;
        if (seq % SNAPSHOT_EVERY == 0 && seq + 2 * SNAPSHOT_EVERY > n_records)
            snapshot(&maker);
    }
    state_release(&maker.state);
    buf_release(&maker.text);
    close(maker.dir);
    return 0;
}
