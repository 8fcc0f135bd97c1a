/* SPDX-License-Identifier: Apache-2.0 */
/* What device headers call where a kernel is compiled for the host. Every call is made by one lane;
 * those of a warp return when all lanes of the warp, or of `members`, have made the same call. */
#ifndef TENON_SIMT_DEVICE_H
#define TENON_SIMT_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct simt_place {
    uint32_t thread, block[3], lanes;
} simt_place;

/* The lane that runs now on this thread of the host. */
extern _Thread_local const simt_place *simt_here __attribute__((tls_model("initial-exec")));

/* A SHARED_ARRAY: where its file's pointer is on this thread of the host. */
typedef struct simt_array {
    void *(*slot)(void);
    uint64_t bytes;
    struct simt_array *next;
} simt_array;
typedef struct simt_file {
    simt_array *arrays;
} simt_file;

typedef enum simt_number {
    SIMT_F16,
    SIMT_BF16,
    SIMT_S8,
    SIMT_E4M3,
    SIMT_E5M2,
    SIMT_NUMBERS
} simt_number;

uint32_t simt_shared_address(const void *p);
uint8_t *simt_dynamic_shared(void);
void simt_load_shared(void *to, uint32_t from, uint32_t bytes);
void simt_store_shared(uint32_t to, const void *from, uint32_t bytes);
uint32_t simt_shared_add(uint32_t *p, uint32_t value);

void simt_barrier(uint32_t barrier, uint32_t lanes, bool waits);
void simt_warp_barrier(void);
uint32_t simt_ballot(bool condition);
uint32_t simt_shuffle(uint32_t members, uint32_t value, uint32_t lane);

void simt_mma(simt_number number, void *d, const uint32_t a[4], const uint32_t b[2]);
void simt_load_matrix(uint32_t *r, uint32_t row, uint32_t matrices, bool transposed);
void simt_store_matrix(uint32_t row, const uint32_t *r, uint32_t matrices, bool transposed);
uint32_t simt_transpose_matrix(uint32_t x);

void simt_copy_async(uint32_t to, const void *from, uint32_t bytes, uint32_t valid);
void simt_copy_commit(void);
void simt_copy_wait(uint32_t newest);

uint32_t simt_permute_bytes(uint32_t a, uint32_t b, uint32_t selector);
uint32_t simt_fma_pair(uint32_t a, uint32_t b, uint32_t c, bool bf16);
float simt_exp2(float x);
float simt_f16_to_f32(uint16_t code);
uint16_t simt_f32_to_f16(float x);

#endif /* TENON_SIMT_DEVICE_H */
