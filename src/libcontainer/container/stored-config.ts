/** The configuration as it was when the container was created; it was validated then. */

import type { Config } from '@opencontainers-ts/spec';
import { parseJson } from '../../oci/json.ts';

export function parseConfig(bytes: Uint8Array): Config {
  return parseJson(bytes, { source: 'config.json' }) as Config;
}
