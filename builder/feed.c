/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/feed.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct feed_input {
    struct input *input; /* open from its first block to the last one given back */
    uint32_t n_blocks;   /* handed out and not given back */
    bool is_busy;        /* a worker reads from it */
    bool has_ended;
    struct piece_seen seen; /* once it was read to its end */
};

struct feed {
    const struct input_piece *pieces;
    size_t n_pieces;
    const struct job *job;
    const struct input_options *options;
    pthread_mutex_t lock; /* guards all below; not held while reading */
    pthread_cond_t freed;
    uint32_t first; /* every input below has ended */
    uint32_t limit; /* inputs from here on are not read */
    uint64_t file_bytes;
    uint64_t text_bytes;
    struct feed_input inputs[]; /* one a piece */
};

int feed_new(const struct input_piece *pieces, size_t n_pieces, const struct job *job,
             const struct input_options *options, struct feed **out)
{
    struct feed *feed = calloc(1, sizeof *feed + n_pieces * sizeof feed->inputs[0]);
    if (!feed)
        return -ENOMEM;
    feed->pieces = pieces;
    feed->n_pieces = n_pieces;
    feed->job = job;
    feed->options = options;
    feed->limit = (uint32_t)n_pieces;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->freed, NULL);
    *out = feed;
    return 0;
}

void feed_free(struct feed *feed)
{
    if (!feed)
        return;
    for (size_t i = 0; i < feed->n_pieces; i++)
        input_close(feed->inputs[i].input);
    pthread_cond_destroy(&feed->freed);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

/* The first input with blocks left that nobody reads, marked busy; waits while all are busy. False at the end. */
static bool input_claim(struct feed *feed, uint32_t *index)
{
    scope_lock(&feed->lock);
    for (;;) {
        bool has_busy = false;
        while (feed->first < feed->limit && feed->inputs[feed->first].has_ended)
            feed->first++;
        for (uint32_t i = feed->first; i < feed->limit; i++) {
            struct feed_input *it = &feed->inputs[i];
            if (!it->has_ended && !it->is_busy) {
                it->is_busy = true;
                *index = i;
                return true;
            }
            has_busy |= it->is_busy;
        }
        if (!has_busy)
            return false;
        pthread_cond_wait(&feed->freed, &feed->lock);
    }
}

static void input_drop_if_done(struct feed_input *it)
{
    if (!it->has_ended || it->is_busy || it->n_blocks)
        return;
    input_close(it->input);
    it->input = NULL;
}

/* After reading: got as input_take() gave it. */
static void input_unclaim(struct feed *feed, uint32_t index, int got, uint64_t file_bytes,
                          uint64_t text_bytes)
{
    scope_lock(&feed->lock);
    struct feed_input *it = &feed->inputs[index];
    it->is_busy = false;
    it->has_ended |= got <= 0;
    it->n_blocks += got > 0;
    feed->file_bytes += file_bytes;
    feed->text_bytes += text_bytes;
    input_drop_if_done(it);
    pthread_cond_broadcast(&feed->freed);
}

static int claimed_open(struct feed *feed, uint32_t index, struct err *err)
{
    const struct input_piece *piece = &feed->pieces[index];
    enum input_format format = INPUT_AUTO;
    int ret = input_format_of(piece->path, feed->job->format, &format, err);
    return ret ? ret : input_open(piece, format, feed->options, &feed->inputs[index].input, err);
}

int feed_take(struct feed *feed, struct input_block *block, uint32_t *index,
              const struct input **input, uint64_t *seq, struct err *err)
{
    uint32_t i;
    while (input_claim(feed, &i)) {
        struct feed_input *it = &feed->inputs[i];
        uint64_t file_before = 0;
        uint64_t text_before = 0;
        int got = 0;
        if (it->input) {
            file_before = input_bytes_read(it->input);
            text_before = input_bytes_text(it->input);
        } else {
            got = claimed_open(feed, i, err);
        }
        if (!got)
            got = input_take(it->input, block, err);
        if (!got)
            it->seen = (struct piece_seen){input_begin(it->input), input_end(it->input),
                                           input_line(it->input) - 1};
        *seq = seq_make(i, got < 0 && it->input ? input_line(it->input) : 0);
        *index = i;
        *input = it->input;
        input_unclaim(feed, i, got, it->input ? input_bytes_read(it->input) - file_before : 0,
                      it->input ? input_bytes_text(it->input) - text_before : 0);
        if (got)
            return got;
    }
    return 0;
}

void feed_done(struct feed *feed, uint32_t index)
{
    scope_lock(&feed->lock);
    feed->inputs[index].n_blocks--;
    input_drop_if_done(&feed->inputs[index]);
}

void feed_stop(struct feed *feed, uint32_t index)
{
    scope_lock(&feed->lock);
    if (index < feed->limit)
        feed->limit = index;
    pthread_cond_broadcast(&feed->freed);
}

void feed_seen(const struct feed *feed, struct piece_seen *out)
{
    for (size_t i = 0; i < feed->n_pieces; i++)
        out[i] = feed->inputs[i].seen;
}

void feed_bytes(struct feed *feed, uint64_t *file_bytes, uint64_t *text_bytes)
{
    scope_lock(&feed->lock);
    *file_bytes = feed->file_bytes;
    *text_bytes = feed->text_bytes;
}
