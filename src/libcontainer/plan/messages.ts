/** Tags of the messages that programs send to the compiler (docs/program.md, Wire). */

export const TAG = {
  /** A process was made: a = its pid in the compiler's pid namespace. */
  PID: 1,
  /** Everything up to the runtime hooks is done. */
  MOUNTED: 2,
  /** The container stands and waits for start. */
  CREATED: 3,
  /** a = number of the descriptor of the pty's master in the sender. */
  PTY: 4,
  /** Payload: the head of the container's /etc/passwd. */
  PASSWD: 5,
  /** Payload: what the filesystem said about a mount, before the fatal record. */
  REASON: 6,
  /** args[0] cannot be run: a = errno of the last candidate. */
  LOOKUP: 7,
  /** A hook ended: a = wait status kind, b = status. */
  HOOK: 8,
  /** A user namespace holder for an id-mapped mount waits: a = its pid. */
  HOLDER: 9,
  /** The stage goes on in a child that is in the cgroup: a = its pid. */
  JOINER: 11,
  /** A part of a long program is done. */
  PIECE: 12,
  /** A filter is loaded: a = number of its listener in the sender. */
  LISTENER: 12,
  /** The current directory is outside of the container. */
  CWD: 10,
  /** a = number of the descriptor of a netlink socket in the container's network namespace. */
  NETLINK: 12,
  /** The network devices are in the container's namespace. */
  DEVICES: 13,
} as const;

export type TagName = keyof typeof TAG;
