/**
 * What ajv found, as places and reasons a person can read. Bundled into generated/explain.cjs.
 *
 * ajv points with JSON pointers (RFC 6901); config.json is spoken of as `mounts[3].options`. Whether
 * a step is an index or a key only the document itself can tell, so the pointer is walked in it.
 */

interface AjvError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly params: { readonly [name: string]: unknown };
}

interface Check {
  (value: unknown): boolean;
  errors?: AjvError[] | null;
}

export interface Problem {
  readonly path: string;
  readonly reason: string;
}

/** All problems of a document, in the order of the schema; none when it is valid. */
export function problemsOf(check: Check, value: unknown): Problem[] {
  if (check(value)) return [];
  return (check.errors ?? []).map((error) => {
    const path = pathOf(error.instancePath, value);
    if (error.keyword !== 'required') return { path, reason: reasonOf(error) };
    return { path: join(path, String(error.params['missingProperty'])), reason: 'is required' };
  });
}

function reasonOf({ keyword, params }: AjvError): string {
  switch (keyword) {
    case 'type':
      return `must be ${params['type'] === 'object' || params['type'] === 'array' ? 'an' : 'a'} ${params['type']}`;
    case 'range':
      return rangeText(params['range'] as [string | null, string | null]);
    case 'enum':
      return `must be one of ${(params['allowedValues'] as unknown[]).join(', ')}`;
    case 'pattern':
      return `must match ${params['pattern']}`;
    case 'minItems':
      return `must have ${params['limit']} or more entries`;
    default:
      return `violates ${keyword}`;
  }
}

function rangeText([minimum, maximum]: [string | null, string | null]): string {
  if (minimum === null) return 'must be an integer';
  if (maximum === null) return `must be an integer of ${minimum} or more`;
  return `must be an integer from ${minimum} to ${maximum}`;
}

function pathOf(pointer: string, value: unknown): string {
  let path = '';
  let at: unknown = value;
  for (const step of pointer.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
    path = Array.isArray(at) ? `${path}[${key}]` : join(path, key);
    at = (at as { [key: string]: unknown } | null)?.[key];
  }
  return path;
}

function join(path: string, key: string): string {
  if (!/^[A-Za-z_]\w*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
