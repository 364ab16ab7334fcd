/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "bench_keys.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOAD_BATCH = 1000 };

static pid_t server;
static redisContext *context;
static redisReply *last;
static uint64_t key_be[PEER_BATCH_MAX];
static const char *args[2 * PEER_BATCH_MAX + 1];
static size_t lens[2 * PEER_BATCH_MAX + 1];

static void start_server(const char *dir, const char *socket)
{
    server = fork();
    if (server)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it never outlives the benchmark */
    if (!freopen("/dev/null", "w", stdout))
        _exit(1);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
           "--appendonly", "no", "--dir", dir, "--io-threads", "1", (char *)NULL);
    _exit(127);
}

static redisReply *ask(struct peer *peer, int n_args)
{
    redisReply *reply = redisCommandArgv(context, n_args, args, lens);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        peer_fail(peer, reply ? reply->str : context->errstr);
    return reply;
}

static void note_version(struct peer *peer)
{
    redisReply *info = redisCommand(context, "INFO server");
    const char *line = info && info->str ? strstr(info->str, "redis_version:") : NULL;
    snprintf(peer->version, sizeof peer->version, "%.*s",
             line ? (int)strcspn(line + 14, "\r\n") : 1, line ? line + 14 : "?");
    if (info)
        freeReplyObject(info);
}

static void load(struct peer *peer, const char *dir, const struct peer_entry *entries, uint64_t n)
{
    static uint8_t values[LOAD_BATCH][VALUE_LEN];
    char socket[200];
    snprintf(socket, sizeof socket, "%s/redis.sock", dir);
    start_server(dir, socket);
    for (int i = 0; i < 500 && (!context || context->err); i++) {
        struct timespec nap = {0, 10000000};
        nanosleep(&nap, NULL);
        if (context)
            redisFree(context);
        context = redisConnectUnix(socket);
    }
    if (!context || context->err)
        peer_fail(peer, "redis-server does not answer");
    note_version(peer);
    for (uint64_t from = 0; from < n; from += LOAD_BATCH) {
        int n_args = 1;
        args[0] = "MSET";
        lens[0] = 4;
        for (uint64_t i = from; i < n && i < from + LOAD_BATCH; i++) {
            bench_value(entries[i].key, 1, values[i - from]);
            args[n_args] = (const char *)&entries[i].key_be;
            lens[n_args++] = 8;
            args[n_args] = (const char *)values[i - from];
            lens[n_args++] = VALUE_LEN;
        }
        freeReplyObject(ask(peer, n_args));
    }
}

static void get(struct peer *peer, const uint64_t *keys, uint32_t n, const void **values)
{
    if (last)
        freeReplyObject(last);
    args[0] = "MGET";
    lens[0] = 4;
    for (uint32_t i = 0; i < n; i++) {
        key_be[i] = __builtin_bswap64(keys[i]);
        args[i + 1] = (const char *)&key_be[i];
        lens[i + 1] = 8;
    }
    last = ask(peer, (int)n + 1);
    for (uint32_t i = 0; i < n; i++)
        values[i] = last->elements == n ? last->element[i]->str : NULL;
}

static void close_peer(struct peer *peer)
{
    if (last)
        freeReplyObject(last);
    redisFree(context);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

struct peer peer_redis = {.name = "Redis MGET",
                          .settings = "Unix socket, no persistence, server and client on two cores",
                          .load = load,
                          .get = get,
                          .close = close_peer};
