/** What a request to the Kubernetes API asks for, by its method and path alone, in the words of the audit log. */
export interface ApiRequest {
  /** get, list, watch, create, update, patch, delete, deletecollection; for other paths the HTTP method in lower case. */
  verb: string;
  /** '' for the core group and for paths that are no resource. */
  apiGroup: string;
  resource: string;
  subresource: string;
  namespace: string;
  /** '' also on create. */
  name: string;
  labelSelector: string;
}

const verbs: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch' };

function verbOf(method: string, name: string, query: URLSearchParams): string {
  if (method === 'GET') return query.get('watch') === 'true' ? 'watch' : name === '' ? 'list' : 'get';
  if (method === 'DELETE') return name === '' ? 'deletecollection' : 'delete';
  return verbs[method] ?? method.toLowerCase();
}

export function apiRequestOf(method: string, url: string): ApiRequest {
  const { pathname, searchParams } = new URL(url, 'https://api');
  const parts = pathname.split('/').slice(1).map(decodeURIComponent);
  const core = parts[0] === 'api';
  const rest = core ? parts.slice(2) : parts.slice(3);
  const nothing = { apiGroup: '', resource: '', subresource: '', namespace: '', name: '', labelSelector: '' };
  if ((!core && parts[0] !== 'apis') || rest.length === 0) return { verb: method.toLowerCase(), ...nothing };
  const apiGroup = core ? '' : (parts[1] ?? '');
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [resource = '', name = '', subresource = ''] = namespaced ? rest.slice(2) : rest;
  return {
    verb: verbOf(method, name, searchParams),
    apiGroup,
    resource,
    subresource,
    namespace: namespaced ? (rest[1] ?? '') : '',
    name,
    labelSelector: searchParams.get('labelSelector') ?? '',
  };
}
