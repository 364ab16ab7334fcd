/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/fleet_show.h"

#include "builder/cli/board.h"
#include "builder/cli/progress.h"
#include "builder/cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_NODES_MAX = 4, NAME_WIDTH_MAX = 32 };

struct fleet_show {
    struct board *board;
    struct buf last; /* the line said last */
};

struct fleet_show *fleet_show_new(bool quiet)
{
    struct fleet_show *show = calloc(1, sizeof *show);
    if (show)
        show->board = board_new(quiet);
    return show;
}

void fleet_show_free(struct fleet_show *show)
{
    if (!show)
        return;
    board_free(show->board);
    buf_release(&show->last);
    free(show);
}

static bool is_moving(const struct node_version *version)
{
    return version && (version->state == NODE_FETCHING || version->state == NODE_LOADING);
}

static void pace_text(const struct node_version *version, int64_t heard_ns, struct buf *out)
{
    double rate = 0;
    int64_t left_ns = node_version_left_ns(version, heard_ns, &rate);
    char text[TEXT_MAX];
    if (rate > 0) {
        text_size((uint64_t)rate, text);
        buf_printf(out, ", %s/s", text);
    }
    if (left_ns >= 0) {
        text_age(left_ns, text);
        buf_printf(out, ", %s left", text);
    }
}

static double percent_of(const struct node_version *version)
{
    if (!version->total)
        return 0;
    double share = (double)version->done / (double)version->total;
    return 100 * (share > 1 ? 1 : share);
}

void node_version_text(const struct node_version *version, int64_t heard_ns, struct buf *out)
{
    if (!version) {
        buf_printf(out, "not seen yet");
        return;
    }
    const char *state = node_version_state_name(version->state);
    buf_printf(out, "%s", state ? state : "?");
    if (version->state == NODE_FAILED)
        buf_printf(out, ": %s", version->reason ? version->reason : "no reason given");
    if (is_moving(version)) {
        if (version->total)
            buf_printf(out, " %.0f %%", percent_of(version));
        pace_text(version, heard_ns, out);
    }
}

static void state_text(const struct fleet_mark *mark, struct buf *out)
{
    if (mark->unread)
        buf_printf(out, "has not read the record yet");
    else
        node_version_text(mark->version, mark->node->time_ns, out);
}

void fleet_mark_text(const struct fleet_mark *mark, struct buf *out)
{
    buf_printf(out, "%s: %s version %" PRIu64 " ", mark->node->node, mark->target->table,
               mark->target->version);
    state_text(mark, out);
}

void fleet_names_text(const struct heartbeat *const *nodes, size_t n, struct buf *out)
{
    size_t n_named = n <= FLEET_NAMES_MAX ? n : FLEET_NAMES_MAX - 1;
    for (size_t i = 0; i < n_named; i++)
        buf_printf(out, "%s%s", i ? ", " : "", nodes[i]->node);
    if (n > n_named)
        buf_printf(out, " and %zu more", n - n_named);
}

void fleet_awaited_text(const struct fleet_look *look, struct buf *out)
{
    char left[TEXT_MAX], age[TEXT_MAX];
    const char *plural = look->n_awaited == 1 ? " is" : "s are";
    if (!look->n_awaited)
        return;
    text_age(look->await_until_ns - look->now_ns, left);
    if (look->await_until_ns != look->away_until_ns + ROLLOUT_SPEAK_NS) {
        buf_printf(out, "no node is live, but %u silent node%s given %s more to speak",
                   look->n_awaited, plural, left);
        return;
    }
    text_age(look->now_ns - look->away_until_ns, age);
    if (look->away_until_ns > look->now_ns)
        buf_printf(out, "the store's clock was set");
    else
        buf_printf(out, "the store was away until %s ago", age);
    buf_printf(out, ": %u silent node%s given %s more to speak", look->n_awaited, plural, left);
}

/* "5 of 8 live nodes ready" */
static void summary_text(const struct fleet_look *look, enum fleet_goal goal, struct buf *out)
{
    buf_printf(out, "%u of %zu live node%s %s", look->n_there, look->n_marks,
               look->n_marks == 1 ? "" : "s", goal == FLEET_READY ? "ready" : "serving");
    if (look->n_failed)
        buf_printf(out, ", %u failing", look->n_failed);
    if (look->n_awaited) {
        buf_printf(out, "; ");
        fleet_awaited_text(look, out);
    }
}

static void block_line(const struct fleet_mark *mark, int name_width, struct buf *out)
{
    buf_printf(out, "  %-*s  %s %" PRIu64 "  ", name_width, mark->node->node, mark->target->table,
               mark->target->version);
    if (is_moving(mark->version) && mark->version->total) {
        char bar[PROGRESS_BAR_LEN + 1];
        progress_bar(percent_of(mark->version) / 100, bar);
        buf_printf(out, "%-8s [%s] %3.0f %%", node_version_state_name(mark->version->state), bar,
                   percent_of(mark->version));
        pace_text(mark->version, mark->node->time_ns, out);
    } else {
        state_text(mark, out);
    }
    buf_add_byte(out, '\n');
}

/* Failed ones first, then the others, as many as the screen holds. */
static void block_nodes(const struct fleet_look *look, size_t max, struct buf *out)
{
    size_t n_away = look->n_marks - look->n_there;
    size_t n_shown = 0;
    int width = 0;
    for (size_t i = 0; i < look->n_marks; i++) {
        int len = (int)strlen(look->marks[i].node->node);
        width = !look->marks[i].there && len > width ? len : width;
    }
    width = width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX;
    if (n_away > max)
        max--;
    for (int failed = 1; failed >= 0; failed--) {
        for (size_t i = 0; i < look->n_marks && n_shown < max; i++) {
            if (look->marks[i].there || look->marks[i].failed != failed)
                continue;
            block_line(&look->marks[i], width, out);
            n_shown++;
        }
    }
    if (n_away > n_shown)
        buf_printf(out, "  … and %zu more\n", n_away - n_shown);
}

static void show_block(struct fleet_show *show, const struct fleet_look *look, enum fleet_goal goal,
                       const char *trouble, int64_t elapsed_ns)
{
    struct buf text = {0};
    char age[TEXT_MAX];
    text_age(elapsed_ns, age);
    summary_text(look, goal, &text);
    buf_printf(&text, ", %s%s%s\n", age, trouble ? "; " : "", trouble ? trouble : "");
    block_nodes(look, board_rows(show->board) - 1, &text);
    board_block(show->board, &text);
    buf_release(&text);
}

static void line_text(const struct fleet_look *look, enum fleet_goal goal, const char *trouble,
                      struct buf *out)
{
    size_t n = 0;
    buf_printf(out, "waiting: ");
    summary_text(look, goal, out);
    if (trouble)
        buf_printf(out, "; %s", trouble);
    for (size_t i = 0; i < look->n_marks && n < LINE_NODES_MAX; i++) {
        if (look->marks[i].there)
            continue;
        buf_printf(out, "; ");
        fleet_mark_text(&look->marks[i], out);
        n++;
    }
    if (look->n_marks - look->n_there > n)
        buf_printf(out, "; and %zu more", look->n_marks - look->n_there - n);
    buf_add_byte(out, 0);
}

void fleet_show_update(struct fleet_show *show, const struct fleet_look *look, enum fleet_goal goal,
                       const char *trouble, int64_t elapsed_ns)
{
    if (!show || !show->board)
        return;
    if (board_is_terminal(show->board)) {
        show_block(show, look, goal, trouble, elapsed_ns);
        return;
    }
    struct buf text = {0};
    line_text(look, goal, trouble, &text);
    bool same =
        text.len == show->last.len && text.len && !memcmp(text.data, show->last.data, text.len);
    if (text.len && !same && board_may_say(show->board)) {
        board_say(show->board, "%s", (const char *)text.data);
        buf_release(&show->last);
        show->last = text;
        return;
    }
    buf_release(&text);
}
