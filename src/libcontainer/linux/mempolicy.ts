/** NUMA memory policies: include/uapi/linux/mempolicy.h. No I/O. */

export const MPOL_MODES = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  /** Linux 5.15. */
  MPOL_PREFERRED_MANY: 5,
  /** Linux 6.9. */
  MPOL_WEIGHTED_INTERLEAVE: 6,
} as const;

/** Flags stand in the mode's word. */
export const MPOL_FLAGS = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
} as const;
