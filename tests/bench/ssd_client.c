/* SPDX-License-Identifier: Apache-2.0 */
#include "ssd_client.h"

#include "bench_keys.h"
#include "bench_util.h"

#include "query/disk_batch.h"

#include <errno.h>

static void fail(const char *what)
{
    fprintf(stderr, "bench_ssd: %s\n", what);
    exit(1);
}

static size_t out_cap(const struct ssd_options *o)
{
    return SSD_BATCH_MAX * ((size_t)o->value_len + 16) + 4096;
}

void ssd_client_init(struct ssd_client *client, const struct ssd_options *o, uint64_t number)
{
    struct err err = {0};
    *client = (struct ssd_client){.o = o};
    key_pool_fill(&client->pool, o->draw, o->n_keys, 1000 * o->seed + number, o->n_draws);
    client->texts = malloc((size_t)SSD_BATCH_MAX * TEXT_KEY_LEN);
    client->text_at = calloc(SSD_BATCH_MAX, sizeof *client->text_at);
    client->text_len = malloc(SSD_BATCH_MAX);
    BENCH_MUST(client->texts && client->text_at && client->text_len);
    memset(client->text_len, TEXT_KEY_LEN, SSD_BATCH_MAX);
    for (size_t i = 0; i < SSD_BATCH_MAX; i++)
        client->text_at[i] = client->texts + i * TEXT_KEY_LEN;
    if (o->table_dir) {
        if (fkv_open(o->table_dir, NULL, &client->table) ||
            fkv_batch_new(client->table, &client->batch))
            fail(fkv_last_error());
        return;
    }
    client->request = huge_alloc((size_t)SSD_BATCH_MAX * (TEXT_KEY_LEN + 4));
    client->out = huge_alloc(out_cap(o));
    memset(client->out, 0, out_cap(o));
    if (disk_worker_new(o->depth, &client->worker, &err))
        fail(err_text(&err, -ENOMEM));
}

void ssd_client_release(struct ssd_client *client)
{
    fkv_batch_free(client->batch);
    fkv_close(client->table);
    disk_worker_free(client->worker);
    free(client->texts);
    free(client->text_at);
    free(client->text_len);
    key_pool_release(&client->pool);
}

/* ---- one batch ---- */

static void write_texts(struct ssd_client *client, const uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bench_key_text(keys[i], client->texts + (size_t)i * TEXT_KEY_LEN);
}

/* The request's keys, where lookups in process read them; returns their length. */
static size_t write_request(struct ssd_client *client, const uint64_t *keys, uint32_t n)
{
    if (!client->o->has_text_keys) {
        memcpy(client->request, keys, 8 * (size_t)n);
        return 8 * (size_t)n;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t end = (i + 1) * TEXT_KEY_LEN;
        memcpy(client->request + 4 * (size_t)i, &end, sizeof end);
    }
    memcpy(client->request + 4 * (size_t)n, client->texts, (size_t)n * TEXT_KEY_LEN);
    return (size_t)n * (TEXT_KEY_LEN + 4);
}

static void lookup_process(struct ssd_client *client, const uint64_t *keys, uint32_t n,
                           fkv_result *out)
{
    struct batch_result result = {0};
    struct batch_request request = {.n_keys = n, .keys = client->request};
    request.keys_len = write_request(client, keys, n);
    int r = disk_batch_run(client->o->files->table, client->worker, &request, client->out,
                           out_cap(client->o), &result);
    if (r)
        fail(strerror(-r));
    *out = (fkv_result){.n_keys = n,
                        .n_found = result.n_found,
                        .status = client->out,
                        .values = client->out + result.values_off,
                        .values_len = result.len - result.values_off,
                        .stride = result.stride,
                        .value_len = client->o->value_len};
}

/* What a client does before it asks, and need not be timed. */
static const uint64_t *prepare(struct ssd_client *client, const uint64_t *keys, uint32_t n)
{
    if (client->o->has_text_keys)
        write_texts(client, keys, n);
    if (client->o->has_text_keys || !client->batch)
        return keys;
    uint64_t *room = fkv_keys_u64(client->batch, n);
    BENCH_MUST(room);
    memcpy(room, keys, n * sizeof *keys);
    return room;
}

static void lookup(struct ssd_client *client, const uint64_t *keys, uint32_t n, fkv_result *out)
{
    int r = 0;
    if (!client->batch)
        lookup_process(client, keys, n, out);
    else if (client->o->has_text_keys)
        r = fkv_get_bytes(client->batch, client->text_at, client->text_len, n, NULL, out);
    else
        r = fkv_get_u64(client->batch, keys, n, NULL, out);
    if (r)
        fail(fkv_last_error());
}

static uint64_t read_answers(const fkv_result *result, const uint64_t *keys, bool is_absent)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < result->n_keys; i++) {
        uint64_t words[2];
        const void *value = fkv_value(result, i, NULL);
        if (is_absent ? result->status[i] != FKV_ABSENT : !value)
            fail("a key's status is not what it should be");
        if (is_absent)
            continue;
        memcpy(words, value, sizeof words);
        if (words[0] != keys[i])
            fail("a value is not its key's");
        sum += words[1];
    }
    return sum;
}

void ssd_client_verify(struct ssd_client *client, uint32_t batch)
{
    uint8_t expected[4096];
    fkv_result result;
    BENCH_MUST(client->o->value_len >= 16 && client->o->value_len <= sizeof expected);
    const uint64_t *keys = prepare(client, key_pool_take(&client->pool, batch), batch);
    lookup(client, keys, batch, &result);
    read_answers(&result, keys, client->o->draw == DRAW_ABSENT);
    for (uint32_t i = 0; client->o->draw != DRAW_ABSENT && i < batch; i++) {
        uint32_t len = 0;
        const void *value = fkv_value(&result, i, &len);
        bench_fill(keys[i], 1, expected, client->o->value_len);
        if (len != client->o->value_len || memcmp(value, expected, len) != 0)
            fail("a value differs from what was built");
    }
}

/* ---- timed ---- */

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

void ssd_client_run(struct ssd_run *run)
{
    struct ssd_client *client = run->client;
    uint64_t due_ns = run->begin_ns;
    uint64_t now_ns = bench_now_ns();
    while (run->period_ns ? due_ns < run->end_ns : now_ns < run->end_ns) {
        fkv_result result;
        const uint64_t *keys =
            prepare(client, key_pool_take(&client->pool, run->batch), run->batch);
        if (run->period_ns)
            sleep_until(due_ns);
        else
            due_ns = bench_now_ns();
        lookup(client, keys, run->batch, &result);
        now_ns = bench_now_ns();
        histogram_add(&run->latency, now_ns - due_ns);
        run->sum += read_answers(&result, keys, client->o->draw == DRAW_ABSENT);
        run->n_batches++;
        due_ns += run->period_ns;
    }
    run->last_ns = bench_now_ns();
}
