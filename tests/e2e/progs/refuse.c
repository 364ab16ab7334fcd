/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse uring|direct PROGRAM ARGUMENT…: runs it with a seccomp filter, as containers have them.
 *
 *   uring    io_uring's system calls fail with EPERM
 *   direct   opening a file with O_DIRECT fails with EINVAL, as on file systems that have no such reads
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define FAIL(error)  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* The three calls have neighbouring numbers on every architecture. */
static struct sock_filter uring[] = {
    LOAD(nr),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
    FAIL(EPERM),
    ALLOW,
};

/* Flags are the third argument; the lower half of it, on little-endian machines. */
static struct sock_filter direct[] = {
    LOAD(nr),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
    LOAD(args[2]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_DIRECT, 0, 1),
    FAIL(EINVAL),  ALLOW,
};

int main(int argc, char **argv)
{
    struct sock_fprog filter = {.len = sizeof uring / sizeof uring[0], .filter = uring};
    if (argc < 3)
        return 2;
    if (!strcmp(argv[1], "direct"))
        filter = (struct sock_fprog){.len = sizeof direct / sizeof direct[0], .filter = direct};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        perror("refuse: seccomp");
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
