/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rollout rule against a specification of its own, over every fleet: all of up to two nodes out of everything that one may
 * be, all of up to four out of what makes a difference, with every quorum from none to five.
 */
#include "unit.h"

#include "manifest/rollout.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS 1000000000LL

static const int64_t now = 1700000000000000000;

enum { FLEET_MAX = 4, QUORUM_MAX = 5, OLDER = 5, CURRENT = 6, CANDIDATE = 7, NEWER = 8 };

/* When it was heard of last. */
enum heard {
    HEARD_NOW,
    HEARD_NOW_AND_STARTED,         /* ten seconds ago */
    HEARD_NOW_AND_STORE_CAME_BACK, /* as long ago, says the node */
    HEARD_LONG_AGO,
    HEARD_FROM_THE_FUTURE,
    HEARD_AN_HOUR_AGO,
    HEARD_THAT_IT_STOPPED,
    N_HEARD,
};

/* What the asker saw of the store. */
enum seen { SEEN_ALL_ALONG, SEEN_BACK_JUST_NOW, SEEN_BACK_LONG_AGO, SEEN_FOR_A_MOMENT, N_SEEN };

/* Who keeps it where. */
enum held {
    HELD_NOT,
    HELD_BY_HOST_ELSEWHERE,
    HELD_BY_HOST_HERE,                   /* at the candidate */
    HELD_BY_HOST_HERE_BY_NAME_ELSEWHERE, /* the host has the last word */
    HELD_BY_HOST_ELSEWHERE_BY_NAME_HERE,
    HELD_BY_NAME_ELSEWHERE,
    HELD_BY_NAME_HERE,
    HELD_BY_LABEL_ELSEWHERE,
    HELD_BY_LABEL_HERE,
    HELD_BY_NAME_HERE_BY_LABEL_ELSEWHERE, /* a name is before a label */
    TRIES_CANDIDATE,                      /* a canary pin */
    TRIES_NEWER,                          /* and stays with it when the candidate is current */
    N_HELD,
};

/* What it says of the candidate. */
enum word {
    SAYS_FETCHING,
    SAYS_LOADING,
    SAYS_READY,
    SAYS_SERVING,
    SAYS_CACHED,
    SAYS_FAILED,
    SAYS_NO_VERSION,
    SAYS_NO_TABLE,
    N_WORDS,
};

struct node {
    enum heard heard;
    enum held held;
    enum word word;
};

/* The specification, in the words of the header. */
static bool is_live(struct node n)
{
    return n.heard == HEARD_NOW || n.heard == HEARD_NOW_AND_STARTED ||
           n.heard == HEARD_NOW_AND_STORE_CAME_BACK;
}
static bool is_missed(struct node n)
{
    return n.heard == HEARD_LONG_AGO || n.heard == HEARD_FROM_THE_FUTURE;
}
static bool knows_that_the_store_was_away(struct node n)
{
    return n.heard == HEARD_NOW_AND_STORE_CAME_BACK;
}
static bool is_held_at_another_version(struct node n)
{
    switch (n.held) {
    case HELD_BY_HOST_ELSEWHERE:
    case HELD_BY_HOST_ELSEWHERE_BY_NAME_HERE:
    case HELD_BY_NAME_ELSEWHERE:
    case HELD_BY_LABEL_ELSEWHERE:
    case TRIES_NEWER:
        return true;
    default:
        return false;
    }
}
static bool counts(struct node n)
{
    return is_live(n) && !is_held_at_another_version(n);
}
static bool would_count(struct node n)
{
    return is_missed(n) && !is_held_at_another_version(n);
}
static bool is_ready(struct node n)
{
    return counts(n) && (n.word == SAYS_READY || n.word == SAYS_SERVING);
}
static bool has_failed(struct node n)
{
    return counts(n) && n.word == SAYS_FAILED;
}
static bool is_preparing(struct node n)
{
    return counts(n) && !is_ready(n) && !has_failed(n);
}
static bool is_to_try(struct node n)
{
    switch (n.held) {
    case HELD_BY_HOST_HERE:
    case HELD_BY_HOST_HERE_BY_NAME_ELSEWHERE:
    case HELD_BY_NAME_HERE:
    case HELD_BY_LABEL_HERE:
    case HELD_BY_NAME_HERE_BY_LABEL_ELSEWHERE:
    case TRIES_CANDIDATE:
        return true;
    default:
        return false;
    }
}
static bool tries(struct node n)
{
    return is_live(n) && is_to_try(n);
}
static bool would_try(struct node n)
{
    return is_missed(n) && is_to_try(n);
}

static uint32_t number_of(const struct node *nodes, size_t n, bool (*what)(struct node))
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += what(nodes[i]);
    return sum;
}

static bool was_away_just_now(const struct node *nodes, size_t n, enum seen seen)
{
    return seen == SEEN_BACK_JUST_NOW || number_of(nodes, n, knows_that_the_store_was_away) > 0;
}

static uint32_t number_awaited(const struct node *nodes, size_t n, uint32_t quorum, enum seen seen)
{
    bool nobody = quorum == 0 && number_of(nodes, n, counts) == 0;
    bool is_new_here = seen == SEEN_FOR_A_MOMENT || seen == SEEN_BACK_JUST_NOW;
    if (was_away_just_now(nodes, n, seen) || (nobody && is_new_here))
        return number_of(nodes, n, would_count);
    return 0;
}

static enum rollout_verdict expected(const struct node *nodes, size_t n, uint32_t quorum,
                                     enum seen seen)
{
    uint32_t n_ready = number_of(nodes, n, is_ready);
    uint32_t n_awaited = number_awaited(nodes, n, quorum, seen);
    bool is_all = n_ready == number_of(nodes, n, counts) && n_awaited == 0;
    if (quorum > 0 ? n_ready >= quorum : is_all)
        return ROLLOUT_GO;
    bool is_over =
        number_of(nodes, n, is_preparing) + n_awaited == 0 && number_of(nodes, n, has_failed) > 0;
    return is_over ? ROLLOUT_BLOCKED : ROLLOUT_WAIT;
}

static struct rollout_clock clock_of(enum seen seen)
{
    struct rollout_clock clock = {.now_ns = now};
    if (seen == SEEN_BACK_JUST_NOW || seen == SEEN_BACK_LONG_AGO)
        clock.away_until_ns = now - ROLLOUT_SPEAK_NS + (seen == SEEN_BACK_JUST_NOW ? SECOND_NS : 0);
    clock.watched_since_ns = clock.away_until_ns;
    if (seen == SEEN_FOR_A_MOMENT)
        clock.watched_since_ns = now - ROLLOUT_SPEAK_NS + 1;
    return clock;
}

/* The fleet as heartbeats, and the pins as the log has them. */
struct fleet {
    struct heartbeat nodes[FLEET_MAX];
    struct node_table tables[FLEET_MAX];
    struct node_version versions[FLEET_MAX];
    char labels[FLEET_MAX][16];
    struct heartbeat_list list;
    struct pin_entry pins[2 * FLEET_MAX];
    struct table_state table;
};

static void add_pin(struct fleet *fleet, const char *name, uint64_t version, bool canary)
{
    struct pin_entry *pin = &fleet->pins[fleet->table.n_pins++];
    *pin = (struct pin_entry){.version = version, .canary = canary};
    strcpy(pin->name, name);
}

static void hold(struct fleet *fleet, size_t i, enum held held)
{
    const char *name = fleet->nodes[i].node;
    char label[32];
    snprintf(label, sizeof label, "label:%s", fleet->labels[i]);
    if (held == HELD_BY_HOST_ELSEWHERE || held == HELD_BY_HOST_ELSEWHERE_BY_NAME_HERE)
        fleet->tables[i].local_pin = OLDER;
    if (held == HELD_BY_HOST_HERE || held == HELD_BY_HOST_HERE_BY_NAME_ELSEWHERE)
        fleet->tables[i].local_pin = CANDIDATE;
    if (held == HELD_BY_HOST_HERE_BY_NAME_ELSEWHERE || held == HELD_BY_NAME_ELSEWHERE)
        add_pin(fleet, name, OLDER, false);
    if (held == HELD_BY_HOST_ELSEWHERE_BY_NAME_HERE || held == HELD_BY_NAME_HERE ||
        held == HELD_BY_NAME_HERE_BY_LABEL_ELSEWHERE)
        add_pin(fleet, name, CANDIDATE, false);
    if (held == HELD_BY_LABEL_ELSEWHERE || held == HELD_BY_NAME_HERE_BY_LABEL_ELSEWHERE)
        add_pin(fleet, label, CURRENT, false);
    if (held == HELD_BY_LABEL_HERE)
        add_pin(fleet, label, CANDIDATE, false);
    if (held == TRIES_CANDIDATE)
        add_pin(fleet, label, CANDIDATE, true);
    if (held == TRIES_NEWER)
        add_pin(fleet, name, NEWER, true);
}

static void say(struct fleet *fleet, size_t i, enum word word)
{
    static const enum node_version_state states[] = {
        [SAYS_FETCHING] = NODE_FETCHING, [SAYS_LOADING] = NODE_LOADING, [SAYS_READY] = NODE_READY,
        [SAYS_SERVING] = NODE_SERVING,   [SAYS_CACHED] = NODE_CACHED,   [SAYS_FAILED] = NODE_FAILED,
        [SAYS_NO_VERSION] = NODE_READY,  [SAYS_NO_TABLE] = NODE_READY,
    };
    fleet->versions[i] = (struct node_version){
        .version = word == SAYS_NO_VERSION ? CURRENT : CANDIDATE, .state = states[word]};
    fleet->tables[i].versions = &fleet->versions[i];
    fleet->tables[i].n_versions = word != SAYS_NO_TABLE;
    strcpy(fleet->tables[i].name, "ads");
    fleet->nodes[i].tables = &fleet->tables[i];
    fleet->nodes[i].n_tables = 1;
}

static void speak(struct heartbeat *node, enum heard heard)
{
    static const int64_t ago_ns[] = {
        [HEARD_NOW] = HEARTBEAT_LIVE_NS - 1,          [HEARD_NOW_AND_STARTED] = 0,
        [HEARD_NOW_AND_STORE_CAME_BACK] = 0,          [HEARD_LONG_AGO] = HEARTBEAT_LIVE_NS,
        [HEARD_FROM_THE_FUTURE] = -HEARTBEAT_LIVE_NS, [HEARD_AN_HOUR_AGO] = HEARTBEAT_MISSED_NS,
        [HEARD_THAT_IT_STOPPED] = HEARTBEAT_LIVE_NS,
    };
    int64_t then_ns = now - 10 * SECOND_NS;
    node->time_ns = now - ago_ns[heard];
    node->stopped = heard == HEARD_THAT_IT_STOPPED;
    node->started_ns = heard == HEARD_NOW_AND_STARTED ? then_ns : now - 90 * SECOND_NS;
    node->contact_ns = heard == HEARD_NOW_AND_STORE_CAME_BACK ? then_ns : node->started_ns;
}

static void make_fleet(struct fleet *fleet, const struct node *nodes, size_t n)
{
    fleet->table = (struct table_state){.name = "ads", .current = CURRENT, .pins = fleet->pins};
    for (size_t i = 0; i < n; i++) {
        struct heartbeat *node = &fleet->nodes[i];
        *node = (struct heartbeat){.n_labels = 2};
        speak(node, nodes[i].heard);
        fleet->tables[i] = (struct node_table){.serving = CURRENT};
        memcpy(node->node, (char[]){'h', (char)('0' + i), '\0'}, 3);
        memcpy(fleet->labels[i], (char[]){'l', (char)('0' + i), '\0'}, 3);
        node->labels[0] = (char *)"all";
        node->labels[1] = fleet->labels[i];
        say(fleet, i, nodes[i].word);
        hold(fleet, i, nodes[i].held);
        /* A host that knows nothing of the table cannot say that it holds it. */
        if (nodes[i].word == SAYS_NO_TABLE && !fleet->tables[i].local_pin)
            node->n_tables = 0;
    }
    fleet->list = (struct heartbeat_list){.nodes = fleet->nodes, .n_nodes = n, .n_bad = n % 2};
}

static void assert_canary(const struct fleet *fleet, const struct node *nodes, size_t n,
                          enum seen seen)
{
    struct rollout_clock at = clock_of(seen);
    struct rollout got = rollout_decide_canary(&fleet->list, &fleet->table, CANDIDATE, 0, &at);
    bool is_awaited = was_away_just_now(nodes, n, seen) && number_of(nodes, n, would_try) > 0;
    uint32_t n_trying = number_of(nodes, n, tries);
    uint32_t n_good = 0;
    for (size_t i = 0; i < n; i++)
        n_good += tries(nodes[i]) && is_ready(nodes[i]);
    assert_int_equal(got.n_live, n_trying);
    assert_int_equal(got.verdict == ROLLOUT_GO, n_trying > 0 && n_good == n_trying && !is_awaited);
}

static unsigned n_seen[3];

/* Of a fleet as made. */
static void assert_seen(const struct fleet *fleet, const struct node *nodes, size_t n,
                        enum seen seen)
{
    struct rollout_clock at = clock_of(seen);
    uint32_t n_live = number_of(nodes, n, is_live);
    uint32_t n_counted = number_of(nodes, n, counts);
    uint32_t n_ready = number_of(nodes, n, is_ready);
    uint32_t n_failed = number_of(nodes, n, has_failed);
    uint32_t n_unknown = (uint32_t)fleet->list.n_bad;
    for (size_t i = 0; i < n; i++)
        n_unknown += nodes[i].heard == HEARD_FROM_THE_FUTURE;
    for (uint32_t quorum = 0; quorum <= QUORUM_MAX; quorum++) {
        struct rollout got = rollout_decide(&fleet->list, &fleet->table, CANDIDATE, quorum, &at);
        uint32_t n_awaited = number_awaited(nodes, n, quorum, seen);
        bool is_right = got.verdict == expected(nodes, n, quorum, seen) &&
                        got.n_awaited == n_awaited &&
                        (n_awaited > 0) == (got.await_until_ns > now) && got.n_live == n_counted &&
                        got.n_elsewhere == n_live - n_counted && got.n_unknown == n_unknown &&
                        got.n_ready == n_ready && got.n_failed == n_failed &&
                        (got.failed != NULL) == (got.n_failed > 0);
        for (size_t i = 0; i < n && !is_right; i++)
            print_error("node %zu: heard %d, held %d, says %d; seen %d\n", i, (int)nodes[i].heard,
                        (int)nodes[i].held, (int)nodes[i].word, (int)seen);
        assert_true(is_right);
        n_seen[got.verdict]++;
    }
    assert_canary(fleet, nodes, n, seen);
}

static void assert_decided(struct fleet *fleet, const struct node *nodes, size_t n)
{
    make_fleet(fleet, nodes, n);
    for (int seen = 0; seen < N_SEEN; seen++)
        assert_seen(fleet, nodes, n, (enum seen)seen);
}

static void rollout__decides_every_pair_of_nodes_by_the_rule(void **state)
{
    static struct fleet fleet;
    static struct node all[N_HEARD * N_HELD * N_WORDS];
    size_t n_all = 0;
    memset(n_seen, 0, sizeof n_seen);
    for (int heard = 0; heard < N_HEARD; heard++)
        for (int held = 0; held < N_HELD; held++)
            for (int word = 0; word < N_WORDS; word++)
                all[n_all++] = (struct node){(enum heard)heard, (enum held)held, (enum word)word};
    assert_decided(&fleet, NULL, 0);
    for (size_t i = 0; i < n_all; i++) {
        assert_decided(&fleet, &all[i], 1);
        for (size_t j = 0; j <= i; j++)
            assert_decided(&fleet, (struct node[]){all[i], all[j]}, 2);
    }
    assert_true(n_seen[ROLLOUT_WAIT] && n_seen[ROLLOUT_GO] && n_seen[ROLLOUT_BLOCKED]);
}

static void rollout__decides_every_fleet_of_four_by_the_rule(void **state)
{
    static struct fleet fleet;
    static const struct node some[] = {
        {HEARD_NOW, HELD_NOT, SAYS_FETCHING},
        {HEARD_NOW, HELD_NOT, SAYS_LOADING},
        {HEARD_NOW, HELD_NOT, SAYS_READY},
        {HEARD_NOW, HELD_NOT, SAYS_SERVING},
        {HEARD_NOW, HELD_NOT, SAYS_CACHED},
        {HEARD_NOW, HELD_NOT, SAYS_FAILED},
        {HEARD_NOW, HELD_NOT, SAYS_NO_VERSION},
        {HEARD_NOW, HELD_NOT, SAYS_NO_TABLE},
        {HEARD_LONG_AGO, HELD_NOT, SAYS_READY},
        {HEARD_LONG_AGO, HELD_BY_NAME_ELSEWHERE, SAYS_READY},
        {HEARD_LONG_AGO, TRIES_CANDIDATE, SAYS_FAILED},
        {HEARD_FROM_THE_FUTURE, HELD_NOT, SAYS_READY},
        {HEARD_NOW_AND_STARTED, HELD_NOT, SAYS_READY},
        {HEARD_NOW_AND_STORE_CAME_BACK, HELD_NOT, SAYS_READY},
        {HEARD_NOW_AND_STORE_CAME_BACK, HELD_BY_NAME_ELSEWHERE, SAYS_READY},
        {HEARD_AN_HOUR_AGO, HELD_NOT, SAYS_READY},
        {HEARD_THAT_IT_STOPPED, HELD_NOT, SAYS_READY},
        {HEARD_NOW, HELD_BY_HOST_ELSEWHERE, SAYS_READY},
        {HEARD_NOW, HELD_BY_HOST_ELSEWHERE, SAYS_FAILED},
        {HEARD_NOW, HELD_BY_HOST_HERE, SAYS_SERVING},
        {HEARD_NOW, HELD_BY_NAME_ELSEWHERE, SAYS_FETCHING},
        {HEARD_NOW, HELD_BY_NAME_HERE, SAYS_FAILED},
        {HEARD_NOW, HELD_BY_LABEL_ELSEWHERE, SAYS_READY},
        {HEARD_NOW, TRIES_CANDIDATE, SAYS_SERVING},
        {HEARD_NOW, TRIES_CANDIDATE, SAYS_FAILED},
        {HEARD_NOW, TRIES_NEWER, SAYS_FAILED},
    };
    enum { N_SOME = sizeof some / sizeof *some };
    memset(n_seen, 0, sizeof n_seen);
    for (size_t n = 3; n <= FLEET_MAX; n++) {
        size_t n_fleets = 1;
        for (size_t i = 0; i < n; i++)
            n_fleets *= N_SOME;
        for (size_t which = 0; which < n_fleets; which++) {
            struct node nodes[FLEET_MAX];
            size_t rest = which;
            for (size_t i = 0; i < n; i++, rest /= N_SOME)
                nodes[i] = some[rest % N_SOME];
            make_fleet(&fleet, nodes, n);
            assert_seen(&fleet, nodes, n, (enum seen)((which + which / N_SOME) % N_SEEN));
        }
    }
    assert_true(n_seen[ROLLOUT_WAIT] && n_seen[ROLLOUT_GO] && n_seen[ROLLOUT_BLOCKED]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollout__decides_every_pair_of_nodes_by_the_rule),
        cmocka_unit_test(rollout__decides_every_fleet_of_four_by_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
