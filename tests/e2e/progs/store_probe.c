/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_probe URL: does store calls as told on stdin, one a line, and answers each with a line
 *
 *   <code> <milliseconds> <requests> <text>
 *
 * text: what was read or found, or what the error says. A test breaks the server in between. "read" and "append" deal in bytes of
 * a pattern that depends on the position alone, so that what comes back needs no copy kept.
 */
#include "store/clock.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct probe {
    struct store *store;
    struct store_reader *reader;
    struct store_writer *writer;
    uint64_t off; /* of the writer */
    struct buf text;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 2654435761U >> 13 ^ i >> 20);
}

static int do_stat(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    struct store_stat st;
    int ret = store_stat(probe->store, path, &st, err);
    if (!ret)
        buf_printf(&probe->text, "%llu %s", (unsigned long long)st.len, st.is_dir ? "dir" : "file");
    return ret;
}

static int do_list(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    struct store_list list = {0};
    int ret = store_list(probe->store, path, &list, err);
    if (!ret)
        buf_printf(&probe->text, "%zu", list.n_names);
    store_list_release(&list);
    return ret;
}

static int do_get(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_get(probe->store, path, 4096, &probe->text, err);
}

static int do_put(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_put(probe->store, path, rest, strlen(rest), err);
}

static int do_put_new(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_put_new(probe->store, path, rest, strlen(rest), err);
}

static int do_mkdir(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_mkdir(probe->store, path, err);
}

static int do_link(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_link(probe->store, path, rest, err);
}

static int do_rename(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_rename(probe->store, path, rest, err);
}

static int do_remove(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_remove(probe->store, path, err);
}

static int do_remove_tree(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    return store_remove_tree(probe->store, path, err);
}

static int do_open(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    store_reader_close(probe->reader);
    probe->reader = NULL;
    int ret = store_reader_open(probe->store, path, &probe->reader, err);
    if (!ret)
        buf_printf(&probe->text, "%llu", (unsigned long long)store_reader_len(probe->reader));
    return ret;
}

/* read OFF LEN */
static int do_read(struct probe *probe, const char *first, const char *rest, struct err *err)
{
    uint64_t off = strtoull(first, NULL, 10);
    size_t len = strtoull(rest, NULL, 10);
    size_t n = 0;
    uint8_t *data = malloc(len + 1);
    int ret = store_reader_read(probe->reader, off, data, len, &n, err);
    bool is_right = true;
    for (size_t i = 0; !ret && i < n; i++)
        is_right &= data[i] == byte_at(off + i);
    free(data);
    if (!ret)
        buf_printf(&probe->text, "%zu %s", n, is_right ? "right" : "wrong");
    return ret;
}

static int do_create(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    probe->off = 0;
    return store_writer_open(probe->store, path, &probe->writer, err);
}

/* append LEN */
static int do_append(struct probe *probe, const char *first, const char *rest, struct err *err)
{
    size_t len = strtoull(first, NULL, 10);
    uint8_t *data = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(probe->off + i);
    int ret = store_writer_append(probe->writer, data, len, err);
    probe->off += len;
    free(data);
    return ret;
}

static int do_commit(struct probe *probe, const char *first, const char *rest, struct err *err)
{
    struct store_writer *writer = probe->writer;
    probe->writer = NULL;
    return store_writer_commit(writer, err);
}

static int do_abort(struct probe *probe, const char *first, const char *rest, struct err *err)
{
    store_writer_abort(probe->writer);
    probe->writer = NULL;
    return 0;
}

/* How far the store's clock is from this host's, in microseconds. */
static int do_clock(struct probe *probe, const char *path, const char *rest, struct err *err)
{
    struct store_clock read = {0};
    const struct store_clock local = store_clock_local();
    int ret = store_clock_read(probe->store, path, &read, err);
    if (!ret)
        buf_printf(&probe->text, "%lld %lld", (long long)(read.offset_ns - local.offset_ns) / 1000,
                   (long long)read.error_ns / 1000);
    return ret;
}

static const struct {
    const char *name;
    int (*run)(struct probe *probe, const char *first, const char *rest, struct err *err);
} verbs[] = {
    {"stat", do_stat},       {"list", do_list},
    {"get", do_get},         {"put", do_put},
    {"put_new", do_put_new}, {"mkdir", do_mkdir},
    {"link", do_link},       {"rename", do_rename},
    {"remove", do_remove},   {"open", do_open},
    {"read", do_read},       {"create", do_create},
    {"append", do_append},   {"remove_tree", do_remove_tree},
    {"commit", do_commit},   {"abort", do_abort},
    {"clock", do_clock},
};

static void obey(struct probe *probe, char *line)
{
    static char none[] = "";
    struct err err = {0};
    char *save = NULL;
    const char *verb = strtok_r(line, " \n", &save);
    const char *first = strtok_r(NULL, " \n", &save);
    const char *rest = strtok_r(NULL, "\n", &save);
    int ret = -1;
    buf_clear(&probe->text);
    uint64_t n_before = store_n_requests(probe->store);
    int64_t begin = now_ns();
    for (size_t i = 0; verb && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, verb) == 0)
            ret = verbs[i].run(probe, first ? first : none, rest ? rest : none, &err);
    int64_t ms = (now_ns() - begin) / 1000000;
    buf_add_byte(&probe->text, '\0');
    printf("%d %lld %llu %s\n", ret, (long long)ms,
           (unsigned long long)(store_n_requests(probe->store) - n_before),
           ret ? err.text : (const char *)probe->text.data);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct probe probe = {0};
    struct err err = {0};
    char line[4096];
    if (argc != 2)
        return 2;
    int ret = store_open(argv[1], &probe.store, &err);
    if (ret) {
        fprintf(stderr, "%s\n", err.text);
        return err_exit_status(ret);
    }
    while (fgets(line, sizeof line, stdin))
        obey(&probe, line);
    store_writer_abort(probe.writer);
    store_reader_close(probe.reader);
    store_close(probe.store);
    buf_release(&probe.text);
    return 0;
}
