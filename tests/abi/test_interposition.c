/* SPDX-License-Identifier: Apache-2.0 */
/* run allocates nothing, takes no lock and reads no environment, in any operation, by any of its
 * kernels. This program's own symbols stand before libc's for every library that it loads, and
 * count. */
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "every_problem.h"

/* X(return type, name, parameters, arguments) */
#define COUNTED_LIST(X)                                                                            \
    X(void *, malloc, (size_t a), (a))                                                             \
    X(void *, calloc, (size_t a, size_t b), (a, b))                                                \
    X(void *, realloc, (void *a, size_t b), (a, b))                                                \
    X(void *, aligned_alloc, (size_t a, size_t b), (a, b))                                         \
    X(void *, memalign, (size_t a, size_t b), (a, b))                                              \
    X(int, posix_memalign, (void **a, size_t b, size_t c), (a, b, c))                              \
    X(void *, mmap, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))         \
    X(int, munmap, (void *a, size_t b), (a, b))                                                    \
    X(int, mprotect, (void *a, size_t b, int c), (a, b, c))                                        \
    X(char *, getenv, (const char *a), (a))                                                        \
    X(char *, secure_getenv, (const char *a), (a))                                                 \
    X(int, pthread_mutex_lock, (pthread_mutex_t * a), (a))                                         \
    X(int, pthread_mutex_trylock, (pthread_mutex_t * a), (a))                                      \
    X(int, pthread_rwlock_rdlock, (pthread_rwlock_t * a), (a))                                     \
    X(int, pthread_rwlock_wrlock, (pthread_rwlock_t * a), (a))                                     \
    X(int, pthread_spin_lock, (pthread_spinlock_t * a), (a))                                       \
    X(int, pthread_cond_wait, (pthread_cond_t * a, pthread_mutex_t * b), (a, b))                   \
    X(int, pthread_once, (pthread_once_t * a, void (*b)(void)), (a, b))                            \
    X(int, pthread_create, (pthread_t * a, const pthread_attr_t *b, void *(*c)(void *), void *d),  \
      (a, b, c, d))                                                                                \
    X(void *, dlopen, (const char *a, int b), (a, b))

#define E_COUNTED(type, name, parameters, arguments) COUNTED_##name,
enum { COUNTED_LIST(E_COUNTED) COUNTED_free, COUNTED_COUNT };
static const char *const names[] = {
#define NAME(type, name, parameters, arguments) #name,
    COUNTED_LIST(NAME) "free"};

static atomic_bool counting;
static atomic_long counted[COUNTED_COUNT];
static inline void count(int which) {
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add(&counted[which], 1);
}

/* dlsym may allocate before the real allocator is known: it gets this. */
static _Alignas(64) char early[1 << 16];
static size_t early_used;
static void *early_allocate(size_t bytes) {
    void *at = early + early_used;
    early_used += (bytes + 63) / 64 * 64;
    if (early_used > sizeof early) _Exit(3);
    return at;
}

static _Thread_local bool looking_up;
static void *real(const char *name) {
    looking_up = true;
    void *found = dlsym(RTLD_NEXT, name);
    looking_up = false;
    return found;
}

#define DEFINE(type, name, parameters, arguments)                                                  \
    type name parameters;                                                                          \
    type name parameters {                                                                         \
        static _Atomic(void *) found;                                                              \
        type(*function) parameters;                                                                \
        void *symbol = atomic_load(&found);                                                        \
        EARLY_##name if (!symbol) atomic_store(&found, symbol = real(#name));                      \
        *(void **)&function = symbol;                                                              \
        count(COUNTED_##name);                                                                     \
        return function arguments;                                                                 \
    }
#define EARLY_malloc                                                                               \
    if (!symbol && looking_up) return early_allocate(a);
#define EARLY_calloc                                                                               \
    if (!symbol && looking_up) return early_allocate(a * b);
#define EARLY_realloc
#define EARLY_aligned_alloc
#define EARLY_memalign
#define EARLY_posix_memalign
#define EARLY_mmap
#define EARLY_munmap
#define EARLY_mprotect
#define EARLY_getenv
#define EARLY_secure_getenv
#define EARLY_pthread_mutex_lock
#define EARLY_pthread_mutex_trylock
#define EARLY_pthread_rwlock_rdlock
#define EARLY_pthread_rwlock_wrlock
#define EARLY_pthread_spin_lock
#define EARLY_pthread_cond_wait
#define EARLY_pthread_once
#define EARLY_pthread_create
#define EARLY_dlopen
COUNTED_LIST(DEFINE)

void free(void *pointer) {
    static _Atomic(void *) found;
    void (*function)(void *);
    if ((char *)pointer >= early && (char *)pointer < early + sizeof early) return;
    void *symbol = atomic_load(&found);
    if (!symbol) atomic_store(&found, symbol = real("free"));
    *(void **)&function = symbol;
    count(COUNTED_free);
    function(pointer);
}

/* ---- the runs ---- */
static const tenon_api *api;
static tenon_context *context;
static int runs, operations_seen[TENON_OP_COUNT];

static void expect_nothing(const char *what, const char *kernel) {
    for (int i = 0; i < COUNTED_COUNT; i++) {
        CHECK(!counted[i], "%s by %s: %ld calls of %s", what, kernel, (long)counted[i], names[i]);
        counted[i] = 0;
    }
}

static void run_counted(const char *text, const tenon_plan *plan, const void *args, int32_t op) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, &error);
    for (int i = 0; i < 3; i++) {
        counting = true;
        int32_t status = api->run(plan, args, &error);
        counting = false;
        CHECK(!status, "%s: %s", text, error.text);
        expect_nothing(text, query.kernel);
    }
    runs++;
    operations_seen[op]++;
}

/* The problem by every kernel that takes it. */
static void by_every_kernel(const char *text) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_kernel_info info = {.struct_size = sizeof info};
    bench_problem *p = problem_make(api, text);
    for (uint32_t k = 0; !api->kernel_info(context, k, &info, &error); k++) {
        if (info.op != p->info->op || !info.available) continue;
        tenon_plan *plan = problem_plan(api, context, p, info.name, &error);
        if (!plan) continue;
        run_counted(text, plan, p->args.bytes, info.op);
        /* The long road: views without strides, a chain, and failures. */
        static const tenon_ext ext = {sizeof ext, 1, NULL};
        p->args.head.ext = &ext;
        run_counted(text, plan, p->args.bytes, info.op);
        p->args.head.ext = NULL;
        p->args.head.flags ^= 0x40000000u;
        counting = true;
        int32_t status = api->run(plan, p->args.bytes, &error);
        counting = false;
        CHECK(status == TENON_STATUS_INVALID_ARGUMENT, "%s: %d", text, status);
        expect_nothing(text, "a failure");
        p->args.head.flags ^= 0x40000000u;
        api->plan_destroy(plan);
        free(p->args.head.workspace);
        p->args.head.workspace = NULL, p->args.head.workspace_bytes = 0;
    }
    problem_free(p);
}

static void never_inlined(void *volatile *pointer) {
    free(*pointer);
}

int main(void) {
    api = test_load();
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options options = {
        .struct_size = sizeof options, .log_level = -1, .n_threads = 3};
    /* The counters count. */
    counting = true;
    void *volatile pointer = malloc(10);
    never_inlined(&pointer);
    (void)getenv("TENON_LOG");
    CHECK(!api->context_create(&options, &context, &error), "%s", error.text);
    counting = false;
    CHECK(counted[COUNTED_malloc] >= 1 && counted[COUNTED_free] >= 1 &&
              counted[COUNTED_getenv] >= 1,
          "the program's own calls");
    CHECK(counted[COUNTED_posix_memalign] >= 1 && counted[COUNTED_secure_getenv] >= 2,
          "the library's calls are not seen: %ld, %ld", (long)counted[COUNTED_posix_memalign],
          (long)counted[COUNTED_secure_getenv]);
    for (int i = 0; i < COUNTED_COUNT; i++) counted[i] = 0;

    each_problem(1000, by_every_kernel);
    unpack_problem *u = unpack_problem_make(api, context);
    tenon_plan *plan = NULL;
    CHECK(!tenon_unpack_weights_plan(api, context, &u->args, NULL, &plan, &error), "%s",
          error.text);
    tenon_query query = {.struct_size = sizeof query};
    api->plan_query(plan, &query, &error);
    u->args.workspace = aligned_alloc(64, (size_t)(query.workspace_bytes + 64) / 64 * 64),
    u->args.workspace_bytes = query.workspace_bytes;
    run_counted("unpack_weights", plan, &u->args, TENON_OP_UNPACK_WEIGHTS);
    CHECK(!memcmp(u->w, u->back, sizeof u->w), "unpack_weights");
    free(u->args.workspace);
    api->plan_destroy(plan);
    free(u);
    for (int op = 0; op < TENON_OP_COUNT; op++)
        CHECK(operations_seen[op], "%s was never run", api->op_info((uint32_t)op)->name);
    api->context_destroy(context);
    printf("%d runs counted\n", runs);
    return test_report();
}
