/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt: ^C while a command waits for nodes. It ends the command at once, whatever call hangs, and says how things stand.
 *
 * Threads: from the main thread (it takes over SIGINT). Memory: a copy of the text. Errors: none.
 */
#ifndef FKV_CLI_INTERRUPT_H
#define FKV_CLI_INTERRUPT_H

/* From now on ^C says this line on stderr before the program dies of it. */
void interrupt_say(const char *text);
/* ^C ends the program without a word again. */
void interrupt_end(void);

#endif
