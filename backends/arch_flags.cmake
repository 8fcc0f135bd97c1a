# SPDX-License-Identifier: Apache-2.0
# The only place with -m flags: the end of a source file's name says what it may use.
#   tenon_apply_arch_flags(<source>...)   sets the flags of each file whose name has a known ending
#   tenon_keep_arch_sources(<list name>)  drops the files of another CPU family from the list

# -ffp-contract=off: a multiplication and an addition fuse only where the source says fma, so the same
# formula gives the same bits at every place it is compiled into.
# -g1: these files are thousands of inlined instructions, and tracking their variables takes longer than compiling them.
set(TENON_ARCH_FLAGS_scalar -ffp-contract=off $<$<CONFIG:RelWithDebInfo>:-g1>)
if(TENON_SANITIZE)
    # Every unrolled and inlined access would get its own check: minutes for each of these files.
    list(APPEND TENON_ARCH_FLAGS_scalar -O1 -DV_NO_UNROLL)
endif()
set(TENON_ARCH_FLAGS_arm_neon ${TENON_ARCH_FLAGS_scalar})
set(TENON_ARCH_FLAGS_arm_neondot ${TENON_ARCH_FLAGS_scalar} -march=armv8.2-a+dotprod)
set(TENON_ARCH_FLAGS_arm_neonbf16 ${TENON_ARCH_FLAGS_scalar} -march=armv8.2-a+dotprod+i8mm+bf16)
set(TENON_ARCH_FLAGS_x86_avx2 ${TENON_ARCH_FLAGS_scalar} -mavx2 -mfma -mf16c)
set(TENON_ARCH_FLAGS_x86_avx512 ${TENON_ARCH_FLAGS_x86_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
    -mprefer-vector-width=512)
set(TENON_ARCH_FLAGS_x86_avx512vnni ${TENON_ARCH_FLAGS_x86_avx512} -mavx512vnni -mavx512bf16 -mavx512vbmi)
set(TENON_ARCH_SUFFIXES x86_avx2 x86_avx512 x86_avx512vnni scalar arm_neon arm_neondot arm_neonbf16)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64|i[3-6]86)$")
    set(TENON_ARCH_FAMILY x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(TENON_ARCH_FAMILY arm)
else()
    set(TENON_ARCH_FAMILY none)
endif()

function(tenon_apply_arch_flags)
    foreach(source IN LISTS ARGN)
        foreach(suffix IN LISTS TENON_ARCH_SUFFIXES)
            if(source MATCHES "_${suffix}\\.c$")
                set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${TENON_ARCH_FLAGS_${suffix}}")
            endif()
        endforeach()
    endforeach()
endfunction()

function(tenon_keep_arch_sources list_name)
    set(kept)
    foreach(source IN LISTS ${list_name})
        if((source MATCHES "_x86_[a-z0-9]+\\.c$" AND NOT TENON_ARCH_FAMILY STREQUAL "x86") OR
           (source MATCHES "_arm_[a-z0-9]+\\.c$" AND NOT TENON_ARCH_FAMILY STREQUAL "arm"))
            continue()
        endif()
        list(APPEND kept ${source})
    endforeach()
    set(${list_name} ${kept} PARENT_SCOPE)
endfunction()
