/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 64 and 64. */
#include "attention_finish.h"
#include "attention_rows.h"

#define D_QK 64
#define D_V  64

#define KERNEL_NAME attention_d64_bf16_same
#define IS_F16      false
#define IS_BYTES    0
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d64_bf16_bytes
#define IS_F16      false
#define IS_BYTES    1
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d64_f16_same
#define IS_F16      true
#define IS_BYTES    0
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d64_f16_bytes
#define IS_F16      true
#define IS_BYTES    1
#include "attention_kernel.inl"
