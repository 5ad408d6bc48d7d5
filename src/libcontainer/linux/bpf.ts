/**
 * bpf(2) as far as device filters need it: include/uapi/linux/bpf.h. No I/O.
 *
 * union bpf_attr is given zeroed and with room to spare: kernels 6.17 to 7.1 write behind a short one
 * (security.md H23), and the kernel takes a longer one whose rest is 0.
 */

export const BPF_PROG_LOAD = 5;
export const BPF_PROG_ATTACH = 8;
export const BPF_PROG_DETACH = 9;
export const BPF_PROG_GET_FD_BY_ID = 13;
export const BPF_OBJ_GET_INFO_BY_FD = 15;
export const BPF_PROG_QUERY = 16;

export const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
/** enum bpf_attach_type. */
export const BPF_CGROUP_DEVICE = 6;

/** Programs of one group and of its parents all run, and all must say yes. */
export const BPF_F_ALLOW_MULTI = 2;
/** Linux 5.6: takes the place of `replace_bpf_fd` in one step. */
export const BPF_F_REPLACE = 4;
/** BPF_CGROUP_MAX_PROGS of kernel/bpf/cgroup.c: what one group can have. */
export const BPF_CGROUP_MAX_PROGS = 64;

export const BPF_ATTR_SIZE = 256;

/** Offsets in union bpf_attr. BPF_PROG_LOAD: */
export const BPF_ATTR_PROG_TYPE = 0;
export const BPF_ATTR_INSN_CNT = 4;
export const BPF_ATTR_INSNS = 8;
export const BPF_ATTR_LICENSE = 16;
export const BPF_ATTR_LOG_LEVEL = 24;
export const BPF_ATTR_LOG_SIZE = 28;
export const BPF_ATTR_LOG_BUF = 32;
export const BPF_ATTR_PROG_NAME = 48;
/** BPF_PROG_ATTACH, BPF_PROG_DETACH: */
export const BPF_ATTR_TARGET_FD = 0;
export const BPF_ATTR_ATTACH_BPF_FD = 4;
export const BPF_ATTR_ATTACH_TYPE = 8;
export const BPF_ATTR_ATTACH_FLAGS = 12;
export const BPF_ATTR_REPLACE_BPF_FD = 16;
/** BPF_PROG_QUERY: */
export const BPF_ATTR_QUERY_TARGET_FD = 0;
export const BPF_ATTR_QUERY_TYPE = 4;
export const BPF_ATTR_QUERY_PROG_IDS = 16;
export const BPF_ATTR_QUERY_PROG_CNT = 24;
/** BPF_PROG_GET_FD_BY_ID: */
export const BPF_ATTR_PROG_ID = 0;
/** BPF_OBJ_GET_INFO_BY_FD: */
export const BPF_ATTR_INFO_BPF_FD = 0;
export const BPF_ATTR_INFO_LEN = 4;
export const BPF_ATTR_INFO = 8;

/** A filter calls no helper, so that the kernel takes any licence. */
export const DEVICE_FILTER_LICENSE = 'Apache-2.0';
/** `runcell` as the first word of prog_name: how our filters are told from those of others. */
export const DEVICE_FILTER_NAME = 0x006c6c65636e7572n;

/** struct bpf_prog_info: BPF_OBJ_NAME_LEN bytes of name at 64. */
export const PROG_INFO_SIZE = 256;
export const PROG_INFO_NAME = 64;

/** struct bpf_insn {u8 code, u8 dst:4 src:4, s16 off, s32 imm}. */
export const BPF_INSN_SIZE = 8;

/** Classes, modes and operations, as an instruction's code is put together (linux/bpf_common.h). */
export const BPF_LDX_MEM_W = 0x61;
export const BPF_ALU_MOV_K = 0xb4;
export const BPF_EXIT = 0x95;
export const BPF_JA = 0x05;
/** BPF_JMP32 with an immediate: the low halves of the registers are compared, unsigned. */
export const BPF_JMP32 = { eq: 0x16, set: 0x46, ne: 0x56, lt: 0xa6, le: 0xb6 } as const;

/** struct bpf_cgroup_dev_ctx {u32 access_type, u32 major, u32 minor}; access_type = access << 16 | type. */
export const DEVICE_CTX = { accessType: 0, major: 4, minor: 8 } as const;
export const BPF_DEVCG_DEV_BLOCK = 1;
export const BPF_DEVCG_DEV_CHAR = 2;
export const BPF_DEVCG_ACC_MKNOD = 1;
export const BPF_DEVCG_ACC_READ = 2;
export const BPF_DEVCG_ACC_WRITE = 4;
export const BPF_DEVCG_ACC_SHIFT = 16;
