/* SPDX-License-Identifier: Apache-2.0 */
/* Who I am, and how the lanes of a wave and the waves of a workgroup meet. Each vendor's header has
 * the same names:
 *
 *   WAVE_LANES                    64, 32 on gfx12 and NVIDIA
 *   DEVICE                        of every function
 *   SHARED, SHARED_ARRAY(t, x, n) memory of the workgroup; it holds anything at the beginning
 *   DEVICE_KERNEL(name, lanes)(DEVICE_ARGUMENT struct x)
 *                                 an entry that is launched with exactly this many lanes
 *   block_x, block_y, block_z     the workgroup's place in the grid
 *   thread_x, lane_id, wave_id    place in the workgroup, in the wave, of the wave
 *   workgroup_barrier             all waves arrive, and see each other's writes
 *   wave_barrier                  the same among the lanes of a wave
 *   wave_ballot, wave_count_below bit l: condition of lane l; how many lanes below have theirs set
 *   wave_read_lane, wave_value_of value of another lane; of one lane that is the same for all
 *   wave_first                    value of the first lane
 *   shared_add_u32                atomic
 *   bits_of, float_of */
#ifndef TENON_DEVICE_LANE_H
#define TENON_DEVICE_LANE_H

#include <stdbool.h>

#if defined(__AMDGCN__)
#    include "lane_amdgcn.h"
#elif defined(__CUDACC__)
#    include "lane_nvptx.h"
#else
#    include "lane_simt.h" /* of the emulator */
#endif

#endif /* TENON_DEVICE_LANE_H */
