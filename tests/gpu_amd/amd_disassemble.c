/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs llvm-objdump over a code object in memory. LLVM's decoder is the one that tools agree on,
 * and its text is what people read; an own decoder would only repeat it.
 */
#define _GNU_SOURCE
#include "amd_decode.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef GPU_AMD_OBJDUMP
#    define GPU_AMD_OBJDUMP "llvm-objdump-22"
#endif

extern char **environ;

static bool write_all(int file, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes) {
        ssize_t written = write(file, at, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        at += written;
        bytes -= (size_t)written;
    }
    return true;
}

static char *read_all(int file) {
    size_t capacity = 1 << 16, count = 0;
    char *text = malloc(capacity);
    while (text) {
        ssize_t got = read(file, text + count, capacity - count - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        count += (size_t)got;
        if (capacity - count > 1) continue;
        char *grown = realloc(text, capacity *= 2);
        if (!grown) free(text);
        text = grown;
    }
    if (text) text[count] = 0;
    return text;
}

static char *run_objdump(const char *path, int *status) {
    int pipes[2];
    pid_t child;
    char *text = NULL;
    char *arguments[] = {(char *)(uintptr_t)GPU_AMD_OBJDUMP, (char *)(uintptr_t)"-d",
                         (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    *status = -1;
    if (pipe(pipes)) return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
    posix_spawn_file_actions_addclose(&actions, pipes[0]);
    posix_spawn_file_actions_addclose(&actions, pipes[1]);
    int problem = posix_spawnp(&child, GPU_AMD_OBJDUMP, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (!problem) {
        text = read_all(pipes[0]);
        while (waitpid(child, status, 0) < 0 && errno == EINTR) {
        }
    }
    close(pipes[0]);
    return text;
}

char *amd_disassemble(const void *image, size_t bytes, char *text, size_t text_bytes) {
    const char *directory = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/gpu_amd_XXXXXX", directory && *directory ? directory : "/tmp");
    int file = mkostemp(path, O_CLOEXEC), status = -1;
    char *result = NULL;
    if (file < 0) {
        snprintf(text, text_bytes, "no temporary file for the disassembler: %s", strerror(errno));
        return NULL;
    }
    if (write_all(file, image, bytes)) result = run_objdump(path, &status);
    close(file);
    unlink(path);
    if (!result || status != 0) {
        snprintf(text, text_bytes, "%s could not disassemble the code object (status %d)",
                 GPU_AMD_OBJDUMP, status);
        free(result);
        return NULL;
    }
    return result;
}
