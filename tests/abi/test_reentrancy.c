/* SPDX-License-Identifier: Apache-2.0 */
/* One plan, eight threads, each with its own tensors and workspace: every operation gives all of
 * them the bits that it gives one. */
#include <pthread.h>

#include "every_problem.h"

enum { THREADS = 8, RUNS = 5 };
static const tenon_api *api;
static tenon_context *context;
static int operations_seen[TENON_OP_COUNT];

typedef struct job {
    const tenon_plan *plan;
    bench_problem *problem;
    pthread_barrier_t *start;
    int32_t status;
    tenon_error error;
} job;

static void *run_job(void *arg) {
    job *j = arg;
    j->error.struct_size = sizeof j->error;
    pthread_barrier_wait(j->start);
    for (int i = 0; i < RUNS && !j->status; i++)
        j->status = api->run(j->plan, j->problem->args.bytes, &j->error);
    return NULL;
}

static void by_eight_threads(const char *text) {
    tenon_error error = {.struct_size = sizeof error};
    bench_problem *alone = problem_make(api, text);
    tenon_plan *plan = problem_plan(api, context, alone, NULL, &error);
    if (!plan) {
        problem_free(alone);
        return;
    }
    for (int i = 0; i < RUNS; i++)
        CHECK(!api->run(plan, alone->args.bytes, &error), "%s: %s", text, error.text);
    pthread_barrier_t start;
    pthread_t thread[THREADS];
    job jobs[THREADS];
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        bench_problem *p = problem_make(api, text);
        size_t bytes = alone->args.head.workspace_bytes;
        p->args.head.workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
        p->args.head.workspace_bytes = bytes;
        jobs[i] = (job){.plan = plan, .problem = p, .start = &start};
        pthread_create(&thread[i], NULL, run_job, &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(!jobs[i].status, "%s: thread %d: %s", text, i, jobs[i].error.text);
        CHECK(problem_same_bits(alone, jobs[i].problem), "%s: thread %d has other bits", text, i);
        free(jobs[i].problem->args.head.workspace);
        problem_free(jobs[i].problem);
    }
    pthread_barrier_destroy(&start);
    operations_seen[alone->info->op]++;
    api->plan_destroy(plan);
    free(alone->args.head.workspace);
    problem_free(alone);
}

int main(void) {
    api = test_load();
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options options = {
        .struct_size = sizeof options, .log_level = -1, .n_threads = 4};
    CHECK(!api->context_create(&options, &context, &error), "%s", error.text);
    each_problem(3, by_eight_threads);
    int seen = 0;
    for (int op = 0; op < TENON_OP_COUNT; op++) seen += operations_seen[op] > 0;
    CHECK(seen == TENON_OP_COUNT - 1, "%d operations of %d; unpack_weights has no problem string",
          seen, TENON_OP_COUNT);
    api->context_destroy(context);
    return test_report();
}
