/** Where the notify socket of a container is; apart from notify.ts, which few containers need. */

export function notifyDirectoryOf(stateDirectory: string): string {
  return `${stateDirectory}/notify`;
}
