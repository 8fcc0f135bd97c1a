/* SPDX-License-Identifier: Apache-2.0 */
/* Every access of a kernel. Kernels are compiled with -fsanitize=thread, which calls these
 * functions before each access that another lane could see; they are linked with the emulator in
 * place of that sanitizer's own library. In builds with another sanitizer only the emulator's own
 * calls come here. */
#include <stdlib.h>
#include <string.h>

#include "simt_core.h"

typedef struct allocation {
    uintptr_t first, end;
} allocation;

static struct {
    pthread_rwlock_t lock;
    allocation *sorted;
    size_t used, room;
} memory = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static _Thread_local allocation last_found;

/* The first allocation that ends after p. */
static size_t place_of(uintptr_t p) {
    size_t low = 0, high = memory.used;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (memory.sorted[middle].end <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void simt_memory_add(const void *p, size_t bytes) {
    pthread_rwlock_wrlock(&memory.lock);
    if (memory.used == memory.room) {
        memory.room = memory.room ? 2 * memory.room : 64;
        memory.sorted = realloc(memory.sorted, memory.room * sizeof *memory.sorted);
        if (!memory.sorted) abort();
    }
    const size_t at = place_of((uintptr_t)p);
    memmove(memory.sorted + at + 1, memory.sorted + at, (memory.used - at) * sizeof *memory.sorted);
    memory.sorted[at] = (allocation){(uintptr_t)p, (uintptr_t)p + bytes};
    memory.used++;
    pthread_rwlock_unlock(&memory.lock);
}

void simt_memory_remove(const void *p) {
    pthread_rwlock_wrlock(&memory.lock);
    const size_t at = place_of((uintptr_t)p);
    if (at < memory.used && memory.sorted[at].first == (uintptr_t)p) {
        memory.used--;
        memmove(memory.sorted + at, memory.sorted + at + 1,
                (memory.used - at) * sizeof *memory.sorted);
    }
    pthread_rwlock_unlock(&memory.lock);
}

static bool found(uintptr_t at, size_t bytes) {
    pthread_rwlock_rdlock(&memory.lock);
    const size_t place = place_of(at);
    bool good = memory.used == 0;
    if (place < memory.used && at >= memory.sorted[place].first &&
        bytes <= memory.sorted[place].end - at) {
        good = true;
        last_found = memory.sorted[place];
    }
    pthread_rwlock_unlock(&memory.lock);
    return good;
}

void simt_global_access(const void *p, size_t bytes, bool writes) {
    const uintptr_t at = (uintptr_t)p;
    if (bytes == 0 || found(at, bytes)) return;
    simt_fault("%s %zu bytes at %p, which is in no allocation", writes ? "writes" : "reads", bytes,
               p);
}

/* What is neither shared memory nor in an allocation: the lane's own stack, constants of the
 * program, and where its SHARED_ARRAYs are. */
static bool is_own(const simt_block *block, uintptr_t at) {
    extern const char __executable_start[] __attribute__((weak, visibility("hidden")));
    extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));
    extern const char _end[] __attribute__((weak));
    const uintptr_t begin = (uintptr_t)(__ehdr_start ? __ehdr_start : __executable_start);
    if (at - begin < (uintptr_t)_end - begin) return true;
    for (const simt_array *a = block->kernel->file->arrays; a; a = a->next)
        if (at - (uintptr_t)a->slot() < sizeof(void *)) return true;
    return at - (uintptr_t)&simt_here < sizeof simt_here;
}

static void access_to(const void *p, size_t bytes, bool writes, uint8_t kind) {
    simt_block *block = simt_now;
    if (!block || !simt_here) return;
    const uintptr_t at = (uintptr_t)p;
    const simt_thread *self = simt_self();
    if (at - (uintptr_t)self->stack < block->stack_bytes) return;
    if (at - (uintptr_t)&self->place < sizeof self->place && !writes) return;
    if (at - (uintptr_t)block->shared < SIMT_SHARED_BYTES) {
        simt_shared_access((uint32_t)(at - (uintptr_t)block->shared), (uint32_t)bytes, writes,
                           kind);
        return;
    }
    if (at >= last_found.first && bytes <= last_found.end - at && at < last_found.end) return;
    /* Another lane's stack, the block itself: nothing a kernel may know. */
    if (at - (uintptr_t)block < sizeof *block || !is_own(block, at))
        simt_global_access(p, bytes, writes);
}

void simt_memory_begin(void) {
    last_found = (allocation){0, 0};
}

#define HOOKS(bytes)                                                                               \
    void __tsan_read##bytes(const void *p);                                                        \
    void __tsan_read##bytes(const void *p) {                                                       \
        access_to(p, bytes, false, SIMT_PLAIN);                                                    \
    }                                                                                              \
    void __tsan_write##bytes(const void *p);                                                       \
    void __tsan_write##bytes(const void *p) {                                                      \
        access_to(p, bytes, true, SIMT_PLAIN);                                                     \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(const void *p);                                              \
    void __tsan_unaligned_read##bytes(const void *p) {                                             \
        access_to(p, bytes, false, SIMT_PLAIN);                                                    \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(const void *p);                                             \
    void __tsan_unaligned_write##bytes(const void *p) {                                            \
        access_to(p, bytes, true, SIMT_PLAIN);                                                     \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) {
    (void)caller;
}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_read_range(const void *p, size_t bytes);
void __tsan_read_range(const void *p, size_t bytes) {
    if (bytes) access_to(p, bytes, false, SIMT_PLAIN);
}
void __tsan_write_range(const void *p, size_t bytes);
void __tsan_write_range(const void *p, size_t bytes) {
    if (bytes) access_to(p, bytes, true, SIMT_PLAIN);
}
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    __tsan_read_range(from, bytes);
    __tsan_write_range(to, bytes);
    return memcpy(to, from, bytes);
}
void *__tsan_memset(void *to, int value, size_t bytes);
void *__tsan_memset(void *to, int value, size_t bytes) {
    __tsan_write_range(to, bytes);
    return memset(to, value, bytes);
}

#define ATOMIC_HOOKS(bits, type)                                                                   \
    type __tsan_atomic##bits##_load(const volatile type *p, int order);                            \
    type __tsan_atomic##bits##_load(const volatile type *p, int order) {                           \
        (void)order;                                                                               \
        access_to((const void *)(uintptr_t)p, sizeof(type), false, SIMT_ATOMIC);                   \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type x, int order);                         \
    void __tsan_atomic##bits##_store(volatile type *p, type x, int order) {                        \
        (void)order;                                                                               \
        access_to((const void *)(uintptr_t)p, sizeof(type), true, SIMT_ATOMIC);                    \
        __atomic_store_n(p, x, __ATOMIC_SEQ_CST);                                                  \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type x, int order);                     \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type x, int order) {                    \
        (void)order;                                                                               \
        access_to((const void *)(uintptr_t)p, sizeof(type), true, SIMT_ATOMIC);                    \
        return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);                                         \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected, type x,    \
                                                      int success, int failure);                   \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected, type x,    \
                                                      int success, int failure) {                  \
        (void)success, (void)failure;                                                              \
        access_to((const void *)(uintptr_t)p, sizeof(type), true, SIMT_ATOMIC);                    \
        return __atomic_compare_exchange_n(p, expected, x, false, __ATOMIC_SEQ_CST,                \
                                           __ATOMIC_SEQ_CST);                                      \
    }
ATOMIC_HOOKS(32, int32_t)
ATOMIC_HOOKS(64, int64_t)
