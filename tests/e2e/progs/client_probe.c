/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_probe TABLE_DIR [TRANSPORT [TIMEOUT_MS]]: libfkv on a leash. Reads commands, one a line,
 * and answers each with lines of which the last is "." alone:
 *
 *   u64 KEY…            look up numbers          "version N transport T found F", then "KEY HEX" or "KEY -"
 *   bytes HEXKEY…       look up byte keys
 *   range FROM N        look up N numbers from FROM, print only those found: "KEY HEX"
 *   count FROM N        the same without printing values
 *   matrix DIM KEY…     rows as decimal numbers
 *   scan FROM TO LIMIT  begins a scan, u64 bounds; scanb HEX HEX LIMIT: byte bounds; scanp HEX LIMIT: a prefix.
 *                       "-" is no bytes. "version N"
 *   more N              the scan's next N entries: "KEY HEX", byte keys in hex, then "end" behind the last
 *   shape               "version N keys N type T dim D len L elem E"
 *   exact V, atleast V, deadline MS, f32 0|1     for the questions that follow
 *   threads N MS        N threads look up 1000 keys over and over: "batches B failed F mixed M"
 *
 * A failure is "error ERRNO TEXT".
 */
#include <fkv.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_LEN = 1 << 20, KEYS_ON_LINE = 4096, THREADS_MAX = 16 };

static fkv_table *table;
static fkv_batch *batch;
static fkv_ask ask;
static uint64_t deadline_ms;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int print_error(int r)
{
    printf("error %d %s\n", -r, fkv_last_error());
    return r;
}

static void print_head(const fkv_result *result)
{
    static const char *const names[] = {"auto", "shared", "message", "inline"};
    printf("version %llu transport %s found %u\n", (unsigned long long)result->version,
           names[fkv_batch_transport(batch)], result->n_found);
}

static void print_value(const fkv_result *result, uint32_t i)
{
    uint32_t len = 0;
    const uint8_t *value = fkv_value(result, i, &len);
    if (!value)
        putchar('-');
    for (uint32_t b = 0; value && b < len; b++)
        printf("%02x", value[b]);
    putchar('\n');
}

static const fkv_ask *current_ask(void)
{
    ask.deadline_ns = deadline_ms ? now_ns() + deadline_ms * 1000000u : 0;
    return &ask;
}

static uint32_t parse_keys(char *words, uint64_t *keys)
{
    uint32_t n = 0;
    for (char *word = strtok(words, " \n"); word && n < KEYS_ON_LINE; word = strtok(NULL, " \n"))
        keys[n++] = strtoull(word, NULL, 10);
    return n;
}

static void do_u64(char *words)
{
    static uint64_t keys[KEYS_ON_LINE];
    fkv_result result;
    uint32_t n = parse_keys(words, keys);
    int r = fkv_get_u64(batch, keys, n, current_ask(), &result);
    if (r) {
        print_error(r);
        return;
    }
    print_head(&result);
    for (uint32_t i = 0; i < n; i++) {
        printf("%llu ", (unsigned long long)keys[i]);
        print_value(&result, i);
    }
}

static void do_bytes(char *words)
{
    static uint8_t text[KEYS_ON_LINE][256];
    static const void *keys[KEYS_ON_LINE];
    static uint8_t lens[KEYS_ON_LINE];
    uint32_t n = 0;
    fkv_result result;
    for (char *word = strtok(words, " \n"); word && n < KEYS_ON_LINE; word = strtok(NULL, " \n")) {
        lens[n] = 0;
        for (const char *c = word; c[0] && c[1]; c += 2) {
            unsigned byte = 0;
            sscanf(c, "%2x", &byte);
            text[n][lens[n]++] = (uint8_t)byte;
        }
        keys[n] = text[n];
        n++;
    }
    int r = fkv_get_bytes(batch, keys, lens, n, current_ask(), &result);
    if (r) {
        print_error(r);
        return;
    }
    print_head(&result);
    for (uint32_t i = 0; i < n; i++) {
        printf("%u ", i);
        print_value(&result, i);
    }
}

static void do_range(const char *words, int show)
{
    unsigned long long from = 0;
    uint32_t n = 0;
    fkv_result result;
    sscanf(words, "%llu %u", &from, &n);
    uint64_t *keys = fkv_keys_u64(batch, n);
    if (!keys) {
        print_error(-12);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        keys[i] = from + i;
    int r = fkv_get_u64(batch, keys, n, current_ask(), &result);
    if (r) {
        print_error(r);
        return;
    }
    print_head(&result);
    for (uint32_t i = 0; show && i < n; i++) {
        if (result.status[i] != FKV_FOUND)
            continue;
        printf("%llu ", (unsigned long long)keys[i]);
        print_value(&result, i);
    }
}

static void do_matrix(char *words)
{
    static uint64_t keys[KEYS_ON_LINE];
    static uint8_t status[KEYS_ON_LINE];
    char *rest = NULL;
    uint64_t version = 0;
    uint32_t dim = (uint32_t)strtoul(words, &rest, 10);
    uint32_t n = parse_keys(rest, keys);
    float *rows = calloc((size_t)n * (dim + 1) + 1, sizeof *rows);
    int r = fkv_get_matrix_u64(batch, keys, n, dim, rows, dim + 1, status, current_ask(), &version);
    if (r)
        print_error(r);
    else
        printf("version %llu\n", (unsigned long long)version);
    for (uint32_t i = 0; !r && i < n; i++) {
        printf("%llu %u", (unsigned long long)keys[i], status[i]);
        for (uint32_t j = 0; j < dim; j++)
            printf(" %.6g", (double)rows[(size_t)i * (dim + 1) + j]);
        putchar('\n');
    }
    free(rows);
}

static size_t parse_hex(const char *word, uint8_t *out)
{
    size_t n = 0;
    for (; word && *word != '-' && word[0] && word[1]; word += 2)
        if (sscanf(word, "%2hhx", &out[n]) == 1)
            n++;
    return n;
}

static fkv_scan *scan;

static void do_scan(char *words, char form)
{
    static uint8_t from[512];
    static uint8_t to[512];
    const char *first = strtok(words, " \n");
    const char *second = form == 'p' ? NULL : strtok(NULL, " \n");
    const char *limit = strtok(NULL, " \n");
    fkv_range range = {.limit = limit ? strtoull(limit, NULL, 10) : 0};
    if (form == 'u') {
        range.from_u64 = strtoull(first, NULL, 10);
        range.to_u64 = second ? strtoull(second, NULL, 10) : 0;
    } else if (form == 'p') {
        range.prefix = from;
        range.prefix_len = parse_hex(first, from);
    } else {
        range.from = from;
        range.from_len = parse_hex(first, from);
        range.to = to;
        range.to_len = parse_hex(second, to);
    }
    fkv_scan_free(scan);
    scan = NULL;
    int r = fkv_scan_new(table, &range, current_ask(), &scan);
    if (r)
        print_error(r);
    else
        printf("version %llu\n", (unsigned long long)fkv_scan_version(scan));
}

static void do_more(const char *words)
{
    unsigned long long n = strtoull(words, NULL, 10);
    for (; scan && n; n--) {
        fkv_entry entry;
        int r = fkv_scan_next(scan, &entry);
        if (r < 0) {
            print_error(r);
            return;
        }
        if (!r) {
            puts("end");
            return;
        }
        if (!entry.key_len)
            printf("%llu", (unsigned long long)entry.key_u64);
        for (unsigned i = 0; i < entry.key_len; i++)
            printf("%02x", ((const uint8_t *)entry.key)[i]);
        putchar(' ');
        for (uint32_t i = 0; entry.value && i < entry.value_len; i++)
            printf("%02x", ((const uint8_t *)entry.value)[i]);
        puts(entry.value ? "" : "-");
    }
}

static void do_shape(void)
{
    fkv_shape shape;
    int r = fkv_get_shape(table, &shape);
    if (r)
        print_error(r);
    else
        printf("version %llu keys %llu type %d dim %u len %u elem %s\n",
               (unsigned long long)shape.version, (unsigned long long)shape.n_keys, shape.key_type,
               shape.dim, shape.value_len, shape.elem);
}

struct worker {
    pthread_t thread;
    uint64_t end_ns;
    unsigned long long batches, failed, mixed;
};

/* Keys 1 to 1000 all end in the same byte in one version: see test_client.py. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    fkv_batch *own = NULL;
    uint64_t keys[1000];
    if (fkv_batch_new(table, &own)) {
        worker->failed++;
        return NULL;
    }
    while (now_ns() < worker->end_ns) {
        fkv_result result;
        for (uint64_t i = 0; i < 1000; i++)
            keys[i] = 1 + (i * 7 + worker->batches) % 1000;
        worker->batches++;
        if (fkv_get_u64(own, keys, 1000, NULL, &result)) {
            fprintf(stderr, "%s\n", fkv_last_error());
            worker->failed++;
            continue;
        }
        int first = -1;
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t len = 0;
            const uint8_t *value = fkv_value(&result, i, &len);
            int last = value && len ? value[len - 1] : -2;
            first = i ? first : last;
            if (last != first || last < 0) {
                worker->mixed++;
                break;
            }
        }
    }
    fkv_batch_free(own);
    return NULL;
}

static void do_threads(const char *words)
{
    static struct worker workers[THREADS_MAX];
    unsigned n = 0;
    unsigned ms = 0;
    struct worker sum = {0};
    sscanf(words, "%u %u", &n, &ms);
    for (unsigned i = 0; i < n && i < THREADS_MAX; i++) {
        workers[i] = (struct worker){.end_ns = now_ns() + (uint64_t)ms * 1000000u};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (unsigned i = 0; i < n && i < THREADS_MAX; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.batches += workers[i].batches;
        sum.failed += workers[i].failed;
        sum.mixed += workers[i].mixed;
    }
    printf("batches %llu failed %llu mixed %llu\n", sum.batches, sum.failed, sum.mixed);
}

static void obey(char *line)
{
    char *words = line + strcspn(line, " \n");
    if (*words)
        *words++ = 0;
    if (!strcmp(line, "u64"))
        do_u64(words);
    else if (!strcmp(line, "bytes"))
        do_bytes(words);
    else if (!strcmp(line, "range"))
        do_range(words, 1);
    else if (!strcmp(line, "count"))
        do_range(words, 0);
    else if (!strcmp(line, "matrix"))
        do_matrix(words);
    else if (!strcmp(line, "scan"))
        do_scan(words, 'u');
    else if (!strcmp(line, "scanb"))
        do_scan(words, 'b');
    else if (!strcmp(line, "scanp"))
        do_scan(words, 'p');
    else if (!strcmp(line, "more"))
        do_more(words);
    else if (!strcmp(line, "shape"))
        do_shape();
    else if (!strcmp(line, "exact"))
        ask.exact_version = strtoull(words, NULL, 10);
    else if (!strcmp(line, "atleast"))
        ask.at_least_version = strtoull(words, NULL, 10);
    else if (!strcmp(line, "deadline"))
        deadline_ms = strtoull(words, NULL, 10);
    else if (!strcmp(line, "f32"))
        ask.as_f32 = atoi(words);
    else if (!strcmp(line, "threads"))
        do_threads(words);
    else
        printf("error 0 no such command: %s\n", line);
}

static enum fkv_transport transport_of(const char *name)
{
    return !strcmp(name, "shared")    ? FKV_SHARED
           : !strcmp(name, "message") ? FKV_MESSAGE
           : !strcmp(name, "inline")  ? FKV_INLINE
                                      : FKV_AUTO;
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_LEN];
    if (argc < 2)
        return 2;
    fkv_options options = {.transport = argc > 2 ? transport_of(argv[2]) : FKV_AUTO,
                           .timeout_ns = argc > 3 ? strtoull(argv[3], NULL, 10) * 1000000u : 0};
    int r = fkv_open(argv[1], &options, &table);
    if (!r)
        r = fkv_batch_new(table, &batch);
    if (r)
        print_error(r);
    puts(".");
    fflush(stdout);
    while (!r && fgets(line, sizeof line, stdin)) {
        obey(line);
        puts(".");
        fflush(stdout);
    }
    fkv_scan_free(scan);
    fkv_batch_free(batch);
    fkv_close(table);
    return r != 0;
}
