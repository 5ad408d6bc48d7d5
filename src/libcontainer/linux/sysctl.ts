/** Names of kernel parameters (sysctl(8), sysctl.d(5)). No I/O. */

/**
 * Steps below /proc/sys. The first separator of the key, `.` or `/`, is its separator, and the other
 * one stands for itself: `net/ipv4/conf/eno2.100/rp_filter` is `net.ipv4.conf.eno2/100.rp_filter`.
 */
export function sysctlSteps(key: string): string[] | undefined {
  const slashed = /^[^./]*\//.test(key);
  const steps = slashed ? key.split('/') : key.split('.').map((step) => step.replaceAll('/', '.'));
  const bad = (step: string) =>
    step === '' || step === '.' || step === '..' || /[\s/\0]/.test(step);
  return steps.some(bad) ? undefined : steps;
}
