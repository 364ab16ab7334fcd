/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background: threads that fetch and load stand back behind those that answer.
 *
 * Threads: of the calling thread. Memory: none. Errors: none; a host that refuses only has less
 * order among its threads.
 */
#ifndef FKV_NODE_BACKGROUND_H
#define FKV_NODE_BACKGROUND_H

/* From now on this thread gets the processor when others leave it some. */
void background_begin(void);

#endif
