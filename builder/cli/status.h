/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the fleet, judged: what each table's nodes do, and what is not as it should be. Pure: from the manifest's state and the
 * heartbeats, for `fkv status` as text and as JSON.
 *
 * An issue is a problem, which somebody should look at (`--check` fails), or a note: meant so, or about to pass by itself.
 *
 * Threads: pure functions. Memory: status_release(); pointers live as long as state and heartbeats. Errors: -ENOMEM.
 */
#ifndef FKV_CLI_STATUS_H
#define FKV_CLI_STATUS_H

#include "manifest/heartbeat.h"

#define STATUS_SECOND_NS 1000000000LL
/* A node that is on its way for longer than this is a problem. */
#define STATUS_BEHIND_NS (60 * STATUS_SECOND_NS)
/* Clocks that differ by more are told. */
#define STATUS_CLOCK_NS (1 * STATUS_SECOND_NS)
enum { STATUS_CACHE_FULL_PCT = 95 };

enum status_hold {
    HOLD_NONE,
    HOLD_HOST,   /* by ln -sfn on the host */
    HOLD_PIN,    /* by the log */
    HOLD_CANARY, /* tries a version out */
};

/* What one node says of one table. */
struct status_cell {
    const struct node_table *table;    /* NULL: nothing */
    const struct node_version *coming; /* its word on the version wanted; or NULL */
    int64_t heard_ns;                  /* the time of the heartbeat */
    uint64_t serving;                  /* 0: none */
    uint64_t wanted;
    enum status_hold hold;
    bool settled;
};

/* Live nodes on their way to one version. */
struct status_group {
    uint64_t version; /* 0: there is no such version */
    uint32_t n_ready;
    uint32_t n_fetching;
    uint32_t n_loading;
    uint32_t n_failing;
    uint32_t n_waiting; /* have not begun, or not seen it */
    double least_pct;   /* of those that fetch or load */
    int64_t longest_ns; /* until the slowest of them is done; negative: cannot be said */
};

struct status_table {
    const struct table_state *table;
    const struct version_entry *current; /* NULL: none */
    int64_t since_ns;                    /* when current took or takes effect; 0: none */
    uint64_t canary;                     /* 0: none */
    uint32_t n_live;
    uint32_t n_current;         /* live nodes that serve current */
    uint32_t n_pinned;          /* held at another version, and serving it */
    uint32_t n_canary;          /* serve the canary */
    struct status_group behind; /* on their way to current */
    struct status_group next;   /* on their way to the newest candidate */
};

struct status_issue {
    bool is_problem;
    const char *kind;                /* a word for scripts: "gone", "failing" … */
    const struct heartbeat *node;    /* NULL: of the whole fleet */
    const struct table_state *table; /* NULL: of the whole node */
    char *text;
};

struct status {
    const struct state *state;
    const struct heartbeat_list *nodes;
    int64_t now_ns;
    struct status_table *tables;
    size_t n_tables;
    struct status_issue *issues; /* by node, then by table */
    size_t n_issues;
    size_t n_problems;
    uint32_t n_live;
    uint32_t n_stopped; /* ended in good order */
    uint32_t n_gone;
};

struct status_input {
    const struct state *state;
    const struct heartbeat_list *nodes;
    /* what was read a while ago, or NULL: tells two daemons of one name */
    const struct heartbeat_list *before;
    const char *only_table; /* or NULL */
    const char *only_node;  /* issues and cells of that node only; or NULL */
    int64_t now_ns;         /* by the store's clock */
};

int status_make(const struct status_input *input, struct status *out, struct err *err);
void status_release(struct status *status);

void status_judge(const struct heartbeat *node, const struct table_state *table, int64_t now_ns,
                  struct status_cell *out);
/* "ok", "ok, pinned on its host (ln -sfn)", "behind: 43 fetching 62 %, 14 s left", "FAILING: 43: no memory"; appended. */
void status_cell_text(const struct status_cell *cell, struct buf *out);
/* The same, and "; 44 failed: no memory" for other versions that it could not take. */
void status_cell_full_text(const struct status_cell *cell, struct buf *out);

#endif
