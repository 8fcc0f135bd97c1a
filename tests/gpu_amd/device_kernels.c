/* SPDX-License-Identifier: Apache-2.0
 *
 * Device code of the interpreter's tests; they compile it when they run.
 */
typedef float f4 __attribute__((ext_vector_type(4)));
typedef _Float16 h4 __attribute__((ext_vector_type(4)));
#define GLOBAL __attribute__((address_space(1)))
#define LDS    __attribute__((address_space(3)))
#define KERNEL(threads)                                                                            \
    __attribute__((amdgpu_kernel, visibility("protected"),                                         \
                   amdgpu_flat_work_group_size(threads, threads))) void
#define LANE  __builtin_amdgcn_workitem_id_x()
#define GROUP __builtin_amdgcn_workgroup_id_x()
#define BARRIER()                                                                                  \
    do {                                                                                           \
        __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");                                     \
        __builtin_amdgcn_s_barrier();                                                              \
        __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");                                     \
    } while (0)
/* y = a x + y */
KERNEL(256) saxpy(GLOBAL const float *x, GLOBAL float *y, float a, int n) {
    int i = GROUP * 256 + LANE;
    if (i < n) y[i] += a * x[i];
}
/* 32 x 32 tiles, each wave writes rows and reads columns that other waves wrote */
static LDS float tile[32 * 33] __attribute__((loader_uninitialized));
KERNEL(256) transpose(GLOBAL const float *in, GLOBAL float *out, int n) {
    int x = LANE % 32, y = LANE / 32, tx = GROUP % (n / 32) * 32, ty = GROUP / (n / 32) * 32;
    for (int r = y; r < 32; r += 8) tile[r * 33 + x] = in[(ty + r) * n + tx + x];
    BARRIER();
    for (int r = y; r < 32; r += 8) out[(tx + r) * n + ty + x] = tile[x * 33 + r];
}
/* sum of a wave by DPP, of the workgroup through LDS */
static LDS float partial[4] __attribute__((loader_uninitialized));
#define ADD_DPP(control, rows)                                                                     \
    v += __builtin_bit_cast(                                                                       \
        float, __builtin_amdgcn_update_dpp(0, __builtin_bit_cast(int, v), control, rows, 15, 0))
KERNEL(256) sum(GLOBAL const float *in, GLOBAL float *out) {
    float v = in[GROUP * 256 + LANE];
    ADD_DPP(0x111, 15);
    ADD_DPP(0x112, 15);
    ADD_DPP(0x114, 15);
    ADD_DPP(0x118, 15);
    ADD_DPP(0x142, 10);
    ADD_DPP(0x143, 12);
    if (LANE % 64 == 63) partial[LANE / 64] = v;
    BARRIER();
    if (LANE == 0) out[GROUP] = partial[0] + partial[1] + partial[2] + partial[3];
}
/* C = A[rows] B by 16x16x16 products, a wave per 16 x 16 tile; A's rows are gathered, a negative
 * row is 0 */
KERNEL(64)
gemm(GLOBAL const _Float16 *a, GLOBAL const _Float16 *b, GLOBAL const int *rows, GLOBAL float *c,
     int m, int n, int k) {
    int t = LANE, i = GROUP / (n / 16) * 16, j = GROUP % (n / 16) * 16,
        row = i + t % 16 < m ? rows[i + t % 16] : -1;
    f4 sum = {0, 0, 0, 0};
    for (int at = 0; at < k; at += 16) {
        h4 left = {0, 0, 0, 0}, right;
        if (row >= 0) left = *(GLOBAL const h4 *)(a + row * k + at + t / 16 * 4);
        for (int e = 0; e < 4; e++) right[e] = b[(at + t / 16 * 4 + e) * n + j + t % 16];
        sum = __builtin_amdgcn_mfma_f32_16x16x16f16(left, right, sum, 0, 0, 0);
    }
    for (int e = 0; e < 4; e++)
        if (i + t / 16 * 4 + e < m) c[(i + t / 16 * 4 + e) * n + j + t % 16] = sum[e];
}
KERNEL(256) divide_f32(GLOBAL const float *x, GLOBAL const float *y, GLOBAL float *q) {
    int i = GROUP * 256 + LANE;
    q[i] = x[i] / y[i];
}
KERNEL(256) divide_u32(GLOBAL const unsigned *x, GLOBAL const unsigned *y, GLOBAL unsigned *q) {
    int i = GROUP * 256 + LANE;
    q[i] = x[i] / y[i] ^ x[i] % y[i];
}
KERNEL(256)
divide_u64(GLOBAL const unsigned long *x, GLOBAL const unsigned long *y, GLOBAL unsigned long *q) {
    int i = GROUP * 256 + LANE;
    q[i] = x[i] / y[i] ^ x[i] % y[i];
}
KERNEL(256) square_root(GLOBAL const float *x, GLOBAL const float *y, GLOBAL float *q) {
    int i = GROUP * 256 + LANE;
    q[i] = __builtin_sqrtf(x[i]);
}
KERNEL(256) exp_log(GLOBAL const float *x, GLOBAL const float *y, GLOBAL float *q) {
    int i = GROUP * 256 + LANE;
    q[i] = __builtin_exp2f(x[i]) + __builtin_log2f(y[i]);
}
/* counts into bins: LDS atomics, then global ones */
static LDS unsigned bins[64] __attribute__((loader_uninitialized));
KERNEL(256) histogram(GLOBAL const unsigned *in, GLOBAL unsigned *out) {
    if (LANE < 64) bins[LANE] = 0;
    BARRIER();
    __scoped_atomic_fetch_add(&bins[in[GROUP * 256 + LANE] % 64], 1u, __ATOMIC_RELAXED,
                              __MEMORY_SCOPE_WRKGRP);
    BARRIER();
    if (LANE < 64)
        __scoped_atomic_fetch_add(&out[LANE], bins[LANE], __ATOMIC_RELAXED, __MEMORY_SCOPE_DEVICE);
}
extern LDS float dynamic[];
KERNEL(64) rotate(GLOBAL const float *in, GLOBAL float *out) {
    dynamic[LANE] = in[LANE];
    BARRIER();
    out[LANE] = dynamic[(LANE + 5) % 64];
}
KERNEL(256) spill(GLOBAL float *out) {
    volatile float local[40];
    for (int i = 0; i < 40; i++) local[i] = i;
    out[LANE] = local[(int)out[LANE] % 40];
}
KERNEL(64) forever(GLOBAL volatile float *out) {
    for (;;) out[0] = 1;
}
#if !defined(__gfx90a__)
/* out = in, each wave by way of what another one has brought to LDS */
static LDS float staged[256] __attribute__((loader_uninitialized));
KERNEL(256) relay(GLOBAL float *in, GLOBAL float *out) {
    int wave = __builtin_amdgcn_readfirstlane(LANE / 64), other = (LANE + 64) % 256;
    __builtin_amdgcn_global_load_lds(in + GROUP * 256 + LANE, staged + wave * 64, 4, 0, 0);
    BARRIER();
    out[GROUP * 256 + other] = staged[other];
}
#endif
