/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a plain C function: arguments replace parts of the template, from several threads at
 * once; refusals say which argument. */
#define _POSIX_C_SOURCE 200809L /* barriers */
#include <pthread.h>

#include "abi_case.h"

static const tenon_api *api;
static tenon_error error = {.struct_size = sizeof error};
static tenon_context *context;
static tenon_plan *plan;
static char last_log[2048];

typedef void (*any_function)(void);
typedef int32_t (*merge_fn)(const float *partial_out, float *out, int64_t tokens);

static void keep_log(void *user, int32_t level, const char *text) {
    (void)user;
    snprintf(last_log, sizeof last_log, "%d: %s", level, text);
}

static void test_parts(const abi_case *model) {
    tenon_closure *closure = NULL;
    any_function bare = NULL;
    abi_case c;
    CHECK(!api->closure_create(
              plan, &model->args,
              "i32(ptr:partial_out.data, ptr:out.data, i32:out.shape[0], "
              "u64:partial_out.shape[1], i64:partial_lse.shape[1], i32:lse.shape[0])",
              &closure, &bare, &error),
          "%s", error.text);
    int32_t (*merge)(const void *, void *, int32_t, uint64_t, int64_t, int32_t);
    memcpy(&merge, &bare, sizeof merge);
    abi_case_make(&c);
    CHECK(merge(c.partial_out, c.out, CASE_TOKENS, CASE_TOKENS, CASE_TOKENS, CASE_TOKENS) ==
                  TENON_OK &&
              abi_case_right(&c),
          "%s", last_log);
    abi_case_make(&c);
    CHECK(merge(c.partial_out, c.out, CASE_TOKENS - 1, CASE_TOKENS - 1, CASE_TOKENS - 1,
                CASE_TOKENS - 1) == TENON_OK,
          "%s", last_log);
    CHECK(!memcmp(c.out, c.partial_out[1], sizeof c.out[0] * (CASE_TOKENS - 1)) &&
              c.out[CASE_TOKENS - 1][0][0] == 0,
          "fewer tokens");
    last_log[0] = 0;
    CHECK(merge(c.partial_out, c.out, CASE_TOKENS + 1, CASE_TOKENS, CASE_TOKENS, CASE_TOKENS) ==
                  TENON_STATUS_INVALID_ARGUMENT &&
              strstr(last_log, "closure: merge_states: out"),
          "%s", last_log);
    CHECK(merge(c.partial_out, NULL, CASE_TOKENS, CASE_TOKENS, CASE_TOKENS, CASE_TOKENS) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", last_log);
    api->closure_destroy(closure);
    api->closure_destroy(NULL);

    /* Whole tensors, and void: the failure reaches the log. */
    CHECK(!api->closure_create(
              plan, &model->args,
              "void(ptr:out, ptr:lse, ptr:workspace, u64:workspace_bytes, ptr:fault, ptr:stream)",
              &closure, &bare, &error),
          "%s", error.text);
    void (*whole)(const DLTensor *, const DLTensor *, void *, uint64_t, tenon_fault *, void *);
    memcpy(&whole, &bare, sizeof whole);
    abi_case_make(&c);
    whole(c.args.out, c.args.lse, NULL, 0, NULL, NULL);
    CHECK(abi_case_right(&c), "whole tensors");
    last_log[0] = 0;
    whole(c.args.out, c.args.lse, NULL, 0, NULL, &c);
    CHECK(strstr(last_log, "stream"), "%s", last_log);
    api->closure_destroy(closure);
}

/* ---- re-entrant ---- */
static any_function shared_function;
static pthread_barrier_t start;
static void *call_often(void *wrong) {
    merge_fn merge;
    abi_case c;
    memcpy(&merge, &shared_function, sizeof merge);
    pthread_barrier_wait(&start); /* all at once: the calls are short */
    for (int i = 0; i < 4000; i++) {
        abi_case_make(&c);
        if (merge(&c.partial_out[0][0][0][0], &c.out[0][0][0], CASE_TOKENS) || !abi_case_right(&c))
            *(int *)wrong += 1;
    }
    return NULL;
}

static void test_threads(const abi_case *model) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    int wrong[THREADS] = {0};
    tenon_closure *closure;
    /* lse is left out of this plan: the template's would be written by all threads at once. */
    abi_case own = *model;
    tenon_plan *without_lse;
    abi_case_make(&own);
    own.args.lse = NULL;
    CHECK(!tenon_merge_states_plan(api, context, &own.args, NULL, &without_lse, &error), "%s",
          error.text);
    CHECK(!api->closure_create(without_lse, &own.args,
                               "i32(ptr:partial_out.data, ptr:out.data, i64:out.shape[0])",
                               &closure, &shared_function, &error),
          "%s", error.text);
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, call_often, &wrong[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(!wrong[i], "thread %d: %d calls", i, wrong[i]);
    }
    pthread_barrier_destroy(&start);
    api->closure_destroy(closure);
    api->plan_destroy(without_lse);
}

static void test_refusals(const abi_case *model) {
    static const struct {
        const char *signature, *text;
    } bad[] = {
        {"i32(ptr:user)", "no part of the args"},
        {"i32(ptr:args)", "no part of the args"},
        {"i32(u32:flags)", "fixed by the plan"},
        {"i32(ptr:out.data, ptr:out.data)", "another"},
        {"i32(ptr:out, i64:out.shape[0])", "another"},
        {"i32(i64:out.shape[3])", "smaller rank"},
        {"i32(ptr:lse.data)", "has NULL there"},
        {"i32(ptr:out.dat)", "column 13"},
    };
    tenon_closure *closure = NULL;
    any_function bare = NULL;
    abi_case c = *model;
    c.args.lse = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(api->closure_create(plan, &c.args, bad[i].signature, &closure, &bare, &error) ==
                      TENON_STATUS_INVALID_ARGUMENT &&
                  strstr(error.text, bad[i].text),
              "\"%s\": %s", bad[i].signature, error.text);
    CHECK(api->closure_create(NULL, &c.args, "i32()", &closure, &bare, &error) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);
    CHECK(api->closure_create(plan, &c.args, "i32()", NULL, &bare, &error) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);
    c.args.struct_size = 8;
    CHECK(api->closure_create(plan, &c.args, "i32()", &closure, &bare, &error) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);
    CHECK(!closure && !bare, "a failed call wrote its outputs");
}

int main(void) {
    abi_case model;
    tenon_host host = {.struct_size = sizeof host, .log = keep_log};
    tenon_context_options options = {
        .struct_size = sizeof options, .host = &host, .log_level = TENON_LOG_ERROR};
    api = test_load();
    abi_case_make(&model);
    CHECK(!api->context_create(&options, &context, &error), "%s", error.text);
    CHECK(!tenon_merge_states_plan(api, context, &model.args, NULL, &plan, &error), "%s",
          error.text);
    test_parts(&model);
    test_threads(&model);
    test_refusals(&model);
    api->plan_destroy(plan);
    api->context_destroy(context);
    return test_report();
}
