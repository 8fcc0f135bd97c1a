/* SPDX-License-Identifier: Apache-2.0 */
/* The host's allocator fails at its first, second, .. call: NO_MEMORY each time, everything given
 * back with the size it was taken with, outputs as they were; until a call needs no more than it
 * gets. */
#include <pthread.h>
#include <unistd.h>

#include "every_problem.h"

typedef struct ledger {
    pthread_mutex_t lock; /* a backend may allocate from its own threads */
    long fail_at, calls, live;
    size_t live_bytes;
    bool wrong_release;
} ledger;

enum { GUARD = 64 };
static void *ledger_allocate(void *user, size_t bytes, size_t alignment) {
    ledger *l = user;
    pthread_mutex_lock(&l->lock);
    bool fails = ++l->calls == l->fail_at;
    if (!fails) l->live++, l->live_bytes += bytes;
    pthread_mutex_unlock(&l->lock);
    if (fails) return NULL;
    size_t before = alignment > GUARD ? alignment : GUARD;
    unsigned char *block = NULL;
    if (posix_memalign((void **)&block, before, before + bytes)) return NULL;
    memset(block, 0xa5, before + bytes); /* nobody may count on zeros */
    memcpy(block + before - 16, &bytes, sizeof bytes);
    memcpy(block + before - 8, &before, sizeof before);
    return block + before;
}
static void ledger_release(void *user, void *pointer, size_t bytes, size_t alignment) {
    ledger *l = user;
    size_t taken, before;
    memcpy(&taken, (char *)pointer - 16, sizeof taken);
    memcpy(&before, (char *)pointer - 8, sizeof before);
    pthread_mutex_lock(&l->lock);
    l->wrong_release |= taken != bytes || before != (alignment > GUARD ? alignment : GUARD);
    l->live--, l->live_bytes -= taken;
    pthread_mutex_unlock(&l->lock);
    free((char *)pointer - before);
}

static const tenon_api *api;
static char trace_path[] = "tenon_no_memory_XXXXXX";
typedef void (*any_function)(void);
static void take_nothing(void) {}

/* All that allocates, from a context to a closure. Stops at the first failure, and gives back what
 * it has. */
static int32_t do_everything(ledger *l, bench_problem *p, tenon_error *error) {
    tenon_host host = {.struct_size = sizeof host,
                       .user = l,
                       .allocate = ledger_allocate,
                       .release = ledger_release};
    tenon_context_options options = {.struct_size = sizeof options,
                                     .host = &host,
                                     .log_level = -1,
                                     .n_threads = 2,
                                     .trace_path = trace_path};
    const tenon_foreign_kernel kernel = {.struct_size = sizeof kernel,
                                         .op = TENON_OP_MERGE_STATES,
                                         .name = "own",
                                         .signature = "void()",
                                         .function = take_nothing,
                                         .priority = -1};
    tenon_context *context = NULL;
    tenon_plan *plan = NULL;
    tenon_closure *closure = NULL;
    any_function bare = NULL;
    int32_t status = api->context_create(&options, &context, error);
    CHECK(!context == !!status, "context");
    if (!status) status = api->register_kernel(context, &kernel, error);
    if (!status) status = api->plan_create(context, p->info->op, p->args.bytes, NULL, &plan, error);
    CHECK(!plan || !status, "plan");
    if (!status)
        status = api->closure_create(plan, p->args.bytes, "i32(ptr:workspace, u64:workspace_bytes)",
                                     &closure, &bare, error);
    CHECK(!closure == !bare && (!closure || !status), "closure");
    if (!status) status = api->call(context, p->info->op, p->args.bytes, error);
    api->closure_destroy(closure);
    api->plan_destroy(plan);
    api->context_destroy(context);
    return status;
}

static void fail_everywhere(const char *text) {
    bench_problem *p = problem_make(api, text), *before = problem_make(api, text);
    long n = 1;
    for (; n < 1000; n++) {
        ledger l = {.lock = PTHREAD_MUTEX_INITIALIZER, .fail_at = n};
        tenon_error error = {.struct_size = sizeof error};
        int32_t status = do_everything(&l, p, &error);
        CHECK(l.live == 0 && l.live_bytes == 0,
              "%s: allocation %ld fails: %ld blocks of %zu bytes leak", text, n, l.live,
              l.live_bytes);
        CHECK(!l.wrong_release, "%s: a block was given back with another size or alignment", text);
        if (l.calls < n) {
            CHECK(!status, "%s: %s", text, error.text);
            break;
        }
        CHECK(status == TENON_STATUS_NO_MEMORY && error.status == status && error.text[0],
              "%s: allocation %ld fails: status %d: %s", text, n, status, error.text);
        CHECK(problem_same_bits(p, before), "%s: allocation %ld fails: a tensor was written", text,
              n);
    }
    CHECK(n > 4, "%s: only %ld allocations were tried", text, n);
    problem_free(p);
    problem_free(before);
}

int main(void) {
    api = test_load();
    int file = mkstemp(trace_path);
    CHECK(file >= 0, "mkstemp");
    close(file);
    each_problem(1, fail_everywhere);
    remove(trace_path);
    return test_report();
}
