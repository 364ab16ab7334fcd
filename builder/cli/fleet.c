/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of waiting: fold what is new in the manifest (one request when there is nothing), read heartbeats again, judge. Read
 * are those of the nodes that are not there yet; all of them when that is due, so that nodes which came, went or died are seen
 * within seconds.
 *
 * The pause after a round grows with what the round cost and with how long nothing has changed: 50 ms while a switch is due, a second
 * at most.
 */
#include "builder/cli/fleet.h"

#include "builder/cli/fleet_show.h"
#include "builder/cli/history.h"
#include "builder/cli/interrupt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS_NS 1000000LL

#define PAUSE_MIN_NS (50 * MS_NS)
#define PAUSE_MAX_NS (1000 * MS_NS)

/* Who looked away for longer than this has not watched the store without a break. */
#define LOOKED_AWAY_NS (10000 * MS_NS)

/* How often nodes read the store's clock. */
#define NODES_READ_CLOCK_NS (60000 * MS_NS)

enum { PAUSE_SHARE = 4, CALM_ROUNDS = 20 };

void fleet_init(struct fleet *fleet, struct session *session, bool quiet)
{
    *fleet = (struct fleet){.session = session, .quiet = quiet};
    fleet_nodes_init(&fleet->nodes, session->store);
}

void fleet_release(struct fleet *fleet)
{
    fleet_look_release(&fleet->look);
    fleet_nodes_release(&fleet->nodes);
}

bool fleet_is_passing(int rc)
{
    switch (-rc) {
    case EIO:
    case EREMOTEIO:
    case ETIMEDOUT:
    case EAGAIN:
    case EINTR:
    case EPIPE:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ESTALE: /* a mounted file system that went away, or was replaced */
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return true;
    default:
        return false;
    }
}

/* Nodes that count neither as live nor as dead. */
static uint32_t count_unknown(const struct heartbeat_list *nodes, int64_t now_ns)
{
    uint32_t n = (uint32_t)nodes->n_bad;
    for (size_t i = 0; i < nodes->n_nodes; i++)
        n += !heartbeat_is_live(&nodes->nodes[i], now_ns) && !nodes->nodes[i].stopped &&
             nodes->nodes[i].time_ns > now_ns;
    return n;
}

static void warn_unknown(struct fleet *fleet)
{
    uint32_t n = count_unknown(&fleet->nodes.list, manifest_now_ns(fleet->session->manifest));
    if (!n || fleet->warned)
        return;
    fleet->warned = true;
    fprintf(
        stderr,
        "fkv: warning: %u node%s cannot be judged and %s not waited for: the heartbeat cannot be "
        "read, or its time is more than 30 s ahead of the store's; see: fkv status\n",
        n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

int fleet_read(struct fleet *fleet, struct err *err)
{
    bool did = false;
    int rc = fleet_nodes_list(&fleet->nodes, cli_now_ns(), &did, err);
    if (!rc)
        warn_unknown(fleet);
    return rc;
}

uint32_t fleet_n_live(struct fleet *fleet)
{
    int64_t now_ns = manifest_now_ns(fleet->session->manifest);
    uint32_t n = 0;
    for (size_t i = 0; i < fleet->nodes.list.n_nodes; i++)
        n += heartbeat_is_live(&fleet->nodes.list.nodes[i], now_ns);
    return n;
}

/* Nobody will serve what another record took the place of. */
static int check_current(struct fleet *fleet, const struct fleet_wait *wait, struct err *err)
{
    const struct state *state = manifest_state(fleet->session->manifest);
    for (size_t i = 0; wait->is_of_log && i < wait->n_targets; i++) {
        const struct fleet_target *target = &wait->targets[i];
        const struct table_state *table = state_find_table(state, target->table);
        struct history_switch by = {0};
        if (!table || table->current == target->version)
            continue;
        int rc = history_last(fleet->session, target->table, 0, &by, err);
        if (rc)
            return rc;
        return err_set(err, -ESTALE,
                       "table %s version %" PRIu64 ": superseded by record %" PRIu64
                       " by %s, which made version %" PRIu64 " current; see: fkv log",
                       target->table, target->version, by.seq, by.author, table->current);
    }
    return 0;
}

/* Brings what is known up to date. */
static int refresh(struct fleet *fleet, struct err *err)
{
    bool did = false;
    int rc = manifest_refresh(fleet->session->manifest, NULL, err);
    if (!rc)
        rc = fleet_nodes_list(&fleet->nodes, cli_now_ns(), &did, err);
    if (rc || did) {
        if (did) /* what marks point at is gone */
            fleet_look_release(&fleet->look);
        return rc;
    }
    for (size_t i = 0; !rc && i < fleet->look.n_marks; i++) {
        if (!fleet->look.marks[i].there)
            rc = fleet_nodes_reread(&fleet->nodes, fleet->look.marks[i].node, err);
    }
    return rc;
}

/* What asking the store just now tells of the store. */
static void note_answer(struct fleet *fleet, bool answered)
{
    struct manifest *manifest = fleet->session->manifest;
    if (answered && !fleet->answered_ns && fleet->away_until_ns)
        manifest_doubt_clock(manifest);
    int64_t now_ns = manifest_now_ns(manifest);
    int64_t set_ns = manifest_clock_set_ns(manifest);
    int64_t clock_ns = cli_now_ns();
    /* Nodes go by the former time until they read the clock again. */
    if (set_ns && set_ns + NODES_READ_CLOCK_NS > fleet->away_until_ns)
        fleet->away_until_ns = set_ns + NODES_READ_CLOCK_NS;
    if (!answered) {
        fleet->away_until_ns = now_ns > fleet->away_until_ns ? now_ns : fleet->away_until_ns;
        fleet->answered_ns = 0;
        return;
    }
    if (!fleet->answered_ns || clock_ns - fleet->answered_ns > LOOKED_AWAY_NS)
        fleet->watched_since_ns = now_ns;
    fleet->answered_ns = clock_ns;
}

static int look(struct fleet *fleet, const struct fleet_wait *wait, struct err *err)
{
    struct fleet_question question = {
        .state = manifest_state(fleet->session->manifest),
        .targets = wait->targets,
        .n_targets = wait->n_targets,
        .goal = wait->goal,
        .quorum = wait->quorum,
        .since_ns = wait->since_ns,
        .seq = wait->seq,
    };
    struct rollout_clock clock = {.now_ns = manifest_now_ns(fleet->session->manifest),
                                  .away_until_ns = fleet->away_until_ns,
                                  .watched_since_ns = fleet->watched_since_ns};
    struct fleet_look seen = {0};
    int rc = fleet_look(&question, &fleet->nodes.list, &clock, &seen, err);
    if (rc)
        return rc;
    fleet_look_release(&fleet->look);
    fleet->look = seen;
    return 0;
}

static const char *goal_name(const struct fleet_wait *wait)
{
    return wait->goal == FLEET_READY ? "ready" : "serving";
}

/* "n3, n7 and 2 more" */
static void failed_text(const struct fleet_look *look, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < look->n_marks; i++) {
        if (look->marks[i].failed && n++ < FLEET_NAMES_MAX)
            buf_printf(out, "%s%s", n > 1 ? ", " : "", look->marks[i].node->node);
    }
    if (n > FLEET_NAMES_MAX)
        buf_printf(out, " and %zu more", n - FLEET_NAMES_MAX);
}

static int blocked(const struct fleet *fleet, const struct fleet_wait *wait, struct err *err)
{
    const struct fleet_look *look = &fleet->look;
    const struct fleet_mark *mark = look->worst;
    const char *reason = mark && mark->version ? mark->version->reason : NULL;
    bool ready = wait->goal == FLEET_READY;
    struct buf names = {0};
    if (!mark)
        return err_set(err, -EPERM, "too many nodes failed; see: fkv status");
    failed_text(look, &names);
    int rc = err_set(err, -EPERM,
                     "table %s version %" PRIu64 "%s: %u of %u live nodes failed to %s it (%.*s); "
                     "node %s: %.200s%s%s",
                     mark->target->table, mark->target->version, ready ? " stays a candidate" : "",
                     look->n_failed, look->n_live, ready ? "prepare" : "take", (int)names.len,
                     names.data ? (const char *)names.data : "", mark->node->node,
                     reason ? reason : "no reason given",
                     ready ? "; mend that, then: fkv activate " : "; they try again by themselves",
                     ready ? mark->target->table : "");
    buf_release(&names);
    return rc;
}

static int timed_out(struct fleet *fleet, const struct fleet_wait *wait, const struct err *trouble,
                     struct err *err)
{
    struct buf text = {0};
    if (trouble->code)
        buf_printf(&text, "; the store could not be asked: %s", trouble->text);
    else if (fleet->look.n_awaited) {
        buf_printf(&text, "; ");
        fleet_awaited_text(&fleet->look, &text);
    } else if (fleet->look.worst) {
        buf_printf(&text, "; ");
        fleet_mark_text(fleet->look.worst, &text);
    }
    int rc = err_set(err, -ETIMEDOUT, "%u of %zu live node%s %s in time%.*s", fleet->look.n_there,
                     fleet->look.n_marks, fleet->look.n_marks == 1 ? "" : "s", goal_name(wait),
                     (int)text.len, text.data ? (const char *)text.data : "");
    buf_release(&text);
    return rc;
}

/* How long to pause: a quarter of the time goes into asking at most. */
static int64_t pause_ns(int64_t cost_ns, unsigned n_calm)
{
    int64_t ns = PAUSE_SHARE * cost_ns;
    for (unsigned i = CALM_ROUNDS; i <= n_calm && ns < PAUSE_MAX_NS; i += CALM_ROUNDS)
        ns += PAUSE_MIN_NS;
    if (ns < PAUSE_MIN_NS)
        return PAUSE_MIN_NS;
    return ns < PAUSE_MAX_NS ? ns : PAUSE_MAX_NS;
}

static void pause_for(int64_t ns)
{
    if (ns > 0)
        nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

/* What tells that something moved since the last round. */
static uint64_t fingerprint(const struct fleet_look *look)
{
    uint64_t sum = look->n_there;
    for (size_t i = 0; i < look->n_marks; i++) {
        const struct node_version *v = look->marks[i].version;
        if (v)
            sum = sum * 31 + v->done + (uint64_t)v->state;
    }
    return sum;
}

/* Has anything in the log ended what we wait for? */
static int check(struct fleet *fleet, const struct fleet_wait *wait, struct err *err)
{
    int rc = check_current(fleet, wait, err);
    if (!rc && wait->check)
        rc = wait->check(wait->context, manifest_state(fleet->session->manifest), err);
    return rc;
}

/* One round: 1 when the wait is over, 0 to go on. *trouble is set while the store cannot be asked. */
static int round_once(struct fleet *fleet, const struct fleet_wait *wait, struct err *trouble,
                      struct err *err)
{
    struct err why = {0};
    int rc = refresh(fleet, &why);
    if (rc && !fleet_is_passing(rc))
        return err_set(err, rc, "%s", err_text(&why, rc));
    if (rc)
        err_set(trouble, rc, "%s", err_text(&why, rc));
    note_answer(fleet, !rc);
    rc = rc ? 0 : check(fleet, wait, err);
    if (!rc)
        rc = look(fleet, wait, err);
    if (rc || trouble->code)
        return rc;
    warn_unknown(fleet);
    fleet->had_node |= wait->goal == FLEET_SERVING && fleet->look.n_marks;
    /* Nodes that all fell silent while we waited are not done. */
    if (fleet->look.done && (fleet->look.n_marks || (!wait->needs_node && !fleet->had_node)))
        return 1;
    return fleet->look.blocked ? blocked(fleet, wait, err) : 0;
}

/* The pause after a round that cost so much. */
struct pace {
    uint64_t was; /* fingerprint of the last round */
    unsigned n_calm;
};

static int64_t next_pause_ns(struct pace *pace, const struct fleet_look *look, int64_t cost_ns)
{
    uint64_t is = fingerprint(look);
    pace->n_calm = is == pace->was ? pace->n_calm + 1 : 0;
    pace->was = is;
    return pause_ns(cost_ns, pace->n_calm);
}

int fleet_wait(struct fleet *fleet, const struct fleet_wait *wait, struct err *err)
{
    struct fleet_show *show = fleet_show_new(fleet->quiet);
    int64_t begin_ns = cli_now_ns();
    struct pace pace = {0};
    int rc = 0;
    if (fleet->on_interrupt[0])
        interrupt_say(fleet->on_interrupt);
    fleet->had_node = false;
    fleet_look_release(&fleet->look);
    if (wait->due_ns) {
        rc = look(fleet, wait, err); /* so that the first round reads them again */
        int64_t due_in_ns = wait->due_ns - manifest_now_ns(fleet->session->manifest);
        pause_for(rc ? 0 : due_in_ns < wait->timeout_ns ? due_in_ns : wait->timeout_ns);
    }
    while (!rc) {
        struct err trouble = {0};
        int64_t round_ns = cli_now_ns();
        rc = round_once(fleet, wait, &trouble, err);
        if (!rc && fleet->cancel && *fleet->cancel)
            rc = err_set(err, -ECANCELED, "cancelled");
        if (rc)
            break;
        int64_t left_ns = wait->timeout_ns - (cli_now_ns() - begin_ns);
        if (left_ns <= 0) {
            rc = timed_out(fleet, wait, &trouble, err);
            break;
        }
        fleet_show_update(show, &fleet->look, wait->goal, trouble.code ? trouble.text : NULL,
                          cli_now_ns() - begin_ns);
        int64_t ns = next_pause_ns(&pace, &fleet->look, cli_now_ns() - round_ns);
        pause_for(ns < left_ns ? ns : left_ns);
    }
    fleet_show_free(show);
    interrupt_end();
    return rc < 0 ? rc : 0;
}
